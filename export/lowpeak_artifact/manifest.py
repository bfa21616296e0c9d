"""What manifest.json of an artifact says: typed, and read back with every field checked.

Sizes are bytes, times seconds. Every file that the manifest names lies directly in the artifact's folder.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from torch import Tensor

from lowpeak_artifact import manifest_checks
from lowpeak_artifact.batch import BatchSpec
from lowpeak_artifact.batch_input import BatchInput
from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.json_text import strict_json
from lowpeak_artifact.layout import MANIFEST
from lowpeak_artifact.quantized import QuantFormat
from lowpeak_artifact.typed_json import Bytes, Count, Range, Seconds, typed

SCHEMA_VERSION = 4
MOST_BYTES = 1 << 24
"""That a manifest may have: that of a 70B model has about one MB."""


@dataclass(frozen=True)
class FileRecord:
    sha256: str
    bytes: Bytes


@dataclass(frozen=True)
class TensorRecord:
    """A tensor by name. `dtype` as torch prints it without the prefix, e.g. float32.

    `offset`: into the weights file.
    """

    name: str
    shape: list[Bytes]
    dtype: str
    offset: Bytes | None = None


@dataclass(frozen=True)
class QuantRecord:
    """A frozen parameter that is stored quantized: its parts are `<name>.data`, `.scale`,
    perhaps `.zero_point`.
    """

    name: str
    bits: int
    group_size: int
    zero_point: bool
    packing: str

    @property
    def format(self) -> QuantFormat:
        """Raises ArtifactError for a way to quantize that this version does not know."""
        try:
            return QuantFormat(self.bits, self.group_size, self.zero_point, self.packing)  # type: ignore[arg-type]
        except ValueError as error:
            raise ArtifactError(f"{MANIFEST}: {self.name} is quantized in no known way: {error}") from error


@dataclass(frozen=True)
class PlanRecord:
    budget_bytes: Annotated[int, Range(1, 2**48)]
    planned_peak_bytes: Bytes
    """Everything resident because of the step: arena, gradients, optimizer state, weights, runtime."""
    planned_anonymous_bytes: Bytes
    """The part of it that is anonymous memory: all but the mapped weights and code."""
    arena_bytes: Bytes
    arena_lower_bound_bytes: Bytes
    gradients_bytes: Bytes
    """Buffers that gradients are added to; 0 if they lie in the arena."""
    optimizer_bytes: Bytes
    weights_bytes: Bytes
    runtime_bytes: Bytes
    """Anonymous memory of the runtime beside all these."""
    code_bytes: Bytes
    """Pages of the runtime's libraries and of the program's file; most are in a Python process anyway."""
    predicted_step_seconds: Seconds
    recomputed_operations: Count
    offload: bool
    """Whether the target can put values into a file; the plan is made without that where it cannot."""
    offloaded_values: Count
    offload_bytes: Bytes
    """Size of that file."""
    by_category: dict[str, Bytes]
    """Bytes at the arena's peak step, by kind of value."""


@dataclass(frozen=True)
class BucketRecord:
    """A batch shape, with its graph, program and plan; buckets share weights, adapter and budget."""

    suffix: str
    """Of its files' names, before the extension; empty if there is one bucket."""
    batch: BatchSpec
    inputs: list[BatchInput]
    """What the graph takes, in order."""
    plan: PlanRecord

    def checked(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See BatchSpec; raises DataError."""
        return self.batch.checked(batch, self.inputs)

    def graph_inputs(self, batch: Mapping[str, Tensor], subset: Tensor | None = None) -> dict[str, Tensor]:
        """What the step takes, of a batch as users have it: see BatchSpec. Raises DataError."""
        return self.batch.graph_inputs(batch, subset, self.inputs)

    def file(self, name: str) -> str:
        """The bucket's own: program.pte -> program-128.pte."""
        stem, extension = name.rsplit(".", 1)
        return f"{stem}{self.suffix}.{extension}"


@dataclass(frozen=True)
class SampleRecord:
    """A batch of each bucket lies in its sample.safetensors (user form). `loss`: its loss in the eager model
    with the same quantized weights, known for a plain module; a causal language model is rebuilt to get it.
    """

    loss: float | None


@dataclass(frozen=True)
class SourceRecord:
    """The files that the model came from, so that a simulation can compare with them."""

    path: str
    """Base name of the checkpoint folder or GGUF file, looked for beside the artifact's folder."""
    hub_name: str | None
    sha256: str
    """Of config and weights, as lowpeak_compiler/frontend/model/origin.py has it."""


@dataclass(frozen=True)
class GenerateRecord:
    """The program of `lowpeak-runner generate`, generate.pte, over the same weights and adapter."""

    tokens: Annotated[int, Range(1, 2**31)]
    """That its caches hold: prompt and answer together."""
    prompt_tokens: Annotated[int, Range(1, 2**31)]
    """Of a prompt that go through at a time."""
    vocabulary: Annotated[int, Range(1, 2**31)]
    ends: list[Count]
    """Tokens that an answer ends with."""
    planned_peak_bytes: Bytes
    """Everything resident because of generating."""
    planned_anonymous_bytes: Bytes
    """The part of it that is anonymous memory: all but the mapped weights and code."""
    arena_bytes: Bytes
    state_bytes: Bytes
    """Adapter and caches."""
    weights_bytes: Bytes
    runtime_bytes: Bytes
    code_bytes: Bytes
    predicted_token_seconds: Seconds


@dataclass(frozen=True)
class Manifest:
    schema_version: int
    target: str
    kernels: str
    device: str
    model_name: str
    model_config: dict[str, Any] | None
    """The Hugging Face config, or None for a plain module."""
    adapter_config: dict[str, Any] | None
    """The PEFT config, or None when the model's own parameters are trained."""
    adapter_names: dict[str, str] | None
    """Names in the file of the trained adapter, each with the parameter that it holds."""
    options: dict[str, Any]
    buckets: list[BucketRecord]
    """By their sequence length, the longest last."""
    parameters: list[TensorRecord]
    """What is trained, in the order of the gradients."""
    weights_file: str
    weights: list[TensorRecord]
    quantized: list[QuantRecord]
    sample: SampleRecord | None
    source: SourceRecord | None
    """None for a model in memory, or one of random weights."""
    tokenizer_problem: str | None
    """Why the artifact has no tokenizer, or which of its tokens the model has no row for."""
    session_options: dict[str, Any]
    """What the target's runtime has to be told for the plan to hold."""
    versions: dict[str, str]
    files: dict[str, FileRecord]
    generate: GenerateRecord | None = None
    generate_problem: str | None = None
    """Why the artifact has no program that generates."""

    @property
    def largest(self) -> BucketRecord:
        return self.buckets[-1]

    def bucket_of(self, batch: Mapping[str, Tensor]) -> BucketRecord:
        """That whose shape the batch has; the largest if none has, which then refuses it."""
        shape = tuple(batch["input_ids"].shape) if "input_ids" in batch else ()
        for bucket in self.buckets:
            if bucket.batch.causal_lm and (bucket.batch.batch_size, bucket.batch.seq_len) == shape:
                return bucket
        return self.largest

    @property
    def budget_bytes(self) -> int:
        return self.largest.plan.budget_bytes

    @property
    def planned_peak_bytes(self) -> int:
        """The most of all buckets: one program is loaded at a time."""
        return max(bucket.plan.planned_peak_bytes for bucket in self.buckets)

    @property
    def planned_anonymous_bytes(self) -> int:
        return max(bucket.plan.planned_anonymous_bytes for bucket in self.buckets)

    @functools.cached_property
    def sha256(self) -> str:
        """Of the bytes of manifest.json, as they were read or will be written: the artifact's identity, for
        it changes with any file.
        """
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True, allow_nan=False)

    @staticmethod
    def from_json(text: str | bytes) -> Manifest:
        """Raises ArtifactError for what is no manifest, has another schema version, or contradicts itself."""
        data = text.encode() if isinstance(text, str) else text
        raw = strict_json(data, MANIFEST, MOST_BYTES)
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if version != SCHEMA_VERSION:
            raise ArtifactError(
                f"the artifact has schema version {version!r}, this lowpeak reads {SCHEMA_VERSION}; compile "
                "it again"
            )
        manifest = cast(Manifest, typed(Manifest, raw, MANIFEST, "manifest"))
        manifest_checks.check(manifest)
        vars(manifest)["sha256"] = hashlib.sha256(data).hexdigest()
        return manifest
