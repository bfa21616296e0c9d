"""`lowpeak demo`: compile, simulate and train a real model, and the same training in eager PyTorch."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from lowpeak.cli.checks import require_new_run
from lowpeak.cli.compile import compile_figures
from lowpeak.cli.output import Debug, Json, counting, mb, print_result, working
from lowpeak.cli.signals import stop_by_signals
from lowpeak.cli.simulate import require_same, simulate_figures, simulate_with_progress, timeline_columns
from lowpeak.cli.train import train_figures
from lowpeak.cli.training import RunView, exit_code
from lowpeak.demo import demo_data
from lowpeak_artifact.disk import temporary_folder
from lowpeak_artifact.linux import require_measured_memory

if TYPE_CHECKING:
    from lowpeak_artifact.artifact import Artifact
    from lowpeak_runtime.simulate.report import SimulationReport
    from lowpeak_runtime.train.eager import EagerReport
    from lowpeak_runtime.train.trainer import TrainReport

STEPS = 6
LEARNING_RATE = 1e-3
RUN_SUFFIX = "-trained"
STOCK = "stock"
BUDGETS_MB = {STOCK: 400.0, "lowpeak": 205.0}
"""Of the demo's 512 tokens, by kernels."""


def demo_command(
    budget_mb: Annotated[
        float | None,
        typer.Option(
            help="Megabytes that a training step may hold.", show_default="205, 400 with stock kernels"
        ),
    ] = None,
    seq_len: Annotated[int, typer.Option(help="Tokens of a sequence.")] = 512,
    kernels: Annotated[
        str | None,
        typer.Option(help="Kernel set of the runtime.", show_default="lowpeak where installed, else stock"),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="AdamW steps, ours and eager PyTorch's alike.")] = STEPS,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the artifact; by default a temporary one.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Compile SmolLM2-135M + LoRA, simulate it, train it in ExecuTorch, and compare with eager PEFT."""
    require_measured_memory()
    folder = out or Path(tempfile.mkdtemp(prefix="lowpeak-demo-", dir=temporary_folder())) / "artifact"
    run = folder.with_name(folder.name + RUN_SUFFIX)
    require_new_run(run)
    kernels = kernels or _installed_kernels()
    artifact, seconds = _compile(
        budget_mb or BUDGETS_MB.get(kernels, BUDGETS_MB[STOCK]), seq_len, kernels, folder
    )
    simulated = simulate_with_progress(folder, None)
    trained = _train(artifact, run, steps)
    if trained.stopped:
        raise typer.Exit(exit_code(trained.stop_reason, trained.steps, steps))
    eager = _train_eagerly(artifact, steps)
    figures = {
        "compile": compile_figures(artifact, seconds),
        "simulate": simulate_figures(simulated),
        "train": train_figures(trained),
        "eager": dataclasses.asdict(eager),
    }
    timeline = Text(simulated.to_text(timeline_columns()))
    print_result(figures, json, timeline, demo_table(artifact, simulated, trained, eager))
    require_same(simulated)


def demo_table(
    artifact: Artifact, simulated: SimulationReport, trained: TrainReport, eager: EagerReport
) -> Table:
    """Eager PyTorch beside lowpeak: memory, time, and how far apart they are."""
    plan = artifact.manifest.largest.plan
    planned = f"{mb(plan.planned_peak_bytes)} (budget {mb(plan.budget_bytes)})"
    measured = f"{mb(trained.peak_anonymous_bytes)} (planned {mb(plan.planned_anonymous_bytes)})"
    rows = [
        ("planned peak", "", planned),
        ("simulated peak", "", mb(simulated.simulated_peak_bytes)),
        ("measured peak, anonymous memory", mb(eager.peak_bytes), measured),
        ("measured peak, whole process", mb(eager.peak_rss_bytes), mb(trained.peak_rss_bytes)),
        ("median step", f"{eager.step_seconds:.2f} s", f"{trained.step_seconds:.2f} s"),
        ("mean loss, first -> last third", _first_to_last(eager.losses), _first_to_last(trained.losses)),
        ("largest difference of a loss", "", f"{largest_difference(trained.losses, eager.losses):.1e}"),
    ]
    if simulated.loss_relative_error is not None and simulated.gradient_cosine_min is not None:
        drift = (
            f"loss {simulated.loss_relative_error:.1e}, gradients' cosine {simulated.gradient_cosine_min:.8f}"
        )
        rows.append(("one step, simulated against eager", "", drift))
    table = Table("", "eager PEFT", title=artifact.manifest.model_name, title_justify="left")
    table.add_column("lowpeak", overflow="fold")
    for row in [*rows, ("artifact", "", str(artifact.path)), ("trained adapter", "", str(trained.adapter))]:
        table.add_row(*(Text(cell) for cell in row))
    return table


def largest_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Over the steps, relative to the other's loss."""
    return max(abs(a - b) / max(abs(b), 1e-30) for a, b in zip(ours, theirs, strict=True))


def _first_to_last(losses: Sequence[float]) -> str:
    """Every step sees another conversation, so single losses say little."""
    third = max(1, len(losses) // 3)
    return f"{fmean(losses[:third]):.4f} -> {fmean(losses[-third:]):.4f}"


def _installed_kernels() -> str:
    from lowpeak_export.executorch.library import LOWPEAK, runner_program

    return STOCK if runner_program() is None else LOWPEAK


def _compile(budget_mb: float, seq_len: int, kernels: str, folder: Path) -> tuple[Artifact, float]:
    with working("compiling") as say:
        say("loading torch and transformers")
        from lowpeak.api import DEMO, compile_for_device

        started = time.perf_counter()
        artifact = compile_for_device(
            DEMO, budget_mb, seq_len=seq_len, kernels=kernels, out=folder, progress=say
        )
    return artifact, time.perf_counter() - started


def _train(artifact: Artifact, run: Path, steps: int) -> TrainReport:
    from lowpeak_runtime.train.optimizer import OptimizerOptions
    from lowpeak_runtime.train.trainer import train

    with counting("training in ExecuTorch", steps) as say, demo_data() as data:
        view = RunView(steps, artifact.manifest.budget_bytes, say)
        with stop_by_signals(view.stopping) as stop:
            return train(
                artifact,
                data,
                steps=steps,
                optimizer=OptimizerOptions(learning_rate=LEARNING_RATE),
                out=run,
                on_step=view.show,
                stop=stop,
            )


def _train_eagerly(artifact: Artifact, steps: int) -> EagerReport:
    from lowpeak_runtime.train.eager import train_eagerly
    from lowpeak_runtime.train.optimizer import OptimizerOptions

    with counting("training in eager PyTorch", steps) as say, demo_data() as data:
        return train_eagerly(
            artifact,
            data,
            steps=steps,
            optimizer=OptimizerOptions(learning_rate=LEARNING_RATE),
            on_step=lambda step: say(step.step + 1, f"loss {step.loss:.4f}"),
        )
