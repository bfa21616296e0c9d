"""Which ExecuTorch kernel a node of the graph is: its name, overload and arguments. No kernel is called here.

A node maps to the out variant of its own operator, or what the operator's record says instead: what is a view
in torch is a copy there, `lowpeak::` operators have kernels in our library (native/executorch/), and without
it dequantizing is the stock quantized embedding asked for every row.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from operator import getitem
from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload

from lowpeak_artifact.errors import UnsupportedOperator
from lowpeak_artifact.ops.record import OPERATORS, OUT_VARIANT, Unfit, attach
from lowpeak_compiler.ir.graph import operator_name, place_of
from lowpeak_compiler.ir.nodes import call_args, operands

INT32_MAX = 2**31 - 1
PROPERTIES = {"dtype", "layout", "device", "pin_memory", "memory_format"}
"""Arguments that the tensor which is written to has already."""


class RowIds:
    """An operand 0 .. rows - 1 that no node gives: makes the embedding kernel dequantize a whole matrix."""

    def __init__(self, rows: int) -> None:
        self.rows = rows


KernelCall = tuple[str, str, list[tuple[Any, str]]]
QUANTIZED_KERNELS = {4: "quantized_decomposed::embedding_4bit", 8: "quantized_decomposed::embedding_byte"}


@attach("executorch", torch.ops.lowpeak.dequantize.default, torch.ops.lowpeak.dequantize_rows.default)
def _dequantize(node: fx.Node) -> KernelCall:
    """(value - zero_point) * scale by group is what the stock quantized embedding computes for each row asked
    for.
    """
    data, scale, zero_point, bits, *ids = call_args(node)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    rows = ids[0] if ids else RowIds(data.meta["val"].shape[0])
    arguments = [(x, "") for x in (data, scale, zero_point, low, high, rows, torch.float32)]
    return QUANTIZED_KERNELS[bits], "dtype_out", arguments


def kernel_call(node: fx.Node, fused: frozenset[str]) -> KernelCall:
    """(operator name, overload, arguments with schema types) of the out kernel; `fused`: the `lowpeak::`
    operators with a kernel of their own. LookupError if there is none.
    """
    target = node.target
    if not isinstance(target, OpOverload):
        raise LookupError(f"{target} is no operator")
    record = OPERATORS.get(target)
    if record and record.kernel and target._opname in fused:
        name, _, overload = record.kernel.partition(".")
        kinds = [str(argument.type) for argument in target._schema.arguments]
        return name, overload, list(zip(operands(node).values(), kinds, strict=True))
    if record and callable(record.executorch):
        call: KernelCall = record.executorch(node)
        return call
    out = out_variant(target)
    named = operands(node)
    arguments = []
    for argument in out._schema.arguments:
        if argument.is_out:
            continue
        value = named.get(argument.name, argument.default_value)
        if node.target is torch.ops.aten.slice.Tensor and argument.name == "end" and value is not None:
            value = min(value, INT32_MAX)
        arguments.append((value, str(argument.type)))
    return out._schema.name, out._schema.overload_name, arguments


@functools.cache
def out_variant(target: OpOverload) -> OpOverload:
    """The overload that writes into given tensors and computes the same of the same arguments.

    It may have further arguments with default values; of several, that with the fewest is taken. LookupError
    if there is none.
    """
    record = OPERATORS.get(target)
    if record and isinstance(record.executorch, str) and record.executorch != OUT_VARIANT:
        return overload_named(record.executorch)
    wanted = {a.name: str(a.type) for a in target._schema.arguments}
    variants: list[tuple[int, OpOverload]] = []
    for overload in target.overloadpacket.overloads():
        candidate = getattr(target.overloadpacket, overload)
        plain = {a.name: a for a in candidate._schema.arguments if not a.is_out}
        if len(plain) == len(candidate._schema.arguments) or wanted.keys() - plain.keys() - PROPERTIES:
            continue
        further = [a for name, a in plain.items() if name not in wanted]
        same_types = all(str(plain[name].type) == kind for name, kind in wanted.items() if name in plain)
        if same_types and all(a.has_default_value() for a in further):
            variants.append((len(further), candidate))
    if not variants:
        raise LookupError(f"{target} has no out variant")
    return min(variants, key=lambda pair: pair[0])[1]


def overload_named(name: str) -> OpOverload:
    """Of `aten::view_copy.out`."""
    namespace, _, rest = name.partition("::")
    operator, _, overload = rest.partition(".")
    resolved = getattr(getattr(getattr(torch.ops, namespace), operator), overload)
    assert isinstance(resolved, OpOverload)
    return resolved


@functools.cache
def stock_kernels() -> frozenset[str]:
    """Names of the kernels in the runtime's registry: `aten::add.out`."""
    import executorch.kernels.quantized  # noqa: F401  registers the quantized embedding kernels
    from executorch.extension.pybindings.portable_lib import _get_operator_names

    return frozenset(_get_operator_names())


def check_operators(graph_operations: Iterable[fx.Node], fused: frozenset[str]) -> None:
    """Raises UnsupportedOperator naming the first operator without a stock kernel that is not in `fused`,
    and its place in the model.
    """
    available = stock_kernels() | {record.kernel for record in OPERATORS.values() if record.kernel}
    for node in graph_operations:
        if node.target is getitem:
            continue
        record = OPERATORS.get(node.target)
        if record and isinstance(record.executorch, Unfit):
            raise UnsupportedOperator(
                f"{operator_name(node)}, used in {place_of(node)!r}, {record.executorch.why}; change that "
                "part of the model",
                operator=operator_name(node),
                place=place_of(node),
            )
        try:
            name, overload, _ = kernel_call(node, fused)
        except LookupError:
            name, overload = operator_name(node), ""
        full = f"{name}.{overload}" if overload else name
        if full not in available:
            raise UnsupportedOperator(
                f"ExecuTorch has no stock kernel for {operator_name(node)} (looked for {full}), used in "
                f"{place_of(node)!r}; change that part of the model",
                operator=operator_name(node),
                place=place_of(node),
            )
