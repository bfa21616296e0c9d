"""The scheduled graph as JSON-able data: what graph.json holds, and reading it back with every field checked.

    {"arena_bytes": N, "results": [loss, gradients...], "gradients": [adapter names],
     "gradients_taken": false,
     "inputs": [{"node", "kind", "name", "tensor"}],
     "operations": [{"node", "operator", "args", "kwargs", "tensors", "view", "seconds"}]}

A tensor is [dtype, shape, arena offset or null, category or null]. A tensor without an offset lies in the
weights file, in the constants file, in the file that adapter and gradients have on some targets, or (a batch
tensor that nothing reads) nowhere. Arguments without a JSON
type are objects of one key: {"node": name}, {"dtype": "int64"}, {"float": "-inf"}.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast, get_args

import torch

from lowpeak_artifact.errors import ArtifactError, LowpeakError
from lowpeak_artifact.json_text import strict_json
from lowpeak_artifact.kind import Kind
from lowpeak_artifact.scheduled import (
    GraphInput,
    InputKind,
    NodeRef,
    Operation,
    ScheduledGraph,
    TensorPlace,
    dtype_named,
    resolve_operator,
)

MOST_BYTES = 1 << 28
"""Of graph.json: 1,000 operations have 0.2 MB."""
MOST_SIZE = 1 << 48
GRADIENT = str(Kind.GRADIENT)
MEMORY_FORMATS = {
    str(each).removeprefix("torch."): each for each in (torch.contiguous_format, torch.preserve_format)
}


def from_json(text: str | bytes) -> ScheduledGraph:
    """Raises ArtifactError for what is no JSON, or too much of it, and like `from_records`."""
    data = text.encode() if isinstance(text, str) else text
    return from_records(strict_json(data, "graph.json", MOST_BYTES))


def from_records(records: Any) -> ScheduledGraph:
    """Raises ArtifactError for what is no graph, calls what a graph may not, or lies outside of its arena."""
    try:
        return _graph(records)
    except LowpeakError:
        raise
    # Whatever else is raised, the records are not as this version writes them.
    except Exception as error:
        raise ArtifactError(f"graph.json is malformed: {type(error).__name__}: {error}") from error


def _graph(records: Any) -> ScheduledGraph:
    arena_bytes = _whole(records["arena_bytes"])
    known: dict[str, TensorPlace] = {}

    def define(node: str, place: TensorPlace) -> None:
        _require(node not in known, f"node {node} occurs twice")
        known[node] = place

    inputs = []
    for record in records["inputs"]:
        _require(record["kind"] in get_args(InputKind), f"input {record['node']} is of kind {record['kind']}")
        place = _place(record["tensor"], record["node"], arena_bytes)
        _require(
            record["kind"] in ("batch", "adapter") or place.offset is None,
            f"{record['kind']} input {record['node']} has offset {place.offset}",
        )
        define(_text(record["node"]), place)
        inputs.append(GraphInput(record["node"], record["kind"], _text(record["name"]), place))
    operations = []
    outputs = {each.node: 1 for each in inputs}
    for record in records["operations"]:
        operation = _operation(record, arena_bytes)
        for name in operation.operands():
            _require(name in known, f"{operation.node} reads {name}, which no node before it gives")
        if operation.view:
            _require(
                _is_view_call(operation, outputs), f"{operation.node} is no view of one tensor before it"
            )
        define(operation.node, operation.tensors[0])
        outputs[operation.node] = len(operation.tensors)
        operations.append(operation)
    results, gradients = tuple(records["results"]), tuple(records["gradients"])
    taken = records["gradients_taken"]
    _require(type(taken) is bool, "gradients_taken is neither true nor false")
    shapes = {each.name: each.tensor.shape for each in inputs if each.kind == "adapter"}
    names = [(each.kind, each.name) for each in inputs if each.kind in ("batch", "adapter")]
    _require(len(set(names)) == len(names), "an input of the batch or the adapter is there twice")
    _require(len(set(gradients)) == len(gradients), "a gradient is there twice")
    _require(any(not operation.view for operation in operations), "it has no operation")
    defined = {operation.node for operation in operations}
    _require(defined.issuperset(results), "a result is made by no operation")
    _require(len(results) == len(gradients) + 1, f"{len(results)} results for {len(gradients)} gradients")
    _require(known[results[0]].offset is not None, f"the loss {results[0]} is not in the arena")
    for name, gradient in zip(results[1:], gradients, strict=True):
        _require(known[name].shape == shapes[gradient], f"{name} has not the shape of {gradient}")
    _require(math.prod(known[results[0]].shape) == 1, f"the loss {results[0]} is no scalar")
    return ScheduledGraph(tuple(inputs), tuple(operations), results, gradients, arena_bytes, taken)


def _is_view_call(operation: Operation, outputs: Mapping[str, int]) -> bool:
    """A view is of its first argument; getitem picks one of the tensors that its first argument gives."""
    source, *rest = operation.args
    if not isinstance(source, NodeRef) or len(operation.tensors) != 1:
        return False
    if operation.operator != "getitem":
        return outputs[source.name] == 1
    return len(rest) == 1 and type(rest[0]) is int and 0 <= rest[0] < outputs[source.name]


def _operation(record: Any, arena_bytes: int) -> Operation:
    node = _text(record["node"])
    places = tuple(_place(tensor, node, arena_bytes) for tensor in record["tensors"])
    _require(bool(places), f"{node} gives no tensor")
    _require(type(record["view"]) is bool, f"{node} does not say whether it is a view")
    _require(
        record["view"] or all(place.offset is not None or place.category == GRADIENT for place in places),
        f"{node} has no place in the arena",
    )
    resolve_operator(_text(record["operator"]))
    args = tuple(_decode(argument) for argument in record["args"])
    kwargs = {_text(key): _decode(argument) for key, argument in record["kwargs"].items()}
    return Operation(node, record["operator"], args, kwargs, places, record["view"], float(record["seconds"]))


def _place(record: Any, node: str, arena_bytes: int) -> TensorPlace:
    name, shape, offset, category = record
    place = TensorPlace(
        tuple(_whole(size) for size in shape),
        dtype_named(name),
        None if offset is None else _whole(offset),
        None if category is None else _text(category),
    )
    if place.offset is not None:
        end = place.offset + place.nbytes
        _require(end <= arena_bytes, f"{node} ends at byte {end} of an arena of {arena_bytes}")
        _require(place.offset % place.dtype.itemsize == 0, f"{node} is not aligned at byte {place.offset}")
    return place


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, name),) = value.items()
    match kind, name:
        case "node", str():
            return NodeRef(name)
        case "float", "inf" | "-inf" | "nan":
            return float(name)
        case "dtype", str():
            return dtype_named(name)
        case "memory_format", str() if name in MEMORY_FORMATS:
            return MEMORY_FORMATS[name]
        case "layout", "strided":
            return torch.strided
        case "device", "cpu":
            return torch.device("cpu")
    raise ArtifactError(f"graph.json has an argument {kind} {name!r}, which no graph of this version has")


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise ArtifactError(f"graph.json: {fault}")


def _whole(value: object) -> int:
    _require(type(value) is int and 0 <= value <= MOST_SIZE, f"{value!r} is no size")
    return cast(int, value)


def _text(value: object) -> str:
    _require(isinstance(value, str), f"{value!r} is no name")
    return cast(str, value)
