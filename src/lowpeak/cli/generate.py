"""`lowpeak generate`: text from an artifact's model with its trained adapter, on this machine."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from lowpeak.cli.checks import require_artifact
from lowpeak.cli.output import Debug, Json, mb, note, print_result, table, telling, working
from lowpeak.cli.simulate import ArtifactArgument
from lowpeak.cli.trust import Expect, SignedBy
from lowpeak_runtime.train.stop import STOPPED


def generate_command(
    artifact: ArtifactArgument,
    prompt: Annotated[str, typer.Option(help="Text that the model continues.")],
    chat: Annotated[
        bool, typer.Option("--chat", help="The prompt is a user's message, which the model answers.")
    ] = False,
    run: Annotated[Path | None, typer.Option(help="Folder of a run, whose adapter is used.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="File of a checkpoint, in place of --run.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of the answer.")] = 128,
    temperature: Annotated[float, typer.Option(min=0, help="0 takes the likeliest token.")] = 0.0,
    seed: Annotated[
        int, typer.Option(min=-(2**63), max=2**63 - 1, help="Of the tokens drawn by chance.")
    ] = 0,
    expect: Expect = None,
    signed_by: SignedBy = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Generate text on this machine, in the memory that the artifact was compiled for."""
    require_artifact(artifact)
    if run is not None and checkpoint is not None:
        raise typer.BadParameter("give --run or --checkpoint, not both")
    if not math.isfinite(temperature):
        raise typer.BadParameter(f"--temperature is a finite number, not {temperature}")
    with working("generating") as say:
        say("loading torch and transformers")
        from lowpeak_artifact.artifact import Artifact
        from lowpeak_runtime.generate import generate

        say("checking the artifact")
        opened = Artifact.open(artifact, expect=expect, signed_by=signed_by)

    def show(piece: str) -> None:
        if not json:
            with telling():
                sys.stdout.write(piece)
                sys.stdout.flush()

    messages = [{"role": "user", "content": prompt}] if chat else prompt
    answer = generate(
        opened,
        messages,
        run=run,
        checkpoint=checkpoint,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
        on_text=show,
        tell=note,
    )
    show("\n")
    speed = "" if answer.tokens_per_second is None else f", {answer.tokens_per_second:.1f} tokens/s"
    record = opened.manifest.generate
    assert record is not None
    rows = {
        "tokens": f"{answer.prompt_tokens} + {len(answer.ids)}, stopped by {answer.stop_reason}{speed}",
        "peak memory": f"{mb(answer.peak_rss_bytes)}, {mb(record.planned_peak_bytes)} planned",
    }
    print_result(dataclasses.asdict(answer), json, table("generated", rows))
    if answer.stopped:
        raise typer.Exit(STOPPED)
