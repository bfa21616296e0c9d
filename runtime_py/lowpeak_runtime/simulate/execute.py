"""Runs a scheduled graph node by node with every value at its planned place in one arena.

An operation reads its operands where they lie, and its result is copied to where the plan says. Bytes of
values that nobody reads any more are poisoned at once. So a lifetime that is too short, or two values on the
same bytes, end in a wrong loss or a wrong gradient, or in an adapter that is not what it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lowpeak_artifact.errors import ArtifactError, DataError, LowpeakError
from lowpeak_artifact.scheduled import NodeRef, Operation, ScheduledGraph, TensorPlace
from lowpeak_runtime.simulate.arena import Arena, OffloadFile
from lowpeak_runtime.simulate.graph_check import check_operations, io_of

Root = tuple[str, int]
"""A value that owns bytes: output number of a node."""


@dataclass(frozen=True)
class TimelineStep:
    """One operation, and the bytes of values live while it runs, by category."""

    step: int
    name: str
    live: dict[str, int]

    @property
    def live_bytes(self) -> int:
        return sum(self.live.values())


@dataclass(frozen=True)
class Execution:
    """One step as it ran. `touched_bytes`: how much of the arena was used."""

    loss: float
    gradients: dict[str, Tensor]
    timeline: tuple[TimelineStep, ...]
    touched_bytes: int


def execute(
    graph: ScheduledGraph,
    batch: Mapping[str, Tensor],
    adapter: Mapping[str, Tensor],
    frozen: Callable[[str], Tensor],
    constants: Mapping[str, Tensor],
    progress: Callable[[int, int], None] | None = None,
) -> Execution:
    """`batch`: what the graph takes (BatchSpec.graph_inputs); `progress(operations done, in all)`.

    Raises DataError for a batch that does not fit, ArtifactError for an operation that cannot be run or a
    step that overwrites the adapter.
    """
    check_operations(graph)
    with OffloadFile() as offloaded, torch.no_grad():
        run = _Run(graph, Arena(graph.arena_bytes), offloaded)
        sources: dict[str, Callable[[str], Tensor | None]] = {
            "batch": batch.get,
            "adapter": adapter.get,
            "frozen": frozen,
            "constant": constants.get,
        }
        for each in graph.inputs:
            run.enter(each.node, each.tensor, sources[each.kind](each.name), f"{each.kind} {each.name}")
        for index, operation in enumerate(graph.operations):
            run.step(operation)
            if progress:
                progress(index + 1, len(graph.operations))
        for each in graph.inputs:
            if each.kind == "adapter" and not torch.equal(run.read(each.node), adapter[each.name]):
                raise ArtifactError(f"the plan is wrong: the step overwrites the adapter tensor {each.name}")
        loss, *rest = graph.results
        gradients = {
            name: run.taken[node] if graph.gradients_taken else run.read(node).clone()
            for name, node in zip(graph.gradients, rest, strict=True)
        }
        found_loss = run.read(loss).item()
    return Execution(
        found_loss,
        gradients,
        tuple(run.timeline),
        run.arena.touched_bytes,
    )


class _Run:
    """The state between two operations."""

    def __init__(self, graph: ScheduledGraph, arena: Arena, offloaded: OffloadFile) -> None:
        self.arena = arena
        self.offloaded = offloaded
        self.places: dict[str, TensorPlace] = {}
        self.outside: dict[str, Tensor] = {}
        self.in_file: dict[Root, Tensor] = {}
        """Results that have no place in the arena."""
        self.timeline: list[TimelineStep] = []
        self.roots = _roots(graph)
        self.last_reader = _last_readers(graph, self.roots)
        self.live: dict[Root, TensorPlace] = {}
        self.bytes_by_category: Counter[str] = Counter()
        self.taken: dict[str, Tensor] = {}
        """Gradients by the node that they are the value of, copied when their operation ran."""
        self.gradient_places = _gradient_places(graph, self.roots) if graph.gradients_taken else {}

    def enter(self, node: str, place: TensorPlace, value: Tensor | None, what: str) -> None:
        """An input's value goes to the arena, or stays where it is."""
        self.places[node] = place
        actual = None if value is None else (tuple(value.shape), value.dtype)
        if actual != (place.shape, place.dtype):
            raise (DataError if what.startswith("batch") else ArtifactError)(
                f"the graph takes {what} of shape {list(place.shape)} and type {place.dtype}, it is "
                f"{'missing' if actual is None else f'{list(actual[0])} and {actual[1]}'}"
            )
        assert value is not None
        if place.offset is None:
            self.outside[node] = value
        else:
            self.arena.view(place).copy_(value)
            self._begin((node, 0), place)

    def read(self, node: str) -> Tensor:
        if (node, 0) in self.in_file:
            return self.in_file[node, 0]
        return self.outside[node] if node in self.outside else self.arena.view(self.places[node])

    def step(self, operation: Operation) -> None:
        self.places[operation.node] = operation.tensors[0]
        if operation.view:
            if operation.tensors[0].offset is None:
                (root,) = self.roots[operation.node]
                taken = operation.operator == "getitem" and root in self.in_file
                self.outside[operation.node] = self.in_file[root] if taken else self._call(operation)[0]
            return
        results = [result.clone() if self.arena.holds(result) else result for result in self._call(operation)]
        produced = {
            (operation.node, i): place
            for i, place in enumerate(operation.tensors)
            if place.offset is not None
        }
        dying = {
            root: self.live[root]
            for operand in operation.operands()
            for root in self.roots[operand]
            if root in self.live and self.last_reader.get(root) == operation.node
        }
        freed = {(place.offset, place.nbytes) for place in dying.values()}
        taken_over = {r: place for r, place in produced.items() if (place.offset, place.nbytes) in freed}
        self._begin_all({root: place for root, place in produced.items() if root not in taken_over})
        live = {category: size for category, size in self.bytes_by_category.items() if size}
        self.timeline.append(TimelineStep(len(self.timeline), operation.node, live))
        for root, place in dying.items():
            self.arena.poison(place)
            self._end(root)
        self._begin_all(taken_over)
        for index, (result, place) in enumerate(zip(results, operation.tensors, strict=True)):
            if place.offset is None:
                self.in_file[operation.node, index] = result
            else:
                self.arena.view(place).copy_(result)
        for node, place in self.gradient_places.get(operation.node, ()):
            self.taken[node] = self.arena.view(place).clone()
        for root in produced:
            if root not in self.last_reader:
                self._end(root)

    def _begin_all(self, produced: Mapping[Root, TensorPlace]) -> None:
        for root, place in produced.items():
            self._begin(root, place)

    def _begin(self, root: Root, place: TensorPlace) -> None:
        self.live[root] = place
        self.bytes_by_category[place.category or ""] += place.nbytes

    def _end(self, root: Root) -> None:
        place = self.live.pop(root)
        self.bytes_by_category[place.category or ""] -= place.nbytes

    def _call(self, operation: Operation) -> tuple[Tensor, ...]:
        """The operation's tensors, as it is recorded to give them."""
        args = [self._resolve(argument) for argument in operation.args]
        kwargs = {key: self._resolve(argument) for key, argument in operation.kwargs.items()}
        try:
            result = self._special(operation, args) or operation.function(*args, **kwargs)
        except LowpeakError:
            raise
        # Whatever torch raises is about the arguments that the graph names.
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise ArtifactError(
                f"{operation.operator} at {operation.node} cannot be run: {reason[0][:400]}"
            ) from error
        results = (result,) if isinstance(result, Tensor) else tuple(result)
        actual = [(tuple(each.shape), each.dtype) for each in results]
        expected = [(place.shape, place.dtype) for place in operation.tensors]
        if actual != expected:
            raise ArtifactError(
                f"{operation.operator} at {operation.node} gives {actual}, the graph says {expected}"
            )
        return results

    def _special(self, operation: Operation, args: list[Any]) -> tuple[Tensor, ...] | None:
        """Stores and loads go through a real file."""
        if io_of(operation) == "write":
            value, offset = args
            self.offloaded.store(offset, value)
            return (torch.empty(0, dtype=torch.uint8),)
        if io_of(operation) == "read":
            _, offset, shape, dtype = args
            return (self.offloaded.load(offset, tuple(shape), dtype),)
        return None

    def _resolve(self, argument: Any) -> Any:
        if isinstance(argument, NodeRef):
            return self.read(argument.name)
        return [self._resolve(item) for item in argument] if isinstance(argument, list) else argument


def _roots(graph: ScheduledGraph) -> dict[str, list[Root]]:
    """For every node the values whose bytes its tensors are; views lead to what they are views of."""
    roots: dict[str, list[Root]] = {each.node: [(each.node, 0)] for each in graph.inputs}
    for operation in graph.operations:
        if not operation.view:
            roots[operation.node] = [(operation.node, i) for i in range(len(operation.tensors))]
        elif operation.operator == "getitem":
            roots[operation.node] = [roots[operation.args[0].name][operation.args[1]]]
        else:
            roots[operation.node] = roots[operation.args[0].name]
    return roots


def _gradient_places(
    graph: ScheduledGraph, roots: Mapping[str, list[Root]]
) -> dict[str, list[tuple[str, TensorPlace]]]:
    """For every operation that makes gradients, their nodes (itself, or views of it) and places."""
    places = {operation.node: operation.tensors[0] for operation in graph.operations}
    by_name: dict[str, list[tuple[str, TensorPlace]]] = {}
    for node in graph.results[1:]:
        ((maker, _),) = roots[node]
        by_name.setdefault(maker, []).append((node, places[node]))
    return by_name


def _last_readers(graph: ScheduledGraph, roots: Mapping[str, list[Root]]) -> dict[Root, str | None]:
    """The operation that reads a value last; None for adapters and results, which outlive the step."""
    last: dict[Root, str | None] = {}
    for operation in graph.operations:
        if not operation.view:
            last.update(
                dict.fromkeys(
                    (root for operand in operation.operands() for root in roots[operand]), operation.node
                )
            )
    results = graph.results[:1] if graph.gradients_taken else graph.results
    kept: Iterable[str] = [*results, *(each.node for each in graph.inputs if each.kind == "adapter")]
    return last | {root: None for node in kept for root in roots[node]}
