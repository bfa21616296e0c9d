"""`lowpeak pull`: a phone's run brought home: checkpoint, metrics, and the adapter as PEFT files."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowpeak.cli.checks import require_artifact
from lowpeak.cli.deploy import DeviceOption, Name
from lowpeak.cli.output import Debug, Json, note, print_result, table, working
from lowpeak.cli.run_options import Out
from lowpeak.cli.simulate import ArtifactArgument
from lowpeak.cli.trust import Expect, SignedBy

if TYPE_CHECKING:
    from rich.table import Table

    from lowpeak.phone.pull import PullReport


PullApp = Annotated[
    bool | None,
    typer.Option(
        "--app/--no-app",
        help="From the demo app, or from adb's shell. By default from where there is such a run.",
        show_default=False,
    ),
]


def pull_command(
    artifact: ArtifactArgument,
    device: DeviceOption = None,
    name: Name = None,
    app: PullApp = None,
    out: Out = None,
    expect: Expect = None,
    signed_by: SignedBy = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Bring a run of `deploy` home; `lowpeak train --resume` goes on with it."""
    require_artifact(artifact)
    with working("pulling") as say:
        say("loading torch and transformers")
        from lowpeak.phone.pull import pull
        from lowpeak_artifact.artifact import Artifact

        opened = Artifact.open(artifact, verify=False, expect=expect, signed_by=signed_by)
        say("fetching the run")
        report = pull(opened, out=out, device=device, name=name, app=app, tell=note)
    print_result(pull_figures(report), json, pull_table(report))


def pull_figures(report: PullReport) -> dict[str, Any]:
    """The verb's JSON."""
    return dataclasses.asdict(report)


def pull_table(report: PullReport) -> Table:
    rows = {"device": report.device, "steps": str(report.steps)}
    if report.losses:
        rows["loss"] = f"{report.losses[0]:.4f} -> {report.losses[-1]:.4f}"
    rows |= {"metrics": str(report.metrics), "adapter": str(report.adapter)}
    return table("brought home", rows)
