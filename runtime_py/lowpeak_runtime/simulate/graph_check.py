"""Does every operation give what the graph says, and no more than there is room for? Asked before any runs.

Operations are run on tensors without memory, from the declared sizes of their operands. So one that would
take terabytes, or hours over a tensor that nothing holds, is refused, and not tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from lowpeak_artifact.errors import ArtifactError, LowpeakError
from lowpeak_artifact.ops.record import OPERATORS
from lowpeak_artifact.scheduled import NodeRef, Operation, ScheduledGraph, TensorPlace

LARGER = 16
"""Times that a view, such as a mask for every head, may be larger than all that is held."""
SPARE_BYTES = 1 << 20
MOST_FILE_BYTES = 1 << 40
"""Of offloaded values."""


def check_operations(graph: ScheduledGraph) -> None:
    """Raises ArtifactError naming the first operation that cannot be run as the graph says."""
    held = graph.arena_bytes + sum(each.tensor.nbytes for each in graph.inputs if each.tensor.offset is None)
    most = LARGER * held + SPARE_BYTES
    for name, places in _places(graph):
        for place in places:
            if place.nbytes > most:
                raise ArtifactError(
                    f"graph.json: {name} is {place.nbytes} bytes; with an arena of {graph.arena_bytes} bytes "
                    f"and the weights it can be {most} at most"
                )
    with FakeTensorMode(), torch.no_grad():
        known = {each.node: [_empty(each.tensor)] for each in graph.inputs}
        for operation in graph.operations:
            results = _results(operation, known)
            places = operation.tensors
            # What is no view lies in the arena or a file afterwards, without gaps.
            kept = operation.view and places[0].offset is None
            known[operation.node] = results if kept else [_empty(place) for place in places]


def io_of(operation: Operation) -> str | None:
    """What the operation does with the offload file: write, read, or wait for what is read."""
    record = OPERATORS.get(operation.function)
    return record.io if record and record.io else None


def _places(graph: ScheduledGraph) -> Iterable[tuple[str, tuple[TensorPlace, ...]]]:
    yield from ((each.node, (each.tensor,)) for each in graph.inputs)
    yield from ((operation.node, operation.tensors) for operation in graph.operations)


def _empty(place: TensorPlace) -> Tensor:
    return torch.empty(place.shape, dtype=place.dtype)


def _results(operation: Operation, known: dict[str, list[Tensor]]) -> list[Tensor]:
    try:
        if io_of(operation) in ("write", "read"):
            return _offloaded(operation)
        args, kwargs = _resolved(operation, operation.args, known), operation.kwargs
        result = operation.function(*args, **{k: _resolved(operation, v, known) for k, v in kwargs.items()})
        results = [result] if isinstance(result, Tensor) else list(result)
        actual = [(tuple(each.shape), each.dtype) for each in results]
    except LowpeakError:
        raise
    # Whatever torch raises is about the sizes and arguments that the graph names.
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ArtifactError(
            f"{operation.operator} at {operation.node} cannot be run: {reason[0][:400]}"
        ) from error
    expected = [(place.shape, place.dtype) for place in operation.tensors]
    if actual != expected:
        raise ArtifactError(
            f"{operation.operator} at {operation.node} gives {actual}, the graph says {expected}"
        )
    return results


def _offloaded(operation: Operation) -> list[Tensor]:
    """Stores give an empty tensor, loads what is declared; both name a place in the file."""
    offset = operation.args[1]
    place = operation.tensors[0]
    if type(offset) is not int or not 0 <= offset <= MOST_FILE_BYTES:
        raise ArtifactError(f"{operation.operator} at {operation.node} has no place in a file: {offset!r}")
    if io_of(operation) == "write":
        return [torch.empty(0, dtype=torch.uint8)]
    _, _, shape, dtype = operation.args
    if tuple(shape) != place.shape or dtype != place.dtype:
        raise ArtifactError(
            f"{operation.operator} at {operation.node} gives {dtype} {shape}, the graph says {place.dtype} "
            f"{list(place.shape)}"
        )
    return [_empty(place)]


def _resolved(operation: Operation, argument: Any, known: dict[str, list[Tensor]]) -> Any:
    if isinstance(argument, NodeRef):
        values = known[argument.name]
        return values if operation.operator == "getitem" else values[0]
    if isinstance(argument, list | tuple):
        return type(argument)(_resolved(operation, item, known) for item in argument)
    return argument
