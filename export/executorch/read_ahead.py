"""Which weights to read from the disk while an operation runs: those that are needed next."""

from __future__ import annotations

from collections.abc import Iterable

from torch import fx

from compiler.passes.rewrite import operands
from export.executorch.kernels import is_fused

NAME = "lowpeak::read_ahead"
WEIGHT = ("data", "scale", "zero_point", "bits")
"""The arguments that are a quantized weight, in every kernel that takes one."""


def weight_of(node: fx.Node, fused: frozenset[str]) -> tuple[object, ...] | None:
    """The arguments of `lowpeak::read_ahead` for the weight that a kernel of ours reads, if it reads one."""
    if not is_fused(node, fused):
        return None
    given = operands(node)
    return tuple(given[name] for name in WEIGHT) if given.keys() >= set(WEIGHT) else None


def needed_next(operations: Iterable[fx.Node], fused: frozenset[str]) -> dict[str, tuple[object, ...]]:
    """By name of an operation that reads a weight: the weight that the next such operation reads."""
    result = {}
    previous: tuple[str, tuple[object, ...]] | None = None
    for node in operations:
        weight = weight_of(node, fused)
        if weight is None:
            continue
        if previous is not None and previous[1] != weight:
            result[previous[0]] = weight
        previous = node.name, weight
    return result
