"""Stages that are no passes over one graph: `pipeline.py` and `decode.py` carry them out."""

from __future__ import annotations

from dataclasses import dataclass

from lowpeak_compiler.passes.properties import (
    CAUSAL_ATTENTION,
    CORE,
    FORWARD,
    HEAD,
    JOINT,
    ORDERED,
    PLACED,
    ROTARY,
)
from lowpeak_compiler.passes.stage import Stage

OF_FORWARD = frozenset({FORWARD, HEAD, CAUSAL_ATTENTION, ROTARY})
"""Properties that only a forward graph in the model's own operators has."""


@dataclass(frozen=True)
class Capture(Stage):
    """Traces the model on fake weights into a forward graph (frontend/capture.py)."""

    ensures = frozenset({FORWARD, HEAD})

    seq_len: int | None = None
    batch_size: int = 1


@dataclass(frozen=True)
class Differentiate(Stage):
    """Adds the backward by autograd, all in core ATen (frontend/differentiate.py)."""

    requires = frozenset({FORWARD})
    ensures = frozenset({CORE, JOINT})
    ends = OF_FORWARD


@dataclass(frozen=True)
class LowerForward(Stage):
    """Brings the forward alone to core ATen (frontend/differentiate.py)."""

    requires = frozenset({FORWARD})
    ensures = frozenset({CORE})
    ends = OF_FORWARD


@dataclass(frozen=True)
class Place(Stage):
    """Gives every value its bytes in one arena, by live ranges (budget/planned.py)."""

    requires = frozenset({ORDERED})
    ensures = frozenset({PLACED})

    alignment: int
