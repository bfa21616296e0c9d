"""The scheduled step as plain values: every operation in order, every tensor with its place in the arena.

It is what an artifact keeps of the compiled graph (graph_file.py writes and reads it) and what the simulator
runs.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch

import lowpeak_artifact.ops  # noqa: F401  registers the lowpeak:: operators
from lowpeak_artifact.errors import ArtifactError

InputKind = Literal["batch", "adapter", "frozen", "constant"]

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float32, torch.float64, torch.float16, torch.bfloat16,
        torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
    )
}  # fmt: skip
NAMESPACES = ("aten", "lowpeak")
FACTORIES = frozenset({"arange", "empty", "full", "ones", "scalar_tensor", "zeros"})
"""Operators without a tensor operand that a graph may call; others may reach outside, as from_file does."""

OPAQUE = re.compile(
    "pack|fbgemm|mkldnn|cudnn|miopen|cslt|sparse|quantized|_dyn_quant|nested|jagged|xnn|kleidi|from_file|_pin"
)
"""Operators that take a tensor's bytes for a program's own structures, or for a layout without checks."""


@dataclass(frozen=True)
class NodeRef:
    """An argument that is the value of the node `name`."""

    name: str


@dataclass(frozen=True)
class TensorPlace:
    """A tensor, `offset` bytes into the arena or (None) elsewhere; `category`: why it is there, a Kind."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    offset: int | None
    category: str | None

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class GraphInput:
    """`name`: the user's for a batch or adapter tensor, that in the weights or constants file otherwise."""

    node: str
    kind: InputKind
    name: str
    tensor: TensorPlace


@dataclass(frozen=True)
class Operation:
    """One call. `view`: its result is other bytes' second name and costs nothing; `seconds` is predicted."""

    node: str
    operator: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: tuple[TensorPlace, ...]
    view: bool
    seconds: float

    @property
    def function(self) -> Callable[..., Any]:
        return resolve_operator(self.operator)

    def operands(self) -> list[str]:
        """Names of the nodes it reads, in order, without repetition."""
        return list(dict.fromkeys(ref.name for ref in _references([*self.args, *self.kwargs.values()])))


@dataclass(frozen=True)
class ScheduledGraph:
    """Operations in execution order. `results`: the loss's node, then one for each adapter of `gradients`."""

    inputs: tuple[GraphInput, ...]
    operations: tuple[Operation, ...]
    results: tuple[str, ...]
    gradients: tuple[str, ...]
    arena_bytes: int
    gradients_taken: bool = False
    """A gradient is added to a buffer outside of the arena by the operation that makes it."""


def dtype_named(name: object) -> torch.dtype:
    """Raises ArtifactError for a name that is none of DTYPES."""
    if not isinstance(name, str) or name not in DTYPES:
        raise ArtifactError(f"{name!r} is no dtype that an artifact can have")
    return DTYPES[name]


@functools.cache
def resolve_operator(name: str) -> Callable[..., Any]:
    """The function of `aten.mm.default` or `getitem`.

    Raises ArtifactError for what is no operator of aten or lowpeak, writes an operand, or takes no tensor.
    """
    if name == "getitem":
        return operator.getitem
    target = None
    if re.fullmatch(r"\w+\.\w+\.\w+", name, re.ASCII):
        namespace, packet_name, overload = name.split(".")
        packet = (
            getattr(getattr(torch.ops, namespace), packet_name, None) if namespace in NAMESPACES else None
        )
        if isinstance(packet, torch._ops.OpOverloadPacket) and overload in packet.overloads():
            target = getattr(packet, overload)
    if target is None:
        raise ArtifactError(f"the graph calls {name}, which is no operator of {' or '.join(NAMESPACES)} here")
    has_tensors = any("Tensor" in str(argument.type) for argument in target._schema.arguments)
    opaque = namespace == "aten" and OPAQUE.search(packet_name) is not None
    if target._schema.is_mutable or opaque or not (has_tensors or packet_name in FACTORIES):
        raise ArtifactError(f"the graph calls {name}, which a graph may not")
    return cast(Callable[..., Any], target)


def _references(value: Any) -> list[NodeRef]:
    if isinstance(value, NodeRef):
        return [value]
    return [ref for item in value for ref in _references(item)] if isinstance(value, list) else []
