"""The passes of a compilation: their list, the graph after one of them, what was left unfused and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from lowpeak.cli.output import print_result, working
from lowpeak_artifact.make_folder import make_folder
from lowpeak_artifact.whole_file import writing_beside

if TYPE_CHECKING:
    from lowpeak.cli.compile_options import Asked
    from lowpeak_compiler.config import Budget, TargetOptions, TrainingOptions
    from lowpeak_compiler.ir.graph import TrainGraph
    from lowpeak_compiler.passes.contract import Pipeline
    from lowpeak_compiler.passes.runner import Record

PrintPasses = Annotated[
    bool, typer.Option("--print-passes", help="Only print the passes that would run, with their options.")
]
Until = Annotated[
    str | None, typer.Option(metavar="NAME", help="Stop after this pass, and write no artifact.")
]
DumpAfter = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Write the graph after this pass as text; can be given repeatedly."),
]
DumpTo = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder for --dump-after; by default OUT.passes.")
]
PARTS = {
    "forward": "on the model's own operators",
    "joint": "on the whole program in core ATen",
    "variant": "on each variant of it",
    "plan": "on the variant that is chosen",
}


def pipeline_of(
    training: TrainingOptions, for_target: TargetOptions, until: str | None, named: Sequence[str]
) -> Pipeline:
    """The list for these options, up to `until`. Raises BadParameter for names that are not in it."""
    from lowpeak_compiler.budget.targets import target
    from lowpeak_compiler.passes.contract import require_known
    from lowpeak_compiler.passes.pipeline import training_pipeline

    pipeline = training_pipeline(training, target(for_target.target, for_target.kernels))
    try:
        if until is not None:
            pipeline = pipeline.until(until)
        for name in named:
            require_known(name, pipeline.names)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return pipeline


def print_list(
    pipeline: Pipeline, training: TrainingOptions, for_target: TargetOptions, generate: bool, json: bool
) -> None:
    """The list of the training step; with `generate` also that of the program that generates, if the target
    has one.
    """
    from lowpeak_compiler.budget.targets import target
    from lowpeak_compiler.passes.lower.cached_attention import CachedAttention
    from lowpeak_compiler.passes.pipeline import generation_pipeline

    figures = {"training": list_figures(pipeline)}
    tables = [list_table(figures["training"], "one training step")]
    runtime = target(for_target.target, for_target.kernels)
    if generate and CachedAttention.name in runtime.fused:
        figures["generation"] = list_figures(generation_pipeline(training, runtime))
        tables.append(list_table(figures["generation"], "the program of `lowpeak generate`"))
    print_result(figures, json, *tables)


def list_figures(pipeline: Pipeline) -> list[dict[str, Any]]:
    """One object for each pass, in order."""
    listed = [(part, stage) for part in PARTS for stage in getattr(pipeline, part)]
    return [
        {
            "number": number,
            "name": stage.name,
            "part": part,
            "does": stage.summary(),
            "options": stage.options(),
            "requires": sorted(map(str, stage.requires)),
            "ensures": sorted(map(str, stage.ensures)),
            "ends": sorted(map(str, stage.ends)),
        }
        for number, (part, stage) in enumerate(listed, 1)
    ]


def list_table(figures: list[dict[str, Any]], program: str) -> Table:
    table = Table("", "pass", "what it does", "options", title=f"Passes of {program}", title_justify="left")
    for part, title in PARTS.items():
        table.add_section()
        table.add_row("", "", Text(title, style="italic"), "")
        for each in figures:
            if each["part"] == part:
                table.add_row(*(Text(str(each[column])) for column in ("number", "name", "does", "options")))
    return table


class Watch:
    """Observes passes: keeps what each did, and writes the graph after some of them into a folder.

    A file is NUMBER-NAME.txt, the number that of the list. With several sequence lengths each has a folder
    of its own; `lengths` in the order in which they are compiled.
    """

    def __init__(
        self, pipeline: Pipeline, names: Sequence[str], folder: Path, lengths: Sequence[int]
    ) -> None:
        self.numbers = {name: number for number, name in enumerate(pipeline.names, 1)}
        self.names = set(names)
        self.folders: Iterator[Path] = iter(
            [folder / str(length) for length in lengths] if len(lengths) > 1 else [folder]
        )
        self.folder = folder
        self.records: dict[str, Record] = {}
        self.files: dict[Path, None] = {}

    def __call__(self, record: Record, graph: TrainGraph) -> None:
        if record.name == next(iter(self.numbers)):
            self.folder, self.records = next(self.folders), {}
        self.records[record.name] = record
        if record.name in self.names:
            make_folder(self.folder)
            path = self.folder / f"{self.numbers[record.name]:02}-{record.name}.txt"
            with writing_beside(path, lasting=False) as file:
                file.write((graph.dump() + "\n").encode())
            self.files[path] = None

    def figures(self) -> dict[str, Any]:
        """What each pass did to the graph that was compiled last, and where the graphs are."""
        return {
            "passes": [
                {
                    "number": self.numbers[record.name],
                    "name": record.name,
                    "applied": record.count,
                    "unfused": [vars(miss) for miss in record.missed],
                }
                for record in self.records.values()
            ],
            "dumps": [str(path) for path in self.files],
            "did_not_run": sorted(self.names - set(self.records), key=self.numbers.__getitem__),
        }


def run_until(
    name: str,
    model: str,
    training: TrainingOptions,
    budget: Budget,
    asked: Asked,
    watch: Watch,
    seed: int,
    trust_remote_code: bool,
    json: bool,
) -> None:
    """Runs the passes up to this one, and prints what the graph is then."""
    with working("compiling") as say:
        say("loading torch and transformers")
        from lowpeak.api import open_intake
        from lowpeak_compiler.passes.runner import Runner
        from lowpeak_compiler.pipeline import graph_after

        lora = asked.lora()
        intake = open_intake(
            model, training, lora=lora, seed=seed, trust_remote_code=trust_remote_code, progress=say
        )
        say(f"until {name}")
        runner = Runner(watch)
        graph = graph_after(name, intake, training, asked.for_target(), budget, runner, progress=say)
    figures = {"until": name, "artifact": None, **graph_figures(graph), **watch.figures()}
    title = f"{model}, {training.seq_len} tokens, after {name}: no artifact was written"
    print_result(figures, json, graph_table(figures, title), *watch_tables(figures))


def watch_tables(figures: dict[str, Any]) -> list[Table | Text]:
    """How often each pass applied; nodes that were nearly fused, one line for all of one reason."""
    table = Table("", "pass", "applied", "nearly", title_justify="left")
    for each in figures["passes"]:
        table.add_row(
            str(each["number"]), each["name"], str(each["applied"]), str(len(each["unfused"]) or "")
        )
    shown: list[Table | Text] = [table]
    unfused = Table("pass", "left unfused", "why", title_justify="left")
    for each in figures["passes"]:
        groups: dict[tuple[str, str], list[dict[str, str]]] = {}
        for miss in each["unfused"]:
            groups.setdefault((miss["operator"], miss["reason"]), []).append(miss)
        for (operator, reason), misses in groups.items():
            first, more = misses[0], len(misses) - 1
            nodes = f"{first['node']} ({operator}) in {first['place']}" + (f", {more} more" if more else "")
            unfused.add_row(Text(each["name"]), Text(nodes), Text(reason))
    if unfused.rows:
        shown.append(unfused)
    shown += [Text(f"graph: {path}") for path in figures["dumps"]]
    shown += [
        Text(f"{name} did not run: there is nothing for it to do here") for name in figures["did_not_run"]
    ]
    return shown


def graph_figures(graph: TrainGraph) -> dict[str, Any]:
    """How many nodes there are, and how many of each operator, the most frequent first."""
    from lowpeak_compiler.ir.graph import operator_name

    operators = Counter(map(operator_name, graph.operations()))
    return {
        "inputs": sum(1 for _ in graph.inputs()),
        "operations": operators.total(),
        "results": len(graph.results),
        "properties": sorted(map(str, graph.properties)),
        "operators": dict(operators.most_common()),
    }


def graph_table(figures: dict[str, Any], title: str) -> Table:
    table = Table("operator", "nodes", title=title, title_justify="left")
    for operator, count in figures["operators"].items():
        table.add_row(operator, str(count))
    table.add_section()
    table.add_row("operations", str(figures["operations"]))
    table.add_row("inputs, results", f"{figures['inputs']}, {figures['results']}")
    return table
