"""The options of a training run, wherever it is: of `lowpeak train` and of `lowpeak deploy`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lowpeak_compiler.config import OptimizerName

if TYPE_CHECKING:
    from lowpeak_runtime.train.optimizer import OptimizerOptions

ScheduleName = Literal["constant", "cosine"]

Data = Annotated[Path, typer.Option(help="JSONL: messages, prompt and completion, or text.")]
Steps = Annotated[int, typer.Option(min=1, help="Updates that the adapter shall have had in all.")]
Out = Annotated[Path | None, typer.Option(help="Folder of the run; by default DIR-trained.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")]
Optimizer = Annotated[OptimizerName, typer.Option(help="How the adapter is updated.")]
LearningRate = Annotated[float, typer.Option("--learning-rate", "--lr", min=0, help="After the warm-up.")]
WeightDecay = Annotated[float, typer.Option(min=0, help="Decoupled for adamw.")]
Clip = Annotated[float | None, typer.Option(min=0, help="Largest norm of the gradients.")]
Warmup = Annotated[int, typer.Option(min=0, help="Steps in which the learning rate rises.")]
Schedule = Annotated[ScheduleName, typer.Option(help="After the warm-up.")]
Seed = Annotated[int, typer.Option(help="Of the order of the examples.")]
Accumulate = Annotated[int, typer.Option(min=1, help="Batches whose gradients make one update.")]
CheckpointEvery = Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")]


def optimizer_options(
    algorithm: OptimizerName,
    learning_rate: float,
    weight_decay: float,
    clip: float | None,
    warmup: int,
    schedule: ScheduleName,
) -> OptimizerOptions:
    """Raises BadParameter for values that no optimizer takes."""
    from lowpeak_runtime.train.optimizer import OptimizerOptions

    try:
        return OptimizerOptions(
            algorithm,
            learning_rate,
            weight_decay,
            clip_norm=clip,
            warmup_steps=warmup,
            schedule=schedule,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
