"""Rotary embeddings whose frequencies depend on the sequence's length, fixed for one length.

longrope takes other factors beyond the length that the model was first trained on, dynamic NTK scaling
another base. transformers decides that in the forward, by a buffer that it changes; with a fixed length
cosines and sines are constants, which the model's own module computes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig


def longest_sequence(config: PretrainedConfig) -> int | None:
    """Tokens that the model was made for; None if it does not say.

    Dynamic scaling is what goes beyond `max_position_embeddings`, up to its factor.
    """
    limit: int | None = getattr(config, "max_position_embeddings", None)
    parameters = getattr(config, "rope_parameters", None) or {}
    # Of the whole model, or of each type of its layers.
    kinds = [parameters] if "rope_type" in parameters else [p for p in parameters.values() if p]
    factors = [p.get("factor", 1.0) for p in kinds if "dynamic" in str(p.get("rope_type"))]
    return limit if limit is None else int(limit * max([1.0, *factors]))


def fix_length(model: nn.Module, seq_len: int) -> None:
    """Puts tables of `seq_len` tokens in the place of rotary embeddings that depend on the length."""
    for module in model.modules():
        if _depends_on_length(getattr(module, "rope_type", None)):
            module.forward = _Tables(module, seq_len)


def look_up_positions(model: nn.Module) -> None:
    """Tables of `fix_length` give the rows of the positions that they are called with."""
    for module in model.modules():
        if isinstance(module.forward, _Tables):
            module.forward.by_position = True


def _depends_on_length(rope_type: object) -> bool:
    """`rope_type`: of a module, or of each type of its layers."""
    types = rope_type.values() if isinstance(rope_type, dict) else [rope_type]
    return any(each == "longrope" or "dynamic" in str(each) for each in types)


class _Tables:
    """A rotary module's forward at one length: its own results on the CPU, as constants."""

    by_position = False
    """Whether positions are looked up; else they are 0, 1, 2 ..."""

    def __init__(self, module: nn.Module, seq_len: int) -> None:
        # A new one: a former call with another length leaves its frequencies behind.
        fresh = type(module)(module.config)
        layer_types = fresh.rope_type if isinstance(fresh.rope_type, dict) else [None]
        positions = torch.arange(seq_len)[None]
        with torch.no_grad():
            self._tables: dict[str | None, tuple[Tensor, ...]] = {
                kind: fresh(torch.zeros(1), positions, **({} if kind is None else {"layer_type": kind}))
                for kind in layer_types
            }

    def __call__(
        self, x: Tensor, position_ids: Tensor, layer_type: str | None = None, **_: Any
    ) -> tuple[Tensor, ...]:
        """Cosines and sines [1, tokens, dim] for positions from 0 on, or of positions [1, tokens], in x's
        type."""
        tables = self._tables[layer_type]
        if self.by_position:
            tables = tuple(nn.functional.embedding(position_ids, table[0]) for table in tables)
        return tuple(table.to(x.dtype) for table in tables)
