"""What must hold between the fields of a manifest, whoever wrote it.

Types and ranges of single fields are checked as they are read (typed_json.py). Here: names that occur twice
or that nothing has, sizes that contradict each other, tensors on top of one another in the weights file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.layout import MANIFEST, SIGNATURE
from lowpeak_artifact.plain_file import is_plain_name
from lowpeak_artifact.scheduled import dtype_named

if TYPE_CHECKING:
    from lowpeak_artifact.batch import BatchSpec
    from lowpeak_artifact.batch_input import BatchInput
    from lowpeak_artifact.manifest import BucketRecord, Manifest, PlanRecord, QuantRecord, TensorRecord

MOST_ELEMENTS = 2**48
MOST_ROWS = 2**31
"""Of an embedding, tokens of a batch, or the like."""


def check(manifest: Manifest) -> None:
    """Raises ArtifactError naming the field and what contradicts it."""
    for name, file in manifest.files.items():
        _require(
            is_plain_name(name) and name not in (MANIFEST, SIGNATURE),
            f"lists {name!r}, which is not a file directly in the folder",
        )
        _require(
            re.fullmatch("[0-9a-f]{64}", file.sha256) is not None,
            f"the sha256 of {name} is {file.sha256[:80]!r}, which is none",
        )
    _require(bool(manifest.buckets), "there is no bucket")
    _require_unique("bucket", (bucket.suffix for bucket in manifest.buckets))
    for bucket in manifest.buckets:
        _check_bucket(bucket)
    lengths = [bucket.batch.seq_len for bucket in manifest.buckets]
    _require(lengths == sorted(set(lengths)), f"the buckets' lengths {lengths} do not ascend")
    _require_unique("parameter", (record.name for record in manifest.parameters))
    for record in (*manifest.parameters, *manifest.weights):
        _tensor_bytes(record)
    _check_weights(manifest)
    _check_quantized(manifest.quantized, {record.name: record for record in manifest.weights})
    if manifest.adapter_names is not None:
        trained, named = {record.name for record in manifest.parameters}, set(manifest.adapter_names.values())
        for name in sorted(named - trained):
            raise ArtifactError(f"{MANIFEST}: adapter_names has {name}, which is no parameter")
        for name in sorted(trained - named):
            raise ArtifactError(f"{MANIFEST}: the parameter {name} has no name in adapter_names")
    if manifest.source is not None:
        _require(re.fullmatch("[0-9a-f]{64}", manifest.source.sha256) is not None, "source.sha256 is none")


def _check_bucket(bucket: BucketRecord) -> None:
    _require(
        re.fullmatch(r"|-[0-9]{1,10}", bucket.suffix) is not None,
        f"the suffix {bucket.suffix[:80]!r} of a bucket is neither empty nor a hyphen and a number",
    )
    where = f"bucket{bucket.suffix}"
    _check_batch(bucket.batch, where)
    _check_plan(bucket.plan, where)
    _require_unique(f"input of {where}", (each.name for each in bucket.inputs))
    for each in bucket.inputs:
        _check_input(each)
    batch = bucket.batch
    if batch.causal_lm:
        known = {"input_ids", "targets"}
        known |= set() if batch.rows is None else {"rows"}
        known |= set() if batch.subset_size is None else {"token_subset"}
        for each in bucket.inputs:
            _require(each.name in known, f"{where} takes {each.name[:80]!r}, which no batch has")


def _check_batch(batch: BatchSpec, where: str) -> None:
    sizes = {
        "batch_size": batch.batch_size,
        "rows": batch.rows,
        "subset_size": batch.subset_size,
        "seq_len": batch.seq_len if batch.causal_lm or batch.seq_len else None,
    }
    for name, size in sizes.items():
        _require(size is None or 1 <= size <= MOST_ROWS, f"{name} of {where} is {size}")
    tokens = batch.batch_size * batch.seq_len
    _require(tokens <= MOST_ROWS, f"a batch of {where} has {tokens} tokens")
    if batch.causal_lm and batch.rows is not None:
        _require(batch.rows <= tokens, f"{where} has {batch.rows} rows for {tokens} tokens")


def _check_plan(plan: PlanRecord, where: str) -> None:
    """A plan over its budget is no fault here: whoever runs it stops before the first step."""
    bounds = (
        ("planned_anonymous_bytes", "planned_peak_bytes"),
        ("arena_bytes", "planned_peak_bytes"),
        ("arena_lower_bound_bytes", "arena_bytes"),
    )
    for name, bound in bounds:
        size, most = getattr(plan, name), getattr(plan, bound)
        _require(size <= most, f"{name} of {where} is {size}, over its {bound} of {most}")


def _check_input(record: BatchInput) -> None:
    dtype = dtype_named(record.dtype)
    _require(
        all(size >= 0 for size in record.shape) and math.prod(record.shape) <= MOST_ELEMENTS,
        f"the input {record.name} has shape {record.shape}",
    )
    if record.ids is None:
        return
    least, rows = record.ids.least, record.ids.rows
    _require(
        not dtype.is_floating_point and 1 <= rows <= MOST_ROWS and -rows <= least <= 0,
        f"the input {record.name} indexes {rows} rows from {least} on, as {record.dtype}",
    )


def _check_weights(manifest: Manifest) -> None:
    """Every tensor has a place in the weights file, aligned, and none lies on another."""
    _require_unique("weight", (record.name for record in manifest.weights))
    file = manifest.files.get(manifest.weights_file)
    places = []
    for record in manifest.weights:
        itemsize, size = dtype_named(record.dtype).itemsize, _tensor_bytes(record)
        offset = record.offset
        fits = offset is not None and (file is None or offset + size <= file.bytes)
        if offset is None or not fits or offset % itemsize:
            held = "" if file is None else f" of {file.bytes} bytes"
            raise ArtifactError(
                f"{MANIFEST}: {record.name} is {size} bytes at offset {offset}, which is no place in "
                f"{manifest.weights_file}{held}"
            )
        if size:
            places.append((offset, offset + size, record.name))
    places.sort()
    for (_, end, one), (start, _, other) in pairwise(places):
        _require(start >= end, f"{one} and {other} overlap in {manifest.weights_file}")


def _check_quantized(quantized: Sequence[QuantRecord], weights: dict[str, TensorRecord]) -> None:
    _require_unique("quantized parameter", (record.name for record in quantized))
    for record in quantized:
        format = record.format
        parts = {part: weights.get(f"{record.name}.{part}") for part in ("data", "scale")}
        if record.zero_point:
            parts["zero_point"] = weights.get(f"{record.name}.zero_point")
        for part, actual in parts.items():
            _require(
                actual is not None, f"{record.name} is quantized, but weights has no {record.name}.{part}"
            )
        data = parts["data"]
        assert data is not None
        _require(len(data.shape) == 2, f"{data.name} has shape {data.shape}")
        rows, columns = data.shape[0], data.shape[1] * 8 // record.bits
        try:
            groups = list(format.scale_shape(rows, columns))
        except ValueError as error:
            raise ArtifactError(f"{MANIFEST}: {record.name}: {error}") from error
        expected = {"data": (data.shape, format.data_dtype), "scale": (groups, format.scale_dtype)}
        expected["zero_point"] = groups, dtype_named("float32")
        for part, actual in parts.items():
            shape, dtype = expected[part]
            assert actual is not None
            _require(
                actual.shape == shape and dtype_named(actual.dtype) == dtype,
                f"{actual.name} is {actual.dtype} {actual.shape}, by its format it is {dtype} {shape}",
            )


def _tensor_bytes(record: TensorRecord) -> int:
    elements = math.prod(record.shape)
    _require(elements <= MOST_ELEMENTS, f"{record.name} has shape {record.shape}")
    return elements * dtype_named(record.dtype).itemsize


def _require_unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        _require(name not in seen, f"the {what} {name!r} is there twice")
        seen.add(name)


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise ArtifactError(f"{MANIFEST}: {fault}")
