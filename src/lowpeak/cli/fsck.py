"""`lowpeak fsck`: what of an artifact, a run or an adapter is whole, and what can be saved."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from lowpeak.cli.output import Debug, Json, note, print_result, working

if TYPE_CHECKING:
    from rich.table import Table

    from lowpeak_runtime.fsck.fsck_report import FsckReport

COLOURS = {"damaged": "red", "missing": "red", "whole": "green"}


def fsck_command(
    folder: Annotated[Path, typer.Argument(help="Folder of an artifact, a run or a PEFT adapter.")],
    repair: Annotated[
        bool, typer.Option("--repair", help="Save what can be saved. Without it nothing is written.")
    ] = False,
    artifact: Annotated[
        Path | None, typer.Option(help="Of the run; by default that beside it, without -trained.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Check every file of an artifact, a run or an adapter; exit code 1 if one is damaged or missing."""
    with working("checking") as say:
        from lowpeak_runtime.fsck.fsck import fsck

        say("reading every file")
        report = fsck(folder, repair=repair, artifact=artifact)
    print_result(fsck_figures(report), json, fsck_table(report))
    for words in report.repaired:
        note(words)
    if not report.whole:
        raise typer.Exit(1)


def fsck_figures(report: FsckReport) -> dict[str, Any]:
    """The verb's JSON."""
    return {**dataclasses.asdict(report), "whole": report.whole}


def fsck_table(report: FsckReport) -> Table:
    from rich.table import Table

    what = f"{report.kind} {report.folder}: {'whole' if report.whole else 'damaged'}"
    title = f"{what}; a run trains there now" if report.in_use else what
    table = Table("file", "state", "", title=title, title_justify="left")
    for each in report.findings:
        words = ". ".join(filter(None, (each.detail, each.remedy)))
        table.add_row(Text(each.file), Text(each.state, style=COLOURS.get(each.state, "yellow")), Text(words))
    return table
