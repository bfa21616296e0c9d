"""Runs passes over a TrainGraph: verifies after each, counts what it did hands the result to an observer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from lowpeak_artifact.errors import told_as_model_error
from lowpeak_compiler.ir.graph import TrainGraph


class Pass(Protocol):
    """A frozen dataclass whose fields are its options. `run` returns how often it applied."""

    def run(self, graph: TrainGraph) -> int: ...


Observer = Callable[[str, TrainGraph, int], None]


@dataclass
class Runner:
    """`observe(name of the stage, graph, applications)` is called after every pass;
    `applied` keeps the counts.
    """

    observe: Observer | None = None
    applied: dict[str, int] = field(default_factory=dict)

    def run(self, graph: TrainGraph, passes: Iterable[Pass]) -> TrainGraph:
        for transformation in passes:
            name = type(transformation).__name__
            with told_as_model_error(f"the pass {name} failed"):
                count = transformation.run(graph)
                graph.graph.eliminate_dead_code()
                graph.drop_unused_inputs()
                graph.verify()
            self.saw(name, graph, count)
        return graph

    def saw(self, stage: str, graph: TrainGraph, count: int = 1) -> None:
        self.applied[stage] = self.applied.get(stage, 0) + count
        if self.observe:
            self.observe(stage, graph, count)
