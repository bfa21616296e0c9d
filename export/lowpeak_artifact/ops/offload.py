"""Values that are put away in a file and fetched back while other operations run."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lowpeak_artifact.ops.base import EXECUTORCH, LOWPEAK
from lowpeak_artifact.ops.record import describe, none

_stored: dict[int, Tensor] = {}


@torch.library.custom_op("lowpeak::store", mutates_args=())
def store(value: Tensor, offset: int) -> Tensor:
    """Puts `value` away, `offset` bytes into the offload file -> an empty token that orders its load.

    Its memory is free afterwards: runtimes copy it to a buffer and write that in the background.
    """
    _stored[offset] = value.clone()
    return value.new_empty((0,), dtype=torch.uint8)


@store.register_fake
def _(value: Tensor, offset: int) -> Tensor:
    return value.new_empty((0,), dtype=torch.uint8)


@torch.library.custom_op("lowpeak::load", mutates_args=())
def load(token: Tensor, offset: int, shape: list[int], dtype: torch.dtype) -> Tensor:
    """The tensor that was put away at `offset`. Runtimes read it in the background: `loaded` waits for it."""
    assert _stored[offset].dtype == dtype
    return _stored[offset].clone().view(shape)


@load.register_fake
def _(token: Tensor, offset: int, shape: list[int], dtype: torch.dtype) -> Tensor:
    return token.new_empty(shape, dtype=dtype)


@torch.library.custom_op("lowpeak::loaded", mutates_args=())
def loaded(value: Tensor) -> Tensor:
    """What `load` gave, once it is all there: the same memory on targets."""
    return value.clone()


@loaded.register_fake
def _(value: Tensor) -> Tensor:
    return torch.empty_like(value)


OFFLOAD = replace(
    LOWPEAK,
    in_place=none("its result and its operand are different sizes"),
    tile=none("made of a plan, after tiling"),
    lowering=none("no plan offloads for a target without it"),
)
describe(replace(OFFLOAD, io="write", kernel="lowpeak::store.out"), torch.ops.lowpeak.store.default)
describe(replace(OFFLOAD, io="read", kernel="lowpeak::load.out"), torch.ops.lowpeak.load.default)
describe(
    replace(OFFLOAD, in_place=EXECUTORCH, io="wait", kernel="lowpeak::loaded.out"),
    torch.ops.lowpeak.loaded.default,
)
