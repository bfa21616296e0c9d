"""`lowpeak compile`: a model into an artifact that trains within a memory budget."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from lowpeak.cli.checks import require_model, require_options
from lowpeak.cli.output import Debug, Json, mb, note, print_result, table, working
from lowpeak_compiler.config import CompileOptions, Loss, OptimizerName, Quantization

if TYPE_CHECKING:
    from peft import LoraConfig
    from rich.table import Table

    from lowpeak_artifact.artifact import Artifact
    from lowpeak_artifact.manifest import BucketRecord

N = TypeVar("N", int, float)

MODEL_HELP = "demo, a checkpoint folder, a .gguf file, config:<name>, or a Hugging Face hub name."
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)]
BatchSize = Annotated[int, typer.Option(help="Sequences of a batch.")]
LossOption = Annotated[Loss, typer.Option(help="Cross-entropy over the vocabulary, or over a subset of it.")]
SubsetSize = Annotated[int, typer.Option(help="Tokens of the subset, for --loss subset.")]
TrainableRatio = Annotated[float, typer.Option(help="Largest share of a batch's tokens that have a label.")]
QuantizationOption = Annotated[Quantization, typer.Option(help="Storage of frozen matrices.")]
GroupSize = Annotated[int, typer.Option(help="Weights that share a scale: 32, 64 or 128.")]
Rank = Annotated[int, typer.Option(help="Rank of the LoRA adapter.")]
Alpha = Annotated[int, typer.Option(help="LoRA's scale is alpha / rank.")]
TargetModules = Annotated[str, typer.Option(help="Layers to adapt: all-linear, or names: q_proj,v_proj.")]
TargetOption = Annotated[Literal["executorch", "onnxruntime"], typer.Option(help="Runtime.")]
Kernels = Annotated[Literal["stock", "lowpeak"], typer.Option(help="Kernel set of the runtime.")]
Device = Annotated[str, typer.Option(help="Device profile that times are predicted for.")]
Optimizer = Annotated[OptimizerName, typer.Option(help="Whose state the budget includes.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run the Python code that the checkpoint brings.")
]
Seed = Annotated[int, typer.Option(help="Of the adapter's first values and the sample batch.")]


def compile_command(
    model: ModelArgument,
    budget_mb: Annotated[float, typer.Option(help="Megabytes (10**6 bytes) that a training step may hold.")],
    seq_len: Annotated[str, typer.Option(help="Tokens of a sequence, one or more: 128,256,512.")],
    out: Annotated[Path, typer.Option(help="Folder of the artifact.")],
    batch_size: BatchSize = 1,
    loss: LossOption = "exact",
    subset_size: SubsetSize = 1000,
    trainable_ratio: TrainableRatio = 1.0,
    quantization: QuantizationOption = "int4",
    group_size: GroupSize = 32,
    rank: Rank = 16,
    alpha: Alpha = 8,
    target_modules: TargetModules = "all-linear",
    target: TargetOption = "executorch",
    kernels: Kernels = "stock",
    device: Device = "generic-phone",
    optimizer: Optimizer = "adamw",
    generate: Annotated[
        bool, typer.Option(help="Also make the program of `lowpeak generate`, where there is one.")
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an artifact at --out.")] = False,
    seed: Seed = 0,
    trust_remote_code: TrustRemoteCode = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Compile MODEL into an artifact that trains within a memory budget."""
    lengths = numbers("--seq-len", seq_len, int)
    for length in lengths:
        options = CompileOptions(
            budget_mb, length, batch_size, loss, subset_size, trainable_ratio, quantization, group_size,
            target, kernels, device, optimizer,
        )  # fmt: skip
        require_options(options, rank, target_modules)
    require_model(model)
    with working("compiling") as say:
        say("loading torch and transformers")
        from lowpeak.api import compile_for_device

        started = time.perf_counter()
        artifact = compile_for_device(
            model,
            budget_mb,
            seq_len=lengths,
            batch_size=batch_size,
            lora=lora_config(rank, alpha, target_modules),
            loss=loss,
            subset_size=subset_size,
            trainable_ratio=trainable_ratio,
            quantization=quantization,
            group_size=group_size,
            target=target,
            kernels=kernels,
            device=device,
            optimizer=optimizer,
            generate=generate,
            out=out,
            overwrite=overwrite,
            seed=seed,
            trust_remote_code=trust_remote_code,
            progress=say,
        )
    seconds = time.perf_counter() - started
    print_result(compile_figures(artifact, seconds), json, compile_table(artifact, seconds))
    if artifact.manifest.tokenizer_problem is not None:
        note(f"Tokenizer: {artifact.manifest.tokenizer_problem}")


def numbers(option: str, text: str, kind: type[N]) -> list[N]:
    """Those between the commas, float or int. Raises typer.BadParameter for what is none."""
    try:
        return [kind(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        what = "whole numbers" if kind is int else "numbers"
        raise typer.BadParameter(f"{option} takes {what} with commas between them, not {text!r}") from error


def lora_config(rank: int, alpha: int, target_modules: str) -> LoraConfig:
    """Raises ModelError for a rank that makes no sense."""
    from peft import LoraConfig

    from lowpeak_artifact.errors import ModelError

    names = [name.strip() for name in target_modules.split(",") if name.strip()]
    targets = "all-linear" if names == ["all-linear"] else names
    if rank < 1 or not names:
        what = f"rank is {rank}; it must be at least 1" if rank < 1 else "target_modules names no layer"
        raise ModelError(f"{what} (rank 16 on all-linear is a good start)", rank=rank)
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, task_type="CAUSAL_LM")


def compile_figures(artifact: Artifact, seconds: float) -> dict[str, Any]:
    """The verb's JSON. Bytes and seconds."""
    plan = artifact.manifest.largest.plan
    return {
        "artifact": str(artifact.path),
        "manifest_sha256": artifact.sha256,
        "budget_bytes": plan.budget_bytes,
        "planned_peak_bytes": plan.planned_peak_bytes,
        "planned_anonymous_bytes": plan.planned_anonymous_bytes,
        "arena_bytes": plan.arena_bytes,
        "arena_lower_bound_bytes": plan.arena_lower_bound_bytes,
        "predicted_step_seconds": plan.predicted_step_seconds,
        "by_category": plan.by_category,
        "buckets": [
            {
                "seq_len": bucket.batch.seq_len,
                "planned_peak_bytes": bucket.plan.planned_peak_bytes,
                "planned_anonymous_bytes": bucket.plan.planned_anonymous_bytes,
                "arena_bytes": bucket.plan.arena_bytes,
                "predicted_step_seconds": bucket.plan.predicted_step_seconds,
            }
            for bucket in artifact.manifest.buckets
        ],
        "tokenizer_problem": artifact.manifest.tokenizer_problem,
        "generate_problem": artifact.manifest.generate_problem,
        "seconds": seconds,
    }


def compile_table(artifact: Artifact, seconds: float) -> Table:
    manifest = artifact.manifest
    plan = manifest.largest.plan
    arena = ", ".join(f"{name} {mb(size)}" for name, size in sorted(plan.by_category.items()))
    rows = {
        "budget": mb(plan.budget_bytes),
        "planned peak": f"{mb(plan.planned_peak_bytes)}, {mb(plan.planned_anonymous_bytes)} of it anonymous",
        "arena": f"{mb(plan.arena_bytes)} (at least {mb(plan.arena_lower_bound_bytes)})",
        "at its peak": arena,
        "optimizer state": mb(plan.optimizer_bytes),
        "weights": mb(plan.weights_bytes),
        "runtime": f"{mb(plan.runtime_bytes)}, and {mb(plan.code_bytes)} of code",
        "recomputed": f"{plan.recomputed_operations} operations",
        "step": f"{plan.predicted_step_seconds:.3g} s predicted for {manifest.device}",
        **{f"{bucket.batch.seq_len} tokens": _bucket_words(bucket) for bucket in manifest.buckets[:-1]},
        **({"does not generate": manifest.generate_problem} if manifest.generate_problem else {}),
        "artifact": str(artifact.path),
        "sha256": artifact.sha256,
        "compiled in": f"{seconds:.1f} s",
    }
    return table(manifest.model_name, rows)


def _bucket_words(bucket: BucketRecord) -> str:
    plan = bucket.plan
    return f"planned peak {mb(plan.planned_peak_bytes)}, {plan.predicted_step_seconds:.3g} s a step predicted"
