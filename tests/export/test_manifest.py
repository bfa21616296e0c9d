"""Manifests that contradict themselves, or say what no manifest may."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from lowpeak_artifact.batch import BatchSpec
from lowpeak_artifact.batch_input import BatchInput, Ids
from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.manifest import (
    MOST_BYTES,
    BucketRecord,
    FileRecord,
    GenerateRecord,
    Manifest,
    QuantRecord,
    SourceRecord,
    TensorRecord,
)
from lowpeak_artifact.manifest_checks import SIGNATURE
from tests.export.blank import WEIGHTS, blank_manifest

SHA = "0" * 64


def valid() -> Manifest:
    """With every kind of record."""
    plan = dataclasses.replace(
        blank_manifest().largest.plan, budget_bytes=500, planned_peak_bytes=400, planned_anonymous_bytes=300,
        arena_bytes=200, arena_lower_bound_bytes=100, by_category={"activation": 1},
    )  # fmt: skip
    inputs = [
        BatchInput("input_ids", [1, 8], "int64", Ids(96)),
        BatchInput("targets", [1, 8], "int64", Ids(96, -100)),
    ]
    return dataclasses.replace(
        blank_manifest(),
        buckets=[BucketRecord("", BatchSpec(True, 1, 8), inputs, plan)],
        parameters=[TensorRecord("a", [2, 3], "float32"), TensorRecord("b", [4], "float32")],
        adapter_names={"file.a": "a", "file.b": "b"},
        weights=[
            TensorRecord("w.data", [2, 16], "uint8", 0),
            TensorRecord("w.scale", [2, 1], "float16", 32),
            TensorRecord("norm", [4], "float32", 36),
        ],
        quantized=[QuantRecord("w", 4, 32, False, "high_first")],
        source=SourceRecord("model", None, SHA),
        generate=GenerateRecord(16, 8, 96, [1], 1, 1, 1, 1, 1, 1, 1, 0.5),
        files={WEIGHTS: FileRecord(SHA, 52), "plan.csv": FileRecord(SHA, 1)},
    )


def test_a_valid_manifest_is_read() -> None:
    manifest = valid()
    read = Manifest.from_json(manifest.to_json())
    assert read == manifest
    assert read.sha256 == manifest.sha256
    assert Manifest.from_json(manifest.to_json() + "\n").sha256 != manifest.sha256


def _set(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: Any) -> None:
        for key in path[:-1]:
            manifest = manifest[key]
        manifest[path[-1]] = to

    return change


def _plan(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda m: m["buckets"][0]["plan"].update(changes)


FAULTS: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    (r"budget_bytes is 0; it must be from 1", _plan(budget_bytes=0)),
    (r"budget_bytes is -1", _plan(budget_bytes=-1)),
    (r"budget_bytes is 4611686018427387904", _plan(budget_bytes=1 << 62)),
    (r"planned_anonymous_bytes of bucket is 401", _plan(planned_anonymous_bytes=401)),
    (r"arena_bytes of bucket is 401", _plan(arena_bytes=401)),
    (r"arena_lower_bound_bytes of bucket is 201", _plan(arena_lower_bound_bytes=201)),
    (r"offload_bytes is -1", _plan(offload_bytes=-1)),
    (r"predicted_step_seconds is -1", _plan(predicted_step_seconds=-1.0)),
    (r"plan\.offload should be a boolean, it is an integer", _plan(offload=1)),
    (r"by_category\.x is -1", _plan(by_category={"x": -1})),
    (r"batch_size of bucket is 0", _set("buckets", 0, "batch", "batch_size", to=0)),
    (r"seq_len of bucket is -8", _set("buckets", 0, "batch", "seq_len", to=-8)),
    (r"a batch of bucket has \d+ tokens", _set("buckets", 0, "batch", "seq_len", to=1 << 31)),
    (r"rows of bucket is 0", _set("buckets", 0, "batch", "rows", to=0)),
    (r"has 9 rows for 8 tokens", _set("buckets", 0, "batch", "rows", to=9)),
    (r"suffix '/\.\./x' of a bucket", _set("buckets", 0, "suffix", to="/../x")),
    (r"the bucket '' is there twice", lambda m: m["buckets"].append(m["buckets"][0])),
    (r"takes 'pixels', which no batch has", _set("buckets", 0, "inputs", 0, "name", to="pixels")),
    (r"input of bucket 'targets' is there twice", _set("buckets", 0, "inputs", 0, "name", to="targets")),
    (r"'complex64' is no dtype", _set("buckets", 0, "inputs", 0, "dtype", to="complex64")),
    (r"input_ids has shape \[-1, 8\]", _set("buckets", 0, "inputs", 0, "shape", to=[-1, 8])),
    (r"input_ids indexes 0 rows", _set("buckets", 0, "inputs", 0, "ids", "rows", to=0)),
    (r"input_ids indexes 96 rows from -97 on", _set("buckets", 0, "inputs", 0, "ids", "least", to=-97)),
    (r"the parameter 'a' is there twice", _set("parameters", 1, "name", to="a")),
    (r"shape\[0\] is -2", _set("parameters", 0, "shape", 0, to=-2)),
    (r"a has shape \[16777216, 16777216, 2\]", _set("parameters", 0, "shape", to=[1 << 24, 1 << 24, 2])),
    (r"adapter_names has c, which is no parameter", _set("adapter_names", "file.b", to="c")),
    (r"the parameter b has no name", lambda m: m["adapter_names"].pop("file.b")),
    (r"the weight 'norm' is there twice", lambda m: m["weights"].append(m["weights"][2])),
    (r"norm is 16 bytes at offset 37, which is no place", _set("weights", 2, "offset", to=37)),
    (r"norm is .* at offset 40, which is no place in weights\.ptd", _set("weights", 2, "offset", to=40)),
    (r"norm is 16 bytes at offset None", _set("weights", 2, "offset", to=None)),
    (r"w\.data and norm overlap", _set("weights", 2, "offset", to=16)),
    (r"weights has no w\.scale", _set("weights", 1, "name", to="other")),
    (r"w\.scale is float16 \[1, 2\]", _set("weights", 1, "shape", to=[1, 2])),
    (r"w\.data has shape \[32\]", _set("weights", 0, "shape", to=[32])),
    (r"bits must be 4 or 8, not 3", _set("quantized", 0, "bits", to=3)),
    (r"not divisible by the group size 48", _set("quantized", 0, "group_size", to=48)),
    (r"quantized parameter 'w' is there twice", lambda m: m["quantized"].append(m["quantized"][0])),
    (r"vocabulary is 0", _set("generate", "vocabulary", to=0)),
    (r"ends\[0\] is -1", _set("generate", "ends", to=[-1])),
    (r"the sha256 of plan\.csv is 'x'", _set("files", "plan.csv", "sha256", to="x")),
    (r"files\.plan\.csv\.bytes is -1", _set("files", "plan.csv", "bytes", to=-1)),
    (r"source\.sha256 is none", _set("source", "sha256", to="")),
    (r"lists 'manifest\.json\.minisig'", lambda m: m["files"].update({SIGNATURE: m["files"]["plan.csv"]})),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "change"), FAULTS, ids=[fault for fault, _ in FAULTS])
def test_contradictions_are_refused(fault: str, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = json.loads(valid().to_json())
    change(manifest)
    if "tokens" in fault and "a batch" in fault:
        manifest["buckets"][0]["batch"]["batch_size"] = 2
    with pytest.raises(ArtifactError, match=rf"manifest\.json: .*{fault}|{fault}"):
        Manifest.from_json(json.dumps(manifest))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('"device": "laptop"', r"the name 'device' is in one object twice"),
        ('"x": NaN', r"NaN is no number of JSON"),
        ('"x": -Infinity', r"-Infinity is no number"),
        ('"x": 1e400', r"the number 1e400 is too large"),
        ('"x": 9223372036854775808', r"the number 9223372036854775808 is too large"),
        (f'"x": {"9" * 5000}', r"the number 9{40} is too large"),
        (f'"x": {"[" * 100000}{"]" * 100000}', r"nested too deeply"),
    ],
)
def test_json_that_readers_differ_on_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ArtifactError, match=fault):
        Manifest.from_json(valid().to_json()[:-1] + f", {text}}}")


def test_a_manifest_has_a_bounded_size() -> None:
    with pytest.raises(ArtifactError, match=f"the most that is read is {MOST_BYTES}"):
        Manifest.from_json(valid().to_json() + " " * MOST_BYTES)
