"""`lowpeak train`: an artifact's adapter trained on this machine, in the runtime that it was compiled for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lowpeak.cli.checks import require_artifact, require_data, require_run_folder
from lowpeak.cli.output import Debug, Json, counting, mb, note, print_result, table, working
from lowpeak.cli.run_options import (
    Accumulate,
    CheckpointEvery,
    Clip,
    Data,
    LearningRate,
    Optimizer,
    Out,
    Resume,
    Schedule,
    Seed,
    Steps,
    Warmup,
    WeightDecay,
    optimizer_options,
)
from lowpeak.cli.signals import stop_by_signals
from lowpeak.cli.simulate import ArtifactArgument
from lowpeak.cli.training import RunView, exit_code, how_to_continue
from lowpeak.cli.trust import Expect, SignedBy
from lowpeak_compiler.config import TrainingOptions

if TYPE_CHECKING:
    from rich.table import Table

    from lowpeak_runtime.data.summary import Summary
    from lowpeak_runtime.train.optimizer import OptimizerOptions
    from lowpeak_runtime.train.trainer import TrainReport


def train_command(
    artifact: ArtifactArgument,
    data: Data,
    steps: Steps,
    out: Out = None,
    resume: Resume = False,
    optimizer: Optimizer = TrainingOptions.optimizer,
    learning_rate: LearningRate = 2e-4,
    weight_decay: WeightDecay = 0.0,
    clip: Clip = None,
    warmup: Warmup = 0,
    schedule: Schedule = "constant",
    seed: Seed = 0,
    accumulate: Accumulate = 1,
    checkpoint_every: CheckpointEvery = 50,
    engine: Annotated[
        Literal["auto", "native", "python"],
        typer.Option(help="lowpeak-runner, the Python worker, or the first where it is built."),
    ] = "auto",
    metrics: Annotated[
        Path | None, typer.Option(help="File that one JSON object a step is added to.")
    ] = None,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only write job and batches, for lowpeak-runner elsewhere.")
    ] = False,
    expect: Expect = None,
    signed_by: SignedBy = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train an artifact's adapter; the folder of the run then holds it as PEFT files."""
    require_artifact(artifact)
    require_data(data)
    folder = out or artifact.resolve().with_name(f"{artifact.resolve().name}-trained")
    require_run_folder(folder)
    options = optimizer_options(optimizer, learning_rate, weight_decay, clip, warmup, schedule)
    if prepare:
        _prepare(
            artifact, data, steps, folder, options, resume, seed, accumulate, checkpoint_every, expect,
            signed_by, json,
        )  # fmt: skip
        return
    with counting("training", steps) as say:
        say(0, "loading torch and transformers")
        from lowpeak_artifact.artifact import Artifact
        from lowpeak_runtime.train.trainer import train

        say(0, "checking the artifact")
        opened = Artifact.open(artifact, expect=expect, signed_by=signed_by)
        say(0, "looking through the data")
        view = RunView(steps, opened.manifest.budget_bytes, say)
        with stop_by_signals(view.stopping) as stop:
            report = train(
                opened,
                data,
                steps=steps,
                optimizer=options,
                out=folder,
                resume=resume,
                seed=seed,
                accumulate=accumulate,
                checkpoint_every=checkpoint_every,
                engine=engine,
                metrics=metrics,
                on_step=view.show,
                on_read=view.reading,
                tell=note,
                stop=stop,
            )
    if report.stopped:
        note(how_to_continue(report.steps, steps, report.stop_reason or "it does not say why"))
    print_result(train_figures(report), json, train_table(report))
    say_what_is_left_out(report.data)
    raise typer.Exit(exit_code(report.stop_reason, report.steps, steps))


def _prepare(
    artifact: Path,
    data: Path,
    steps: int,
    folder: Path,
    optimizer: OptimizerOptions,
    resume: bool,
    seed: int,
    accumulate: int,
    checkpoint_every: int,
    expect: str | None,
    signed_by: str | None,
    json: bool,
) -> None:
    with working("preparing") as say:
        say("loading torch and transformers")
        from lowpeak_artifact.artifact import Artifact
        from lowpeak_export.executorch.library import OPS, RUNNER
        from lowpeak_runtime.train.trainer import prepare

        say("checking the artifact")
        opened = Artifact.open(artifact, expect=expect, signed_by=signed_by)
        say("encoding the data")
        prepared = prepare(
            opened,
            data,
            steps=steps,
            out=folder,
            optimizer=optimizer,
            resume=resume,
            seed=seed,
            accumulate=accumulate,
            checkpoint_every=checkpoint_every,
            on_read=lambda seen: say(f"encoding the data: {seen.seen} examples, {seen.dropped} left out"),
        )
    figures = {"job": prepared.job, "data": data_figures(prepared.data)}
    rows = {"job": str(prepared.job)}
    if prepared.data is not None:
        rows["data"] = data_row(prepared.data)
    print_result(figures, json, table("prepared", rows))
    say_what_is_left_out(prepared.data)
    note(
        f"in its folder, with the artifact at the same place beside it: {RUNNER} job.json --ops-library {OPS}"
    )


def train_figures(report: TrainReport) -> dict[str, Any]:
    """The verb's JSON. Bytes and seconds."""
    return {
        "manifest_sha256": report.manifest_sha256,
        "engine": report.engine,
        "steps": report.steps,
        "start_step": report.start_step,
        "goal_steps": report.goal_steps,
        "stop_reason": report.stop_reason,
        "losses": report.losses,
        "skipped_batches": report.skipped_batches,
        "step_seconds": report.step_seconds,
        "tokens_per_second": report.tokens_per_second,
        "planned_peak_bytes": report.planned_peak_bytes,
        "planned_anonymous_bytes": report.planned_anonymous_bytes,
        "peak_anonymous_bytes": report.peak_anonymous_bytes,
        "peak_rss_bytes": report.peak_rss_bytes,
        "baseline_rss_bytes": report.baseline_rss_bytes,
        "peak_held_bytes": report.peak_held_bytes,
        "budget_bytes": report.budget_bytes,
        "adapter": report.adapter,
        "data": data_figures(report.data),
    }


def data_figures(data: Summary | None) -> dict[str, Any] | None:
    """Examples and tokens."""
    return None if data is None else dataclasses.asdict(data)


def data_row(data: Summary) -> str:
    words = (
        f"{data.seen} of {data.examples} examples seen, {data.dropped} left out, {data.truncated} truncated"
    )
    return f"{words}; {data.tokens} tokens, {data.trainable_tokens} with a loss"


def say_what_is_left_out(data: Summary | None) -> None:
    for words in () if data is None else data.notes:
        note(words)


def train_table(report: TrainReport) -> Table:
    by = "lowpeak-runner" if report.engine == "native" else "the Python worker"
    rows = {"steps": f"{report.steps}, {report.steps - report.start_step} of them now, by {by}"}
    if report.losses:
        rows["loss"] = f"{report.losses[0]:.4f} -> {report.losses[-1]:.4f}"
        rows["step"] = f"{report.step_seconds:.3g} s"
        native = report.engine == "native"
        whose = "of the process" if native else f"beyond Python's {mb(report.baseline_rss_bytes)}"
        rows["peak memory"] = f"{mb(report.peak_held_bytes)} {whose}, budget {mb(report.budget_bytes)}"
        rows["anonymous memory"] = (
            f"{mb(report.peak_anonymous_bytes)} measured, {mb(report.planned_anonymous_bytes)} planned"
        )
    if report.tokens_per_second is not None:
        rows["speed"] = f"{report.tokens_per_second:.1f} tokens/s"
    if report.data is not None:
        rows["data"] = data_row(report.data)
    if report.adapter is not None:
        rows["adapter"] = str(report.adapter)
    return table("trained", rows)
