"""Operators that write into an operand become ones that give a new value.

    y = div_(x, 2); z = f(y)  ->  y = div(x, 2); z = f(y)

Autograd leaves a few behind. The trace lets every later reader of x read y, so only x's memory under another
name matters: an x that is a view, or has one, is refused.
"""

from __future__ import annotations

import torch
from torch import fx

from lowpeak_artifact.errors import UnsupportedOperator
from lowpeak_compiler.ir.graph import TrainGraph, changes_operand, operator_name, place_of
from lowpeak_compiler.passes.rewrite import Rewriter


def make_functional(graph: TrainGraph) -> int:
    """Raises UnsupportedOperator for an operator that writes into memory with another name."""
    changing = [node for node in graph.operations() if changes_operand(node)]
    for node in changing:
        target = _functional_form(node)
        written = node.args[0]
        assert isinstance(written, fx.Node)
        named_twice = written.op != "call_function" or any(map(_is_view, (written, *written.users)))
        if target is None or named_twice:
            raise UnsupportedOperator(
                f"{operator_name(node)} in {place_of(node)!r} writes into a tensor that is also read under "
                "another name; write the result to a new tensor there",
                operator=operator_name(node),
                place=place_of(node),
            )
        new = Rewriter(graph, node)
        new.replace_with(new.call(target, *node.args, **node.kwargs))
    return len(changing)


def _functional_form(node: fx.Node) -> torch._ops.OpOverload | None:
    """`aten.div.Scalar` for `aten.div_.Scalar`."""
    assert isinstance(node.target, torch._ops.OpOverload)
    name = node.target._schema.name.removeprefix("aten::").removesuffix("_")
    form: torch._ops.OpOverload | None = getattr(
        getattr(torch.ops.aten, name, None), node.target._overloadname, None
    )
    return form


def _is_view(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target.is_view
