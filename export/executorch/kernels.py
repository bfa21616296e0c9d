"""Which ExecuTorch kernel a node of the graph is: its name, overload and arguments. No kernel is called here.

A node maps to the out variant of its own operator, with these exceptions: what is a view in torch is a copy
there, `lowpeak::` operators have kernels in our library (native/executorch/), and without it dequantizing is
the stock quantized embedding asked for every row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from operator import getitem
from typing import Any

import torch
from torch import fx

from compiler.errors import UnsupportedOperator
from compiler.graph import operator_name, place_of
from compiler.passes.rewrite import operands

INT32_MAX = 2**31 - 1


class RowIds:
    """An operand 0 .. rows - 1 that no node gives: makes the embedding kernel dequantize a whole matrix."""

    def __init__(self, rows: int) -> None:
        self.rows = rows


KernelCall = tuple[str, str, list[tuple[Any, str]]]
QUANTIZED_KERNELS = {4: "quantized_decomposed::embedding_4bit", 8: "quantized_decomposed::embedding_byte"}


def _dequantize(node: fx.Node) -> KernelCall:
    """(value - zero_point) * scale by group is what the stock quantized embedding computes for each row asked
    for.
    """
    data, scale, zero_point, bits, *ids = node.args
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    rows = ids[0] if ids else RowIds(data.meta["val"].shape[0])
    arguments = [(x, "") for x in (data, scale, zero_point, low, high, rows, torch.float32)]
    return QUANTIZED_KERNELS[bits], "dtype_out", arguments


STOCK_FORMS: dict[object, Callable[[fx.Node], KernelCall]] = {
    torch.ops.lowpeak.dequantize.default: _dequantize,
    torch.ops.lowpeak.dequantize_rows.default: _dequantize,
}
COPY_FORMS = {
    torch.ops.aten.view.default: torch.ops.aten.view_copy.out,
    torch.ops.aten.permute.default: torch.ops.aten.permute_copy.out,
    torch.ops.aten.slice.Tensor: torch.ops.aten.slice_copy.Tensor_out,
    torch.ops.aten.select.int: torch.ops.aten.select_copy.int_out,
    torch.ops.aten.expand.default: torch.ops.aten.expand_copy.out,
}


def is_fused(node: fx.Node, fused: frozenset[str]) -> bool:
    """Whether a kernel of our library runs the node."""
    target = node.target
    return (
        isinstance(target, torch._ops.OpOverload)
        and target._opname in fused
        and target.namespace == "lowpeak"
    )


def kernel_call(node: fx.Node, fused: frozenset[str]) -> KernelCall:
    """(operator name, overload, arguments with schema types) of the out kernel; `fused`: the `lowpeak::`
    operators with a kernel of their own. LookupError if there is none.
    """
    target = node.target
    if is_fused(node, fused):
        kinds = [str(argument.type) for argument in target._schema.arguments]
        return target._schema.name, "out", list(zip(operands(node).values(), kinds, strict=True))
    stock = STOCK_FORMS.get(target)
    if stock:
        return stock(node)
    out = COPY_FORMS.get(node.target) or _out_variant(node.target)
    given = operands(node)
    arguments = []
    for argument in out._schema.arguments:
        if argument.is_out:
            continue
        value = given.get(argument.name, argument.default_value)
        if node.target is torch.ops.aten.slice.Tensor and argument.name == "end" and value is not None:
            value = min(value, INT32_MAX)
        arguments.append((value, str(argument.type)))
    return out._schema.name, out._schema.overload_name, arguments


@functools.cache
def _out_variant(target: torch._ops.OpOverload) -> torch._ops.OpOverload:
    """The overload that writes into given tensors and otherwise takes the same arguments."""
    if not isinstance(target, torch._ops.OpOverload):
        raise LookupError(f"{target} is no operator")
    wanted = [a.name for a in target._schema.arguments]
    packet = target.overloadpacket
    for overload in packet.overloads():
        candidate = getattr(packet, overload)
        plain = [a.name for a in candidate._schema.arguments if not a.is_out]
        if len(plain) < len(candidate._schema.arguments) and set(plain) <= set(wanted):
            types = {a.name: str(a.type) for a in target._schema.arguments}
            if all(str(a.type) == types[a.name] for a in candidate._schema.arguments if not a.is_out):
                return candidate
    raise LookupError(f"{target} has no out variant")


@functools.cache
def _stock_kernels() -> frozenset[str]:
    import executorch.kernels.quantized  # noqa: F401  registers the quantized embedding kernels
    from executorch.extension.pybindings.portable_lib import _get_operator_names

    return frozenset(_get_operator_names())


def check_operators(graph_operations: Iterable[fx.Node], fused: frozenset[str]) -> None:
    """Raises UnsupportedOperator naming the first operator without a stock kernel that is not in `fused`,
    and its place in the model.
    """
    available = _stock_kernels() | {f"lowpeak::{name}.out" for name in fused}
    for node in graph_operations:
        if node.target is getitem:
            continue
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
