"""Values that are put away in a file and fetched back."""

from __future__ import annotations

import torch
from torch import Tensor

_stored: dict[int, Tensor] = {}


@torch.library.custom_op("lowpeak::store", mutates_args=())
def store(value: Tensor, slot: int) -> Tensor:
    """Puts `value` away under `slot` -> an empty token that orders the load after it. Runtimes use a file."""
    _stored[slot] = value.clone()
    return value.new_empty((0,), dtype=torch.uint8)


@store.register_fake
def _(value: Tensor, slot: int) -> Tensor:
    return value.new_empty((0,), dtype=torch.uint8)


@torch.library.custom_op("lowpeak::load", mutates_args=())
def load(token: Tensor, slot: int, shape: list[int], dtype: torch.dtype) -> Tensor:
    """The tensor that was put away under `slot`."""
    assert _stored[slot].dtype == dtype
    return _stored[slot].clone().view(shape)


@load.register_fake
def _(token: Tensor, slot: int, shape: list[int], dtype: torch.dtype) -> Tensor:
    return token.new_empty(shape, dtype=dtype)
