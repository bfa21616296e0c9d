"""`lowpeak simulate`: an artifact's step in its planned arena on this machine, beside eager PyTorch's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from lowpeak.cli.checks import require_artifact, require_data
from lowpeak.cli.output import Debug, Json, note, print_result, stdout_console, working
from lowpeak.cli.trust import Expect, SignedBy

if TYPE_CHECKING:
    from torch import Tensor

    from lowpeak_artifact.artifact import Artifact
    from lowpeak_runtime.simulate.report import SimulationReport

MIN_COLUMNS = 20
BESIDE_TIMELINE = 34
ArtifactArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of an artifact.")]


def simulate_command(
    artifact: ArtifactArgument,
    data: Annotated[Path | None, typer.Option(help="JSONL; its first batch instead of the sample.")] = None,
    seq_len: Annotated[int | None, typer.Option(help="Which sample; by default the longest.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Checkpoint folder or GGUF file to compare with; by default that beside DIR."),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0, help="Largest relative error of the loss that is taken for rounding; gradients' 100 times."
        ),
    ] = 1e-5,
    expect: Expect = None,
    signed_by: SignedBy = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Run an artifact's step in its planned memory and compare it with eager PyTorch; exit code 1 for another
    loss or other gradients.
    """
    report = simulate_with_progress(artifact, data, seq_len, model, expect, signed_by)
    print_result(simulate_figures(report, tolerance), json, Text(report.to_text(timeline_columns())))
    require_same(report, tolerance)


def simulate_with_progress(
    folder: Path,
    data: Path | None,
    seq_len: int | None = None,
    model: str | None = None,
    expect: str | None = None,
    signed_by: str | None = None,
) -> SimulationReport:
    require_artifact(folder)
    if data is not None:
        require_data(data)
    with working("simulating") as say:
        say("loading torch and transformers")
        from lowpeak_artifact.artifact import Artifact
        from lowpeak_runtime.simulate.simulate import simulate

        say("checking the artifact")
        artifact = Artifact.open(folder, expect=expect, signed_by=signed_by)
        batch = None if data is None else _first_batch(artifact, data)

        def progress(done: int, total: int) -> None:
            say(f"operation {done} of {total}" if done < total else "the same step in eager PyTorch")

        return simulate(artifact, seq_len=seq_len, batch=batch, reference=model, progress=progress)


def timeline_columns() -> int:
    """As many as leave room for the names and the sizes beside the timeline."""
    return max(MIN_COLUMNS, stdout_console().width - BESIDE_TIMELINE)


def require_same(report: SimulationReport, tolerance: float = 1e-5) -> None:
    """Says what is wrong with the step, if anything is, and ends the verb with 1."""
    problem = report.problem(tolerance)
    if problem is not None:
        note(f"{problem}. Compile it again; --model names what it was compiled from, if that has moved")
        raise typer.Exit(1)


def simulate_figures(report: SimulationReport, tolerance: float = 1e-5) -> dict[str, Any]:
    """The verb's JSON. Bytes and seconds; `problem`: words, or None."""
    return {
        "manifest_sha256": report.manifest_sha256,
        "planned_peak_bytes": report.planned_peak_bytes,
        "simulated_peak_bytes": report.simulated_peak_bytes,
        "loss": report.loss,
        "reference_loss": report.reference_loss,
        "loss_relative_error": report.loss_relative_error,
        "gradient_cosine_min": report.gradient_cosine_min,
        "gradient_relative_error_max": report.gradient_relative_error_max,
        "reference": report.reference,
        "predicted_step_seconds": report.predicted_step_seconds,
        "by_category": report.by_category,
        "problem": report.problem(tolerance),
    }


def _first_batch(artifact: Artifact, data: Path) -> dict[str, Tensor]:
    from lowpeak_runtime.data.prepare import training_data

    return training_data(artifact, data).first_batch(seed=0)
