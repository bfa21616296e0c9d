"""What manifest.json of an artifact says: typed, and read back with every field checked.

Sizes are bytes, times seconds. Every file that the manifest names lies directly in the artifact's folder.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from compiler.batch import BatchSpec
from compiler.batch_input import BatchInput
from compiler.errors import ArtifactError
from compiler.model.quantized import QuantFormat

SCHEMA_VERSION = 4


@dataclass(frozen=True)
class FileRecord:
    sha256: str
    bytes: int


@dataclass(frozen=True)
class TensorRecord:
    """A tensor by name. `dtype` as torch prints it without the prefix, e.g. float32.

    `offset`: into the weights file.
    """

    name: str
    shape: list[int]
    dtype: str
    offset: int | None = None


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
            raise ArtifactError(
                f"manifest.json: {self.name} is quantized in no known way: {error}"
            ) from error


@dataclass(frozen=True)
class PlanRecord:
    budget_bytes: int
    planned_peak_bytes: int
    """Everything resident because of the step: arena, gradients, optimizer state, weights, runtime."""
    planned_anonymous_bytes: int
    """The part of it that is anonymous memory: all but the mapped weights and code."""
    arena_bytes: int
    arena_lower_bound_bytes: int
    gradients_bytes: int
    """Buffers that gradients are added to; 0 if they lie in the arena."""
    optimizer_bytes: int
    weights_bytes: int
    runtime_bytes: int
    """Anonymous memory of the runtime beside all these."""
    code_bytes: int
    """Pages of the runtime's libraries and of the program's file; most are in a Python process anyway."""
    predicted_step_seconds: float
    recomputed_operations: int
    offload: bool
    """Whether the target can put values into a file; the plan is made without that where it cannot."""
    offloaded_values: int
    offload_bytes: int
    """Size of that file."""
    by_category: dict[str, int]
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
    """Of the checkpoint folder or GGUF file, relative to the artifact's folder."""
    hub_name: str | None
    sha256: str
    """Of config and weights, as compiler/model/origin.py has it."""


@dataclass(frozen=True)
class GenerateRecord:
    """The program of `lowpeak-runner generate`, generate.pte, over the same weights and adapter."""

    tokens: int
    """That its caches hold: prompt and answer together."""
    prompt_tokens: int
    """Of a prompt that go through at a time."""
    vocabulary: int
    ends: list[int]
    """Tokens that an answer ends with."""
    planned_peak_bytes: int
    """Everything resident because of generating."""
    planned_anonymous_bytes: int
    """The part of it that is anonymous memory: all but the mapped weights and code."""
    arena_bytes: int
    state_bytes: int
    """Adapter and caches."""
    weights_bytes: int
    runtime_bytes: int
    code_bytes: int
    predicted_token_seconds: float


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

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Manifest:
        """Raises ArtifactError for what is no manifest, or of another schema version."""
        try:
            raw = json.loads(text)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ArtifactError(f"manifest.json is not JSON: {error}") from error
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if version != SCHEMA_VERSION:
            raise ArtifactError(
                f"the artifact has schema version {version!r}, this lowpeak reads {SCHEMA_VERSION}; compile "
                "it again"
            )
        manifest = typing.cast(Manifest, _typed(Manifest, raw, "manifest"))
        if not manifest.buckets:
            raise ArtifactError("manifest.json: there is no bucket")
        return manifest


def _typed(kind: Any, value: Any, where: str) -> Any:
    """`value` as an instance of the annotation `kind`; ArtifactError names the place that does not fit."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        fields = {f.name for f in dataclasses.fields(kind)}
        optional = {f.name for f in dataclasses.fields(kind) if f.default is not dataclasses.MISSING}
        if not isinstance(value, dict) or not fields - optional <= set(value) <= fields:
            raise ArtifactError(f"manifest.json: {where} should have the fields {', '.join(sorted(fields))}")
        hints = typing.get_type_hints(kind)
        return kind(**{name: _typed(hints[name], value[name], f"{where}.{name}") for name in value})
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = (a for a in arguments if a is not type(None))
        return _typed(inner, value, where)
    if origin is list and isinstance(value, list):
        return [_typed(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {key: _typed(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is Any:
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise ArtifactError(f"manifest.json: {where} should be {kind}, it is {type(value).__name__}")
