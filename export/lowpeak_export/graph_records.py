"""A planned step as what graph.json holds; lowpeak_artifact/graph_file.py reads it."""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from torch import Tensor, fx

from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.scheduled import (
    InputKind,
    resolve_operator,
)
from lowpeak_compiler.budget.planned import PlannedStep
from lowpeak_compiler.ir.graph import (
    Adapter,
    Batch,
    Constant,
    Frozen,
    Quantized,
    State,
    operator_name,
    tensors_of,
)


def frozen_key(role: Frozen | Quantized) -> str:
    """The name of a frozen tensor in the weights file."""
    return f"{role.name}.{role.part}" if isinstance(role, Quantized) else role.name


def constants_of(step: PlannedStep) -> dict[str, Tensor]:
    """The compiler's own small tensors, by the name that the graph's inputs have for them."""
    return {
        node.name: role.value.detach().contiguous().clone()
        for node, role in step.graph.inputs()
        if isinstance(role, Constant)
    }


def to_records(step: PlannedStep) -> dict[str, Any]:
    """Raises ArtifactError for an operator that could not be read back."""
    seconds = {op.name: op.seconds for op in step.view.program.ops}
    inputs, operations = [], []
    for node, role in step.graph.inputs():
        kind: InputKind
        match role:
            case Batch(name, _):
                kind = "batch"
            case Adapter(name):
                kind = "adapter"
            case Constant():
                kind, name = "constant", node.name
            case State():
                raise ArtifactError(f"{node.name} is state, which a training step has none of")
            case _:
                kind, name = "frozen", frozen_key(role)
        inputs.append({"node": node.name, "kind": kind, "name": name, "tensor": _tensors(step, node)[0]})
    for node in step.graph.operations():
        resolve_operator(operator_name(node))
        operations.append(
            {
                "node": node.name,
                "operator": operator_name(node),
                "args": [_encode(argument) for argument in node.args],
                "kwargs": {key: _encode(argument) for key, argument in node.kwargs.items()},
                "tensors": _tensors(step, node),
                "view": node.name in step.view.views,
                "seconds": seconds.get(node.name, 0.0),
            }
        )
    return {
        "arena_bytes": step.arena_bytes,
        "inputs": inputs,
        "operations": operations,
        "results": [node.name for node in step.graph.results],
        "gradients": list(step.graph.gradients),
        "gradients_taken": bool(step.view.program.taken),
    }


def _tensors(step: PlannedStep, node: fx.Node) -> list[list[Any]]:
    records = []
    for index, tensor in enumerate(tensors_of(node)):
        location = step.view.locations[node.name][index]
        offset, category = None, None
        if location.value is not None:
            value = step.view.program.values[location.value]
            placed = step.buffer_of[location.value] >= 0 or not value.nbytes
            offset, category = step.offset(node, index) if placed else None, str(value.kind)
        records.append([str(tensor.dtype).removeprefix("torch."), list(tensor.shape), offset, category])
    return records


def _encode(value: Any) -> Any:
    match value:
        case fx.Node():
            return {"node": value.name}
        case list() | tuple():
            return [_encode(item) for item in value]
        case float() if not math.isfinite(value):
            return {"float": str(value)}
        case None | bool() | int() | float() | str():
            return value
        case torch.dtype():
            return {"dtype": str(value).removeprefix("torch.")}
        case torch.memory_format():
            return {"memory_format": str(value).removeprefix("torch.")}
        case torch.layout():
            return {"layout": str(value).removeprefix("torch.")}
        case torch.device():
            # Wherever the graph was traced, it runs on the CPU.
            return {"device": "cpu"}
        case _:
            raise ArtifactError(f"an argument of type {type(value).__name__} cannot be stored in graph.json")


def to_json(step: PlannedStep) -> str:
    """What graph.json holds. Raises ArtifactError like `to_records`."""
    return json.dumps(to_records(step), separators=(",", ":"), allow_nan=False)
