"""Instructions beside the operators, for a runtime that maps files: which weights to read from the disk while
an operation runs, and which pages nobody needs after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from torch import fx

from compiler.graph import tensors_of
from compiler.ops.quantized import STORED
from compiler.passes.rewrite import operands
from compiler.planned import PlannedStep
from export.executorch.kernels import is_fused

READ_AHEAD = "lowpeak::read_ahead"
GIVE_BACK = "lowpeak::give_back"

Place = tuple[fx.Node, int]
"""A tensor: the output of that number of a node."""


def needed_next(
    operations: Iterable[fx.Node], fused: frozenset[str], by_rows: Collection[object]
) -> dict[str, tuple[object, ...]]:
    """By name of an operation that reads a weight: the weight that the next such operation reads.

    Operators `by_rows` read on themselves.
    """
    result = {}
    previous: tuple[str, tuple[object, ...]] | None = None
    for node in operations:
        weight = None if node.target in by_rows else _weight_of(node, fused)
        if weight is None:
            continue
        if previous is not None and previous[1] != weight:
            result[previous[0]] = weight
        previous = node.name, weight
    return result


def mapped_tensors(node: fx.Node, step: PlannedStep) -> list[Place]:
    """The operands and results of an operation that lie in a mapped file."""
    places: list[Place] = [(operand, 0) for operand in node.all_input_nodes]
    places += [(node, index) for index in range(len(tensors_of(node)))]
    return [place for place in places if _is_mapped(place, step)]


def _weight_of(node: fx.Node, fused: frozenset[str]) -> tuple[object, ...] | None:
    """The arguments of `lowpeak::read_ahead` for the weight that a kernel of ours reads from a file, if it
    reads one."""
    if not is_fused(node, fused):
        return None
    given = operands(node)
    if not given.keys() >= set(STORED):
        return None
    parts = tuple(given[name] for name in STORED)
    # Rows that the step has selected are in no file.
    in_file = all(part.op == "placeholder" for part in parts if isinstance(part, fx.Node))
    return parts if in_file else None


def _is_mapped(place: Place, step: PlannedStep) -> bool:
    node, index = place
    location = step.view.locations[node.name][index]
    return location.value is None or location.value in step.view.outside
