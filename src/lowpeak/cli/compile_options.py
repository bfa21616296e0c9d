"""What a step is compiled with: the options that `lowpeak compile` and `lowpeak estimate` have alike."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

import typer

from lowpeak.cli.checks import require_adapter
from lowpeak_compiler.budget.devices import device
from lowpeak_compiler.config import (
    LORA_ALPHA,
    LORA_RANK,
    Loss,
    OptimizerName,
    Quantization,
    TargetOptions,
    TrainingOptions,
)

if TYPE_CHECKING:
    from peft import LoraConfig

N = TypeVar("N", int, float)

MODEL_HELP = "demo, a checkpoint folder, a .gguf file, config:<name>, or a Hugging Face hub name."
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run the Python code that the checkpoint brings.")
]


@dataclass(frozen=True)
class Asked:
    """A field is an option; its default is that of the record of options which it goes into."""

    batch_size: Annotated[int, typer.Option(help="Sequences of a batch.")] = TrainingOptions.batch_size
    loss: Annotated[Loss, typer.Option(help="Cross-entropy over the vocabulary, or over a subset of it.")] = (
        TrainingOptions.loss
    )
    subset_size: Annotated[int, typer.Option(help="Tokens of the subset, for --loss subset.")] = (
        TrainingOptions.subset_size
    )
    trainable_ratio: Annotated[
        float, typer.Option(help="Largest share of a batch's tokens that have a label.")
    ] = TrainingOptions.trainable_ratio
    quantization: Annotated[Quantization, typer.Option(help="Storage of frozen matrices.")] = (
        TrainingOptions.quantization
    )
    group_size: Annotated[int, typer.Option(help="Weights that share a scale: 32, 64 or 128.")] = (
        TrainingOptions.group_size
    )
    rank: Annotated[int, typer.Option(help="Rank of the LoRA adapter.")] = LORA_RANK
    alpha: Annotated[int, typer.Option(help="LoRA's scale is alpha / rank.")] = LORA_ALPHA
    target_modules: Annotated[
        str, typer.Option(help="Layers to adapt: all-linear, or names: q_proj,v_proj.")
    ] = "all-linear"
    target: Annotated[Literal["executorch", "onnxruntime"], typer.Option(help="Runtime.")] = (
        TargetOptions.target  # type: ignore[assignment]
    )
    kernels: Annotated[Literal["stock", "lowpeak"], typer.Option(help="Kernel set of the runtime.")] = (
        TargetOptions.kernels  # type: ignore[assignment]
    )
    device: Annotated[str, typer.Option(help="Device profile that times are predicted for.")] = (
        TargetOptions.device
    )
    optimizer: Annotated[OptimizerName, typer.Option(help="Whose state the budget includes.")] = (
        TrainingOptions.optimizer
    )

    def __post_init__(self) -> None:
        """ModelError for a device or an adapter that makes no sense, before torch is loaded."""
        device(self.device)
        require_adapter(self.rank, self.target_modules)

    def training(self, seq_len: int) -> TrainingOptions:
        return TrainingOptions(seq_len, **self._fields_of(TrainingOptions))

    def for_target(self) -> TargetOptions:
        return TargetOptions(**self._fields_of(TargetOptions))

    def keywords(self) -> dict[str, Any]:
        """For compile_for_device."""
        return {**self._fields_of(TrainingOptions), **self._fields_of(TargetOptions), "lora": self.lora()}

    def lora(self) -> LoraConfig:
        from peft import LoraConfig

        names = [name.strip() for name in self.target_modules.split(",") if name.strip()]
        targets = "all-linear" if names == ["all-linear"] else names
        return LoraConfig(r=self.rank, lora_alpha=self.alpha, target_modules=targets, task_type="CAUSAL_LM")

    def _fields_of(self, record: type[TrainingOptions | TargetOptions]) -> dict[str, Any]:
        names = {field.name for field in dataclasses.fields(record)}
        return {name: value for name, value in vars(self).items() if name in names}


def with_compile_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each field of Asked, which it takes together as `asked`."""
    own, fields = (get_type_hints(of, include_extras=True) for of in (command, Asked))
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name == "asked":
            parameters += [
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=field.default,
                    annotation=fields[field.name],
                )
                for field in dataclasses.fields(Asked)
            ]
        else:
            annotation = own[parameter.name]
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=annotation))

    @functools.wraps(command)
    def taken(**arguments: Any) -> None:
        asked = Asked(**{name: arguments.pop(name) for name in fields})
        command(asked=asked, **arguments)

    taken.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    taken.__annotations__ = {each.name: each.annotation for each in parameters}
    return taken


def numbers(option: str, text: str, kind: type[N]) -> list[N]:
    """Those between the commas, float or int. Raises typer.BadParameter for what is none."""
    try:
        return [kind(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        what = "whole numbers" if kind is int else "numbers"
        raise typer.BadParameter(f"{option} takes {what} with commas between them, not {text!r}") from error
