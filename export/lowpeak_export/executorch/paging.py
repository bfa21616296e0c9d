"""Instructions beside the operators, for a runtime that maps files: what to read from the disk while an
operation runs, for the next one that reads or writes a file, and which pages nobody needs after it.

Pages that are not asked for are read one by one as they are touched, also those that are written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from torch import fx

from lowpeak_compiler.budget.planned import PlannedStep
from lowpeak_compiler.ir.graph import tensors_of

READ_AHEAD = "lowpeak::read_ahead"
GIVE_BACK = "lowpeak::give_back"

Place = tuple[fx.Node, int]
"""A tensor: the output of that number of a node."""


def needed_next(
    operations: Iterable[fx.Node],
    step: PlannedStep,
    by_rows: Collection[object],
    resident: Collection[str] = (),
) -> dict[str, list[Place]]:
    """By name of an operation with mapped tensors: those of the next such operation that it does not have.

    Operators `by_rows` read their tables on themselves; inputs that are `resident` are never given back.
    """
    result: dict[str, list[Place]] = {}
    previous: tuple[str, list[Place]] | None = None
    for node in operations:
        places = [] if node.target in by_rows else mapped_tensors(node, step, resident)
        if not places:
            continue
        if previous is not None and (more := [place for place in places if place not in previous[1]]):
            result[previous[0]] = more
        previous = node.name, places
    return result


def mapped_tensors(node: fx.Node, step: PlannedStep, resident: Collection[str] = ()) -> list[Place]:
    """The operands and results of an operation that lie in a mapped file, less those of `resident` inputs."""
    places: list[Place] = [(operand, 0) for operand in node.all_input_nodes]
    places += [(node, index) for index in range(len(tensors_of(node)))]
    return [place for place in places if _is_mapped(place, step, resident)]


def _is_mapped(place: Place, step: PlannedStep, resident: Collection[str]) -> bool:
    node, index = place
    location = step.view.locations[node.name][index]
    if location.frozen in resident:
        return False
    return location.value is None or location.value in step.view.outside
