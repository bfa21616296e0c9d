"""Artifacts without content, for tests of the folder; cheap enough for processes that are to be killed."""

from __future__ import annotations

from pathlib import Path

from lowpeak_artifact.artifact import REQUIRED
from lowpeak_artifact.batch import BatchSpec
from lowpeak_artifact.layout import ADAPTER
from lowpeak_artifact.manifest import SCHEMA_VERSION, BucketRecord, Manifest, PlanRecord
from lowpeak_export.bundle import BundleWriter, writing

WEIGHTS = "weights.ptd"


def blank_manifest(model_name: str = "blank") -> Manifest:
    plan = PlanRecord(
        budget_bytes=1 << 40,
        planned_peak_bytes=0,
        planned_anonymous_bytes=0,
        arena_bytes=0,
        arena_lower_bound_bytes=0,
        gradients_bytes=0,
        optimizer_bytes=0,
        weights_bytes=0,
        runtime_bytes=0,
        code_bytes=0,
        predicted_step_seconds=0.0,
        recomputed_operations=0,
        offload=False,
        offloaded_values=0,
        offload_bytes=0,
        by_category={},
    )
    return Manifest(
        schema_version=SCHEMA_VERSION,
        target="executorch",
        kernels="stock",
        device="laptop",
        model_name=model_name,
        model_config=None,
        adapter_config=None,
        adapter_names=None,
        options={},
        buckets=[BucketRecord("", BatchSpec(causal_lm=False), [], plan)],
        parameters=[],
        weights_file=WEIGHTS,
        weights=[],
        quantized=[],
        sample=None,
        source=None,
        tokenizer_problem=None,
        session_options={},
        versions={},
        files={},
    )


def fill(bundle: BundleWriter, payload: bytes) -> None:
    for name in (WEIGHTS, ADAPTER, *REQUIRED):
        bundle.path(name).write_bytes(payload)


def write_blank(out: Path, payload: bytes = b"payload", overwrite: bool = False) -> Path:
    with writing(out, overwrite=overwrite) as bundle:
        fill(bundle, payload)
        bundle.finish(blank_manifest())
    return out
