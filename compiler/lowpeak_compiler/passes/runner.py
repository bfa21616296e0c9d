"""Runs passes over a TrainGraph: verifies after each, counts what it did, hands the result to an observer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lowpeak_artifact.errors import told_as_model_error
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.stage import Miss, Pass, Stage


@dataclass(frozen=True)
class Record:
    """What a stage did: how often it applied, and what it nearly did and why not."""

    name: str
    count: int
    missed: tuple[Miss, ...] = ()


Observer = Callable[[Record, TrainGraph], None]


@dataclass
class Runner:
    """`observe(record, graph)` is called after every stage. `records`: in the order of the stages; near
    misses are looked for with `explain`, or if somebody observes. `applied`: counts by class name.
    """

    observe: Observer | None = None
    explain: bool = False
    records: list[Record] = field(default_factory=list)
    applied: dict[str, int] = field(default_factory=dict)

    def run(self, graph: TrainGraph, passes: Iterable[Pass]) -> TrainGraph:
        for each in passes:
            with told_as_model_error(f"the pass {each.name} failed"):
                count = each.run(graph)
                graph.graph.eliminate_dead_code()
                graph.drop_unused_inputs()
                graph.verify()
                wrong = each.violation(graph)
                assert wrong is None, f"{each.name} left its work undone: {wrong}"
                missed = each.misses(graph) if self.explain or self.observe else []
            self.passed(each, graph, count, missed)
        return graph

    def passed(
        self, stage: Stage, graph: TrainGraph, count: int = 1, missed: Iterable[Miss] = ()
    ) -> TrainGraph:
        """The stage is done: the graph has its properties, which are checked."""
        graph.properties = stage.after(graph.properties)
        for known in graph.properties:
            wrong = known.violation(graph) if known.violation else None
            assert wrong is None, f"after {stage.name} the graph is not {known.name!r}: {wrong}"
        kind = type(stage).__name__
        self.applied[kind] = self.applied.get(kind, 0) + count
        self.records.append(Record(stage.name, count, tuple(missed)))
        if self.observe:
            self.observe(self.records[-1], graph)
        return graph
