"""The forward TrainGraph -> the joint graph of loss and gradients, in core ATen and `lowpeak::` operators.

The forward is retraced together with its backward. Attention that passes/fuse/attention.py left as
`scaled_dot_product_attention` is traced with its plain-math formula: the core decompositions take the flash
forward apart but not its backward, and would give a right loss with wrong gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions
from torch.fx import traceback
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from lowpeak_artifact.errors import (
    LowpeakError,
    ModelError,
    UnsupportedOperator,
    summary,
    told_as_model_error,
)
from lowpeak_compiler.ir.graph import Adapter, Role, TrainGraph, operator_name, place_of
from lowpeak_compiler.passes.in_place import make_functional

aten = torch.ops.aten
LEFT_TO_NORMALIZE = (aten.t.default, aten.transpose.int)
"""Their decompositions take the time of several operators, and there are several for each matrix product."""


def _copied(target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    return source.to(target.dtype).expand(target.shape)


def _convolution_backward(
    grad: Tensor,
    source: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    mask: list[bool],
) -> Any:
    """The gradient of what is convolved alone, as weights are frozen, is a transposed convolution; runtimes
    have no kernel that gives one of three results."""
    if transposed or mask != [True, False, False]:
        return NotImplemented
    axes = range(len(stride))
    spanned = [
        (grad.shape[2 + i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (weight.shape[2 + i] - 1) + 1
        for i in axes
    ]
    rest = [source.shape[2 + i] - spanned[i] for i in axes]
    result = aten.convolution.default(grad, weight, None, stride, padding, dilation, True, rest, groups)
    return result, None, None


REPLAYED_AS: dict[object, Callable[..., Tensor]] = {
    aten.view.default: aten.reshape.default,
    aten._unsafe_view.default: aten.reshape.default,
    aten.copy.default: _copied,
}
"""Operators that ask for certain strides or have no derivative, and what does the same without."""


def differentiate(forward: TrainGraph) -> TrainGraph:
    """Raises ModelError naming the trainable parameters that the loss does not depend on."""
    placeholders = list(forward.inputs())
    replay = _Replay(forward)
    learned = [i for i, (_, role) in enumerate(placeholders) if isinstance(role, Adapter)]
    names = [placeholders[i][1].name for i in learned]

    def joint(*values: Tensor) -> tuple[Tensor, ...]:
        arguments = list(values)
        for i in learned:
            arguments[i] = values[i].detach().requires_grad_()
        (loss,) = replay.run(*arguments)
        if not loss.requires_grad:
            raise _without_gradient(names)
        gradients = torch.autograd.grad(loss.reshape(()), [arguments[i] for i in learned], allow_unused=True)
        missing = [name for name, gradient in zip(names, gradients, strict=True) if gradient is None]
        if missing:
            raise _without_gradient(missing)
        return (loss.detach(), *gradients)

    with told_as_model_error("the model's backward cannot be computed"):
        return _traced(forward, joint, tuple(names))


def lower_forward(forward: TrainGraph) -> TrainGraph:
    """The forward alone in the operators that `differentiate` returns."""
    replay = _Replay(forward)

    def run(*values: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return tuple(replay.run(*values))

    with told_as_model_error("the model's forward cannot be computed"):
        return _traced(forward, run, ())


def _traced(
    forward: TrainGraph, function: Callable[..., tuple[Tensor, ...]], gradients: tuple[str, ...]
) -> TrainGraph:
    """What `function` of the forward's inputs does, in core ATen and `lowpeak::` operators."""
    placeholders = list(forward.inputs())
    example = [_fake_of(node) for node, _ in placeholders]
    decompositions = dict(core_aten_decompositions())
    for operator in LEFT_TO_NORMALIZE:
        decompositions.pop(operator, None)
    decompositions[aten.convolution_backward.default] = _convolution_backward
    with traceback.preserve_node_meta(), sdpa_kernel([SDPBackend.MATH]):
        module = make_fx(function, decomposition_table=decompositions, tracing_mode="real")(*example)
    graph = module.graph
    roles: dict[str, Role] = {}
    traced = [node for node in graph.nodes if node.op == "placeholder"]
    for node, (source, role) in zip(traced, placeholders, strict=True):
        roles[node.name] = role
        node.meta["val"] = source.meta["val"]
    result = TrainGraph(graph, roles, gradients)
    result.output.args = (tuple(result.output.args[0]),)  # type: ignore[arg-type]
    make_functional(result)
    # Outputs that an operator was not asked for have no value.
    result.graph.eliminate_dead_code()
    for node in result.operations():
        _require_all_results(node)
    return result


class _Replay(fx.Interpreter):
    """Runs the forward on other strides than it was captured with: those of fused operators, and of attention
    as plain math. The graph means values in their logical order, so that every view may copy.
    """

    def __init__(self, graph: TrainGraph) -> None:
        super().__init__(fx.GraphModule({}, graph.graph))
        # Or the graph's text is put into every message.
        self.extra_traceback = False

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        return super().call_function(REPLAYED_AS.get(target, target), args, kwargs)

    def run_node(self, n: fx.Node) -> Any:
        try:
            return super().run_node(n)
        except LowpeakError:
            raise
        except Exception as error:
            raise UnsupportedOperator(
                f"{operator_name(n)} in {place_of(n)!r} cannot be differentiated: {summary(error)}; write "
                "that part of the model with other operators",
                operator=operator_name(n),
                place=place_of(n),
            ) from error


def _require_all_results(node: fx.Node) -> None:
    """Raises UnsupportedOperator for an operator that gives some of its results only: kernels give all."""
    value = node.meta["val"]
    if isinstance(value, tuple | list) and any(part is None for part in value):
        raise UnsupportedOperator(
            f"{operator_name(node)} in {place_of(node)!r} gives {sum(v is not None for v in value)} of its "
            f"{len(value)} results, which no runtime's kernel does; freeze that part of the model, or write "
            "it with other operators",
            operator=operator_name(node),
            place=place_of(node),
        )


def _fake_of(node: fx.Node) -> Any:
    return node.meta["val"].detach()


def _without_gradient(names: list[str]) -> ModelError:
    return ModelError(
        f"{len(names)} trainable parameter(s) get no gradient, first {names[0]!r}: the loss does not depend "
        "on them. Freeze them (requires_grad=False) or use them in the forward.",
        parameters_without_gradient=len(names),
    )
