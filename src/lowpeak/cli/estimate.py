"""`lowpeak estimate`: what a training step of a model will hold and take, from its config alone."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from lowpeak.cli.checks import require_model
from lowpeak.cli.compile_options import (
    Asked,
    ModelArgument,
    TrustRemoteCode,
    numbers,
    with_compile_options,
)
from lowpeak.cli.output import Debug, Json, note, print_result, working
from lowpeak_compiler.config import MEGABYTE

if TYPE_CHECKING:
    from lowpeak_compiler.estimate import Estimate


@with_compile_options
def estimate_command(
    model: ModelArgument,
    seq_len: Annotated[str, typer.Option(help="Tokens of a sequence, one or more: 512,1024.")],
    asked: Asked,
    budget_mb: Annotated[
        str, typer.Option(help="Also the fastest plan within so many megabytes, one or more: 256,400.")
    ] = "",
    trust_remote_code: TrustRemoteCode = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Estimate memory and time of a training step of MODEL, technique by technique, without its weights."""
    lengths = list(dict.fromkeys(numbers("--seq-len", seq_len, int)))
    budgets = [int(budget * MEGABYTE) for budget in numbers("--budget-mb", budget_mb, float)]
    if not lengths:
        raise typer.BadParameter("--seq-len names no length")
    steps = [asked.training(length) for length in lengths]
    require_model(model)
    estimates: list[Estimate] = []
    with working("estimating") as say:
        say("loading torch and transformers")
        from lowpeak.api import open_intake
        from lowpeak_compiler.estimate import estimate, within

        for length, training in zip(lengths, steps, strict=True):
            intake = open_intake(
                model, training, lora=asked.lora(), trust_remote_code=trust_remote_code, progress=say
            )

            def progress(what: str, length: int = length) -> None:
                say(f"{length} tokens: {what}")

            estimated = estimate(intake, training, asked.for_target(), budgets=budgets, progress=progress)
            estimates.extend(estimated)
            for budget in budgets:
                if not any(row.technique == within(budget) for row in estimated):
                    note(f"no plan for {length} tokens within {budget / MEGABYTE:g} MB was found")
    by_length = [[row for row in estimates if row.seq_len == length] for length in lengths]
    tables = [estimate_table(model, asked.device, rows) for rows in by_length]
    print_result([estimate_figures(row) for row in estimates], json, *tables)


def estimate_figures(row: Estimate) -> dict[str, Any]:
    """One object of the verb's JSON. Bytes and seconds."""
    return {**dataclasses.asdict(row), "peak_bytes": row.peak_bytes}


def estimate_table(model: str, device: str, estimates: list[Estimate]) -> Table:
    """Megabytes by category at the peak, and seconds: a column for each technique of one length."""
    title = f"{model}, {estimates[0].seq_len} tokens: MB at the peak of a step, seconds for {device}"
    table = Table("", title=title, title_justify="left")
    for row in estimates:
        table.add_column(row.technique, justify="right")
    for name in estimates[0].by_category:
        table.add_row(name, *(_megabytes(row.by_category[name]) for row in estimates))
    table.add_section()
    table.add_row("peak", *(_megabytes(row.peak_bytes) for row in estimates), style="bold")
    table.add_row("seconds", *(f"{row.step_seconds:.3g}" for row in estimates))
    return table


def _megabytes(nbytes: int) -> str:
    return f"{nbytes / MEGABYTE:.1f}"
