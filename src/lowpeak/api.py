"""The public face: compile a model for a device and a memory budget."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lowpeak.demo_model import fetch_demo_model
from lowpeak.generator import generator_of
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.batch import TARGETS
from lowpeak_artifact.batch_checks import tensors_of
from lowpeak_artifact.disk import temporary_folder
from lowpeak_artifact.errors import ModelError, told_as_environment_problem, told_as_model_error
from lowpeak_artifact.folder_lock import COMPILES, reserving
from lowpeak_artifact.quantize import quantize
from lowpeak_compiler.budget.targets import target as require_target
from lowpeak_compiler.config import (
    MEGABYTE,
    Budget,
    Loss,
    OptimizerName,
    Quantization,
    TargetOptions,
    TrainingOptions,
)
from lowpeak_compiler.frontend.intake import Intake, Model, take_in
from lowpeak_compiler.ir.graph import Quantized, TrainGraph
from lowpeak_compiler.passes.runner import Observer
from lowpeak_compiler.pipeline import Compiled, budget_search, compile_step
from lowpeak_compiler.plan.pareto import pareto
from lowpeak_export.build import Part, build, stored_bytes
from lowpeak_export.bundle import require_free_name, require_room_for_artifact
from lowpeak_export.emitters import emitter

DEMO = "demo"
NAMED_TOKENS = 5
"""In an error."""


@dataclass(frozen=True)
class CurvePoint:
    """A budget in bytes and the predicted seconds of a step within it."""

    budget: int
    seconds: float


@told_as_environment_problem()
@reserving(COMPILES)
def compile_for_device(
    model: Model,
    budget_mb: float,
    *,
    seq_len: int | Sequence[int] | None = None,
    batch_size: int = TrainingOptions.batch_size,
    lora: LoraConfig | None = None,
    loss: Loss = TrainingOptions.loss,
    subset_size: int = TrainingOptions.subset_size,
    trainable_ratio: float = TrainingOptions.trainable_ratio,
    quantization: Quantization = TrainingOptions.quantization,
    group_size: int = TrainingOptions.group_size,
    target: str = TargetOptions.target,
    kernels: str = TargetOptions.kernels,
    device: str = TargetOptions.device,
    optimizer: OptimizerName = TrainingOptions.optimizer,
    generate: bool = True,
    example_batch: Mapping[str, Tensor] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    trust_remote_code: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
    observe: Observer | None = None,
) -> Artifact:
    """Compiles one training step of `model` that holds at most `budget_mb` megabytes (10**6 bytes) resident.

    model: a PreTrainedModel (a LoRA is added: `lora`, by default rank 16 on all linear layers), a PeftModel,
    a checkpoint folder or .gguf file, `config:<name>` (real shapes, random weights), `demo`, or any nn.Module
    that returns a scalar loss for `module(**example_batch)`. It is not modified.
    seq_len: tokens of a sequence; needed for language models. Several lengths make as many programs over the
    same weights and adapter, each within the budget; an example is trained in the shortest that holds it.
    generate: also make the program of `lowpeak generate`, where the target and the model have one; the
    manifest says why not.
    tokenizer: in place of the model's own; a model in memory has none.
    trust_remote_code: run the Python code that a checkpoint brings, without which it is refused.
    out: the artifact's folder, by default a temporary one.
    observe: called after every pass with a record of what it did and the graph, which it must not change.

    Raises BudgetTooSmall (with the smallest budget), ModelError, UnsupportedOperator, ArtifactError (also
    when another process compiles into `out`) and EnvironmentProblem.
    """
    example = None if example_batch is None else tensors_of(example_batch)
    causal_lm = not isinstance(model, nn.Module) or isinstance(model, PreTrainedModel | PeftModel)
    plain_module = example is not None and not causal_lm
    if seq_len is None:
        seq_len = _length_of_no_tokens(plain_module)
    lengths = [seq_len] if isinstance(seq_len, int) else sorted(set(seq_len))
    if not lengths:
        raise ModelError("seq_len is an empty list: give at least one sequence length")
    if len(lengths) > 1 and (plain_module or target == "onnxruntime"):
        raise ModelError("several sequence lengths need a language model, and target='executorch'")
    if len(lengths) > 1 and example is not None:
        raise ModelError("an example batch is of one sequence length: give one seq_len, or no example_batch")
    budget, for_target = Budget(budget_mb), TargetOptions(target, kernels, device)
    steps = [
        TrainingOptions(
            length, batch_size, loss, subset_size, trainable_ratio, quantization, group_size, optimizer
        )
        for length in lengths
    ]
    folder = Path(out) if out is not None else _temporary() / "artifact"
    require_free_name(folder, overwrite)
    require_room_for_artifact(folder, 0)
    target_emitter = emitter(require_target(target, kernels))

    def check(graph: TrainGraph) -> None:
        target_emitter.check_operators(graph.operations())
        require_room_for_artifact(folder, stored_bytes(graph, programs=len(lengths)))

    def compiled_bucket(training: TrainingOptions) -> Compiled:
        say = progress if len(lengths) == 1 else lambda words: progress(f"{training.seq_len} tokens: {words}")
        intake = open_intake(
            model,
            training,
            lora=lora,
            example_batch=example,
            seed=seed,
            trust_remote_code=trust_remote_code,
            progress=say,
        )
        return compile_step(intake, training, for_target, budget, check=check, progress=say, observe=observe)

    # The longest first: it is the one that a budget is too small for.
    buckets = [compiled_bucket(each) for each in reversed(steps)][::-1]
    largest = buckets[-1]
    problem = None
    if tokenizer is None and not plain_module:
        tokenizer, problem = _tokenizer(largest.intake)
    if tokenizer is not None:
        problem = tokens_without_row(tokenizer, largest)
    if problem is not None:
        progress(problem)
    parts = [Part(compiled, sample_batch(compiled, example, seed)) for compiled in buckets]
    generator = (
        generator_of(largest, target_emitter.check_operators, tokenizer, progress) if generate else None
    )
    sample_loss = None
    if plain_module:
        assert isinstance(model, nn.Module)
        sample_loss = _eager_loss(model, largest, parts[-1].sample)
    from lowpeak_runtime.data.chat.compiled import write_chat_file

    with told_as_model_error("the compiled step cannot be written as a program"):
        return build(
            parts,
            target_emitter,
            folder,
            sample_loss=sample_loss,
            tokenizer=tokenizer,
            tokenizer_problem=problem,
            generator=generator,
            beside_tokenizer=write_chat_file,
            overwrite=overwrite,
            progress=progress,
        )


def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="lowpeak-", dir=temporary_folder()))


def open_intake(
    model: Model,
    training: TrainingOptions,
    *,
    lora: LoraConfig | None = None,
    example_batch: Mapping[str, Tensor] | None = None,
    seed: int = 0,
    trust_remote_code: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Intake:
    """The model in the compiler's form; `demo` is fetched."""
    if model == DEMO:
        model = fetch_demo_model(progress)
    with told_as_model_error("the model cannot be opened"):
        intake = take_in(
            model,
            seq_len=training.seq_len,
            batch_size=training.batch_size,
            lora=lora,
            example_batch=None if example_batch is None else tensors_of(example_batch),
            seed=seed,
            trust_remote_code=trust_remote_code,
        )
    if intake.model_config is None and (training.loss != "exact" or training.trainable_ratio < 1):
        raise ModelError(
            "loss='subset' and trainable_ratio are for causal language models: the loss of a plain module is "
            "its own"
        )
    return intake


def _length_of_no_tokens(plain_module: bool) -> int:
    """What stands for the sequence length of a plain module, which has none. Raises ModelError for others."""
    if plain_module:
        return 2
    raise ModelError("seq_len is missing: the number of tokens of a training sequence, e.g. seq_len=512")


def memory_time_curve(
    model: Model,
    *,
    seq_len: int | None = None,
    budgets_mb: Sequence[float] | None = None,
    points: int = 8,
    lora: LoraConfig | None = None,
    example_batch: Mapping[str, Tensor] | None = None,
    progress: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> list[CurvePoint]:
    """Predicted step time for each budget: by default `points` budgets from the smallest to where nothing is
    gained.

    `options`: those of compile_for_device that change the plan (loss, trainable_ratio, device, ...). No
    artifact is made.
    """
    if seq_len is None:
        seq_len = _length_of_no_tokens(isinstance(model, nn.Module) and example_batch is not None)
    for_target = TargetOptions(**{n: options.pop(n) for n in ("target", "kernels", "device") if n in options})
    training = TrainingOptions(seq_len, **options)
    intake = open_intake(model, training, lora=lora, example_batch=example_batch, progress=progress)
    planning = budget_search(intake, training, for_target, progress=progress)
    if budgets_mb is None:
        low = planning.minimum().budget
        high = max(low, planning.enough())
        budgets = [low + (high - low) * i // max(points - 1, 1) for i in range(points)]
    else:
        budgets = [int(budget * MEGABYTE) for budget in budgets_mb]
    return [CurvePoint(point.budget, point.plan.seconds) for point in pareto(planning.plan, budgets)]


def tokens_without_row(tokenizer: PreTrainedTokenizerBase, compiled: Compiled) -> str | None:
    """Which tokens the model's embedding has no row for; data that has one of them will be refused."""
    ids = next((each.ids for each in compiled.step.inputs if each.name == "input_ids"), None)
    if ids is None:
        return None
    beyond = sorted((number, token) for token, number in tokenizer.get_vocab().items() if number >= ids.rows)
    if not beyond:
        return None
    named = ", ".join(f"{token!r} ({number})" for number, token in beyond[:NAMED_TOKENS])
    more = f" and {len(beyond) - NAMED_TOKENS} more" if len(beyond) > NAMED_TOKENS else ""
    return (
        f"the tokenizer has {len(tokenizer)} tokens, the model's embedding {ids.rows} rows: data with "
        f"{named}{more} will be refused. If they are in use, give the tokenizer that the model was "
        "trained with"
    )


def sample_batch(compiled: Compiled, example: Mapping[str, Tensor] | None, seed: int) -> dict[str, Tensor]:
    """The example in the graph's types, else random tokens. Raises DataError when it does not fit."""
    batch = random_batch(compiled, seed) if example is None else example
    compiled.batch.graph_inputs(batch, inputs=compiled.step.inputs)
    return compiled.batch.checked(batch, compiled.step.inputs)


def random_batch(compiled: Compiled, seed: int) -> dict[str, Tensor]:
    """Seeded random tokens; the last ones have labels, as many as the artifact has room for."""
    training, config = compiled.training, compiled.intake.model_config
    assert config is not None
    generator = torch.Generator().manual_seed(seed)
    shape = (training.batch_size, training.seq_len)
    indexed = [
        each.ids.rows for each in compiled.step.inputs if each.ids and each.name in ("input_ids", TARGETS)
    ]
    limit = min(indexed) if indexed else config["vocab_size"]
    ids = torch.randint(0, limit, shape, generator=generator)
    labels = ids.clone()
    if training.rows is not None:
        labels.flatten()[: -max(1, training.rows)] = -100
    sample: dict[str, Any] = {"input_ids": ids, "labels": labels}
    if training.loss == "subset":
        sample["token_subset"] = torch.arange(training.subset_size)
    return sample


def _eager_loss(module: nn.Module, compiled: Compiled, sample: Mapping[str, Tensor]) -> float:
    """The module's own loss on the sample, with the frozen matrices as the artifact stores them."""
    stored = {r.name: r.format for _, r in compiled.step.graph.inputs() if isinstance(r, Quantized)}
    weights = compiled.intake.weights
    values = {name: quantize(weights.dense(name), format).dequantize() for name, format in stored.items()}
    with torch.no_grad():
        return float(functional_call(module, values, (), dict(sample)))


def _tokenizer(intake: Intake) -> tuple[PreTrainedTokenizerBase | None, str | None]:
    """The model's tokenizer, or why there is none: such an artifact trains on token ids."""
    if intake.load_tokenizer is None:
        return None, "a model in memory brings no tokenizer; pass tokenizer= to compile_for_device"
    try:
        return intake.load_tokenizer(), None
    except ModelError as error:
        return None, str(error)
