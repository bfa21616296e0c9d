"""`lowpeak deploy`: an artifact to a phone over adb, and trained there."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowpeak.cli.checks import require_artifact, require_data
from lowpeak.cli.output import Debug, Json, counting, mb, note, print_result, table
from lowpeak.cli.run_options import (
    Accumulate,
    CheckpointEvery,
    Clip,
    LearningRate,
    Optimizer,
    Out,
    Resume,
    Schedule,
    Seed,
    Warmup,
    WeightDecay,
    optimizer_options,
)
from lowpeak.cli.signals import Ended
from lowpeak.cli.simulate import ArtifactArgument
from lowpeak.cli.train import data_figures, data_row, say_what_is_left_out
from lowpeak.cli.training import RunView, exit_code, how_to_continue
from lowpeak.cli.trust import Expect, SignedBy
from lowpeak_compiler.config import TrainingOptions

if TYPE_CHECKING:
    from rich.table import Table

    from lowpeak.phone.deploy import DeployReport

MEGABYTE = 10**6
INTERRUPTED_NOTE = (
    "interrupted: the device keeps what was sent and the steps that were made; the same command goes on, "
    "with --resume once there is a step, and `lowpeak pull` brings it home"
)
DeviceOption = Annotated[str | None, typer.Option(help="Serial number, where there are several.")]
AppOption = Annotated[
    bool | None,
    typer.Option(
        "--app/--no-app",
        help="In the demo app, or by lowpeak-runner under adb's shell. By default in the app if it is "
        "installed and --runner is not given.",
        show_default=False,
    ),
]
Name = Annotated[
    str | None, typer.Option(help="What the run is called on the device; by default as its folder here.")
]


def deploy_command(
    artifact: ArtifactArgument,
    run: Annotated[bool, typer.Option("--run", help="Train there, too.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="For --run. JSONL: messages, prompt and completion, or text.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="For --run. Updates that the adapter shall have had in all.")
    ] = None,
    app: AppOption = None,
    install: Annotated[
        Path | None, typer.Option(help="The demo app's APK, to install first. For --app.")
    ] = None,
    runner: Annotated[
        Path | None,
        typer.Option(
            help="lowpeak-runner built for the device, or the folder of it and its libraries.",
            show_default="LOWPEAK_ANDROID_RUNNER",
        ),
    ] = None,
    device: DeviceOption = None,
    name: Name = None,
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
    expect: Expect = None,
    signed_by: SignedBy = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Push an artifact to a phone over adb; with --run, train its adapter there."""
    if run != (steps is not None) or run != (data is not None):
        raise typer.BadParameter("--run needs --data and --steps, and they are for --run only")
    if runner is not None and (app or install is not None):
        raise typer.BadParameter("--runner is for --no-app: the app has its own")
    require_artifact(artifact)
    if data is not None:
        require_data(data)
    options = optimizer_options(optimizer, learning_rate, weight_decay, clip, warmup, schedule)
    try:
        with counting("training" if steps else "deploying", steps or 1) as say:
            say(0, "loading torch and transformers")
            from lowpeak.phone.deploy import deploy
            from lowpeak_artifact.artifact import Artifact

            say(0, "checking the artifact")
            opened = Artifact.open(artifact, expect=expect, signed_by=signed_by)
            say(0, "asking the device")
            view = RunView(steps or 0, opened.manifest.budget_bytes, say)
            report = deploy(
                opened,
                data,
                steps=steps,
                out=out,
                device=device,
                runner=runner,
                name=name,
                app=app,
                apk=install,
                optimizer=options,
                resume=resume,
                seed=seed,
                accumulate=accumulate,
                checkpoint_every=checkpoint_every,
                on_push=lambda there, total, file: say(0, f"{_of(there, total)} are there ({file})"),
                on_step=view.show,
                tell=note,
            )
    except Ended:
        with suppress(OSError):
            note(INTERRUPTED_NOTE)
        raise
    print_result(deploy_figures(report), json, deploy_table(report))
    say_what_is_left_out(report.data)
    if report.steps < report.goal_steps:
        note(how_to_continue(report.steps, report.goal_steps, report.stop_reason or "it does not say why"))
    raise typer.Exit(exit_code(report.stop_reason, report.steps, report.goal_steps))


def deploy_figures(report: DeployReport) -> dict[str, Any]:
    """The verb's JSON. Bytes and seconds."""
    return {**dataclasses.asdict(report), "data": data_figures(report.data)}


def deploy_table(report: DeployReport) -> Table:
    where = "adb's shell" if report.app_version is None else f"the app {report.app_version}"
    rows = {
        "device": f"{report.device} ({report.model}), {where}",
        "sent": f"{mb(report.sent_bytes)}, the rest was there",
    }
    if report.run_folder is None:
        rows["artifact"] = report.artifact_folder
        return table("deployed", rows)
    rows["run"] = report.run_folder
    rows["steps"] = f"{report.steps}, {report.steps - report.start_step} of them now"
    if report.losses:
        rows["loss"] = f"{report.losses[0]:.4f} -> {report.losses[-1]:.4f}"
        rows["step"] = f"{report.step_seconds:.3g} s"
        rows["peak memory"] = f"{mb(report.peak_rss_bytes)} of the process, budget {mb(report.budget_bytes)}"
    if report.data is not None:
        rows["data"] = data_row(report.data)
    return table("trained on the device", rows)


def _of(there: int, total: int) -> str:
    return f"{there / MEGABYTE:.1f} of {mb(total)}"
