"""The forward TrainGraph -> the joint graph of loss and gradients, in core ATen and `lowpeak::` operators.

The forward is retraced together with its backward. Attention that passes/attention.py left as
`scaled_dot_product_attention` is traced with its plain-math formula: the core decompositions take the flash
forward apart but not its backward, and would give a right loss with wrong gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions
from torch.fx import traceback
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from compiler.errors import ModelError
from compiler.graph import Adapter, Role, TrainGraph
from compiler.passes.in_place import make_functional

aten = torch.ops.aten
LEFT_TO_NORMALIZE = (aten.t.default, aten.transpose.int)
"""Their decompositions take the time of several operators, and there are several for each matrix product."""


def differentiate(forward: TrainGraph) -> TrainGraph:
    """Raises ModelError naming the trainable parameters that the loss does not depend on."""
    placeholders = list(forward.inputs())
    interpreter = fx.Interpreter(fx.GraphModule({}, forward.graph))
    learned = [i for i, (_, role) in enumerate(placeholders) if isinstance(role, Adapter)]
    names = [placeholders[i][1].name for i in learned]

    def joint(*values: Tensor) -> tuple[Tensor, ...]:
        arguments = list(values)
        for i in learned:
            arguments[i] = values[i].detach().requires_grad_()
        (loss,) = interpreter.run(*arguments)
        if not loss.requires_grad:
            raise _without_gradient(names)
        gradients = torch.autograd.grad(loss.reshape(()), [arguments[i] for i in learned], allow_unused=True)
        missing = [name for name, gradient in zip(names, gradients, strict=True) if gradient is None]
        if missing:
            raise _without_gradient(missing)
        return (loss.detach(), *gradients)

    example = [_fake_of(node) for node, _ in placeholders]
    decompositions = dict(core_aten_decompositions())
    for operator in LEFT_TO_NORMALIZE:
        decompositions.pop(operator, None)
    with traceback.preserve_node_meta(), sdpa_kernel([SDPBackend.MATH]):
        module = make_fx(joint, decomposition_table=decompositions, tracing_mode="real")(*example)
    graph = module.graph
    roles: dict[str, Role] = {}
    traced = [node for node in graph.nodes if node.op == "placeholder"]
    for node, (source, role) in zip(traced, placeholders, strict=True):
        roles[node.name] = role
        node.meta["val"] = source.meta["val"]
    result = TrainGraph(graph, roles, tuple(names))
    result.output.args = (tuple(result.output.args[0]),)  # type: ignore[arg-type]
    make_functional(result)
    return result


def _fake_of(node: fx.Node) -> Any:
    return node.meta["val"].detach()


def _without_gradient(names: list[str]) -> ModelError:
    return ModelError(
        f"{len(names)} trainable parameter(s) get no gradient, first {names[0]!r}: the loss does not depend "
        "on them. Freeze them (requires_grad=False) or use them in the forward.",
        parameters_without_gradient=len(names),
    )
