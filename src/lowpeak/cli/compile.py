"""`lowpeak compile`: a model into an artifact that trains within a memory budget."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowpeak.cli.checks import require_model
from lowpeak.cli.compile_options import (
    Asked,
    ModelArgument,
    TrustRemoteCode,
    numbers,
    with_compile_options,
)
from lowpeak.cli.output import Debug, Json, mb, note, print_result, table, working
from lowpeak.cli.passes import (
    DumpAfter,
    DumpTo,
    PrintPasses,
    Until,
    Watch,
    pipeline_of,
    print_list,
    run_until,
    watch_tables,
)
from lowpeak_compiler.config import Budget

if TYPE_CHECKING:
    from rich.table import Table

    from lowpeak_artifact.artifact import Artifact
    from lowpeak_artifact.manifest import BucketRecord

Seed = Annotated[int, typer.Option(help="Of the adapter's first values and the sample batch.")]


@with_compile_options
def compile_command(
    model: ModelArgument,
    budget_mb: Annotated[float, typer.Option(help="Megabytes (10**6 bytes) that a training step may hold.")],
    seq_len: Annotated[str, typer.Option(help="Tokens of a sequence, one or more: 128,256,512.")],
    out: Annotated[Path, typer.Option(help="Folder of the artifact.")],
    asked: Asked,
    generate: Annotated[
        bool, typer.Option(help="Also make the program of `lowpeak generate`, where there is one.")
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an artifact at --out.")] = False,
    seed: Seed = 0,
    trust_remote_code: TrustRemoteCode = False,
    print_passes: PrintPasses = False,
    until: Until = None,
    dump_after: DumpAfter = None,
    dump_to: DumpTo = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Compile MODEL into an artifact that trains within a memory budget."""
    lengths = sorted(set(numbers("--seq-len", seq_len, int)), reverse=True)
    budget = Budget(budget_mb)
    steps = [asked.training(length) for length in lengths]
    require_model(model)
    names = dump_after or []
    if dump_to is not None and not names:
        raise typer.BadParameter("--dump-to is where --dump-after NAME writes, which is missing")
    watch: Watch | None = None
    if lengths and (print_passes or until is not None or names):
        pipeline = pipeline_of(steps[0], asked.for_target(), until, names)
        if print_passes:
            print_list(pipeline, steps[0], asked.for_target(), generate and until is None, json)
            return
        folder = dump_to or out.with_name(f"{out.name}.passes")
        watch = Watch(pipeline, names, folder, lengths if until is None else lengths[:1])
        if until is not None:
            run_until(until, model, steps[0], budget, asked, watch, seed, trust_remote_code, json)
            return
    with working("compiling") as say:
        say("loading torch and transformers")
        from lowpeak.api import compile_for_device

        started = time.perf_counter()
        artifact = compile_for_device(
            model,
            budget_mb,
            seq_len=lengths,
            **asked.keywords(),
            generate=generate,
            out=out,
            overwrite=overwrite,
            seed=seed,
            trust_remote_code=trust_remote_code,
            progress=say,
            observe=watch,
        )
    seconds = time.perf_counter() - started
    watched = {} if watch is None else watch.figures()
    shown = watch_tables(watched) if watched else []
    figures = {**compile_figures(artifact, seconds), **watched}
    print_result(figures, json, compile_table(artifact, seconds), *shown)
    if artifact.manifest.tokenizer_problem is not None:
        note(f"Tokenizer: {artifact.manifest.tokenizer_problem}")


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
