"""`lowpeak export-gguf`: the adapter of a run as a GGUF LoRA, for llama.cpp and the apps made of it."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowpeak.cli.output import Debug, Json, mb, note, print_result, table, working
from lowpeak.cli.trust import Expect, SignedBy

if TYPE_CHECKING:
    from rich.table import Table

    from lowpeak.gguf_adapter import GgufReport


def export_gguf_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, or a PEFT adapter.")],
    base: Annotated[
        str | None,
        typer.Option(
            help="What it was trained for: artifact, checkpoint folder, .gguf file, hub name, demo; by "
            "default the artifact beside the run, or what the adapter names."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file; by default RUN/adapter.gguf.")] = None,
    expect: Expect = None,
    signed_by: SignedBy = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a trained adapter as a GGUF LoRA, which llama.cpp loads beside the base."""
    with working("exporting") as say:
        say("loading torch and transformers")
        from lowpeak.gguf_adapter import export_gguf

        say("writing the adapter")
        report = export_gguf(run, base=base, out=out, expect=expect, signed_by=signed_by)
    print_result(export_gguf_figures(report), json, export_gguf_table(report))
    command = shlex.join(["llama-cli", "-m", "BASE.gguf", "--lora", str(report.file)])
    note(f"beside the base's GGUF file: {command}")


def export_gguf_figures(report: GgufReport) -> dict[str, Any]:
    """The verb's JSON."""
    return dataclasses.asdict(report)


def export_gguf_table(report: GgufReport) -> Table:
    rows = {
        "file": str(report.file),
        "size": mb(report.file_bytes),
        "for": f"a base of the architecture {report.architecture}",
        "layers": f"{report.layers}, rank {', '.join(map(str, report.ranks))}, alpha {report.alpha:g}",
    }
    return table("exported", rows)
