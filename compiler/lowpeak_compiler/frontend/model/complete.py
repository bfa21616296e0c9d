"""Stored weights -> every parameter and buffer of a model.

A checkpoint leaves out what the model can tell: the second name of a tied tensor, and buffers that the config
determines (rotary frequencies). Whoever compiles the model needs them too.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Collection

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lowpeak_artifact.errors import ModelError
from lowpeak_artifact.quantized import QuantFormat, QuantizedTensor
from lowpeak_compiler.frontend.model.weights import WeightSource, require_finite, require_name

MOST_BUFFER_BYTES = 1 << 30
"""Of the tables that a model computes: of positions, mostly."""
_FREQUENCIES = "inv_freq"


class CompleteWeights:
    """A `WeightSource` whose names are exactly the parameters and buffers of a model on the meta device.

    Raises ModelError when `stored` lacks a tensor of the model, has it in another shape, or has one too many.
    """

    def __init__(self, stored: WeightSource, skeleton: PreTrainedModel) -> None:
        self._stored = stored
        self._stored_name = _stored_names(stored, skeleton)
        self._buffers = derived_buffers(skeleton)

    def names(self) -> Collection[str]:
        return [*self._stored_name, *self._buffers]

    def shape(self, name: str) -> tuple[int, ...]:
        if name in self._buffers:
            return tuple(self._buffers[name].shape)
        return self._stored.shape(self._resolve(name))

    def format_of(self, name: str) -> QuantFormat | None:
        return None if name in self._buffers else self._stored.format_of(self._resolve(name))

    def dense(self, name: str) -> Tensor:
        return self._buffers[name] if name in self._buffers else self._stored.dense(self._resolve(name))

    def quantized(self, name: str) -> QuantizedTensor:
        return self._stored.quantized(self._resolve(name))

    def _resolve(self, name: str) -> str:
        require_name(name, self._stored_name, "the model")
        return self._stored_name[name]


def derived_buffers(skeleton: PreTrainedModel) -> dict[str, Tensor]:
    """Values, by name, of the buffers that no checkpoint stores, computed as at load; floats as float32.

    Raises ModelError for a buffer that the model's own initialisation does not fill.
    """
    buffers: dict[str, Tensor] = {}
    held = 0
    for prefix, module in skeleton.named_modules():
        names = module._non_persistent_buffers_set
        if not names:
            continue
        held += sum(module.get_buffer(name).nbytes for name in names)
        if held > MOST_BUFFER_BYTES:
            raise ModelError(
                f"the config asks for tables of {held} bytes in {prefix}, which are not stored; at most "
                f"{MOST_BUFFER_BYTES} are made: is max_position_embeddings right?",
                bytes=held,
                most=MOST_BUFFER_BYTES,
            )
        twin = copy.deepcopy(module).to_empty(device="cpu")
        for name in names:
            buffer = twin.get_buffer(name)
            buffer.fill_(_unset(buffer.dtype))
        skeleton._init_weights(twin)  # type: ignore[no-untyped-call]
        for name in sorted(names):
            full_name = f"{prefix}.{name}" if prefix else name
            buffer = twin.get_buffer(name)
            if _is_unset(buffer):
                kind = type(module).__name__
                raise ModelError(f"the buffer {full_name} of {kind} cannot be computed from the config")
            if name.endswith(_FREQUENCIES):
                require_finite(f"the rotary table {full_name}, by the config,", buffer)
            buffers[full_name] = buffer.to(torch.float32) if buffer.is_floating_point() else buffer
    return buffers


def _unset(dtype: torch.dtype) -> float | int:
    """What stands for no value; booleans have nothing to spare."""
    if dtype.is_floating_point:
        return math.nan
    return 0 if dtype is torch.bool else torch.iinfo(dtype).min


def _is_unset(buffer: Tensor) -> bool:
    if buffer.dtype is torch.bool:
        return False
    return bool((buffer.isnan() if buffer.is_floating_point() else buffer == _unset(buffer.dtype)).any())


def unlike_ties(stored: WeightSource, skeleton: PreTrainedModel) -> list[tuple[str, str]]:
    """Names that are one tensor in the skeleton but hold different values in `stored`.

    transformers ties such a pair only where both hold the same (`PreTrainedModel.tie_weights`).
    """
    available = set(stored.names())
    unlike = []
    for names in _aliases(skeleton).values():
        first, *others = [name for name in names if name in available] or [""]
        unlike += [(first, other) for other in others if not _equal(stored, first, other)]
    return unlike


def _equal(stored: WeightSource, one: str, other: str) -> bool:
    return stored.shape(one) == stored.shape(other) and torch.equal(stored.dense(one), stored.dense(other))


def _aliases(skeleton: PreTrainedModel) -> dict[int, list[str]]:
    """The names of each tensor that checkpoints store."""
    aliases: dict[int, list[str]] = {}
    for name, tensor in skeleton.state_dict(keep_vars=True).items():
        aliases.setdefault(id(tensor), []).append(name)
    return aliases


def _stored_names(stored: WeightSource, skeleton: PreTrainedModel) -> dict[str, str]:
    """For each tensor of the model that checkpoints store, the name under which `stored` has it."""
    tensors: dict[str, Tensor] = skeleton.state_dict(keep_vars=True)
    aliases = _aliases(skeleton)
    available = set(stored.names())
    resolved: dict[str, str] = {}
    for name, tensor in tensors.items():
        alias = next((each for each in aliases[id(tensor)] if each in available), None)
        if alias is None:
            require_name(name, available, "the checkpoint")
            continue
        if 0 in tensor.shape:
            raise ModelError(f"{name} has the shape {list(tensor.shape)} by the config: it would be empty")
        if stored.shape(alias) != tuple(tensor.shape):
            raise ModelError(
                f"{alias} has shape {list(stored.shape(alias))} in the checkpoint but {list(tensor.shape)} "
                "by its config: weights and config are of two models"
            )
        resolved[name] = alias
    _refuse_unused(available - {alias for names in aliases.values() for alias in names}, skeleton)
    return resolved


def _refuse_unused(names: set[str], skeleton: PreTrainedModel) -> None:
    """ModelError for stored tensors that the model has no place for, as it would be wrong without them."""
    ignored = [*(skeleton._keys_to_ignore_on_load_unexpected or ()), r"rotary_emb\.inv_freq$"]
    unused = sorted(name for name in names if not any(re.search(each, name) for each in ignored))
    if unused:
        raise ModelError(
            f"the checkpoint has {len(unused)} tensors that {type(skeleton).__name__} has not "
            f"({', '.join(unused[:3])}...): it is of another model than its config says",
            unused=len(unused),
        )
