"""recompute, offload and reorder: golden dumps on a hand-made graph, parity on a model."""

from __future__ import annotations

import pytest
import torch
from expecttest import assert_expected_inline

from lowpeak_compiler.budget.devices import DeviceProfile, device
from lowpeak_compiler.budget.program_view import program_view, rates
from lowpeak_compiler.budget.targets import target
from lowpeak_compiler.ir.graph import TrainGraph, forward_nodes
from lowpeak_compiler.passes.apply.offload import Offload
from lowpeak_compiler.passes.apply.recompute import Recompute
from lowpeak_compiler.passes.apply.reorder import Reorder
from lowpeak_compiler.passes.loss.lower_loss import LowerLoss
from lowpeak_compiler.passes.lower.dequantize_per_use import DequantizePerUse
from lowpeak_compiler.passes.lower.lower_attention import LowerAttention
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from lowpeak_compiler.plan.liveness import live_bytes
from lowpeak_compiler.plan.measure import Memory
from lowpeak_compiler.plan.planner import Planner
from lowpeak_compiler.plan.timeline import step_seconds
from tests.evaluate import GraphBuilder
from tests.models import joint, language_model

aten = torch.ops.aten
VIEWS = frozenset({"view_default"})


def chain() -> TrainGraph:
    """loss = sum(exp(view(sigmoid(w)))); its gradient by hand reads exp and sigmoid again."""
    build = GraphBuilder()
    w = build.input("w", 2, 3)
    inner = build.call(aten.sigmoid.default, w)
    flat = build.call(aten.view.default, inner, [6])
    outer = build.call(aten.exp.default, flat)
    loss = build.call(aten.sum.default, outer)
    slope = build.call(aten.mul.Tensor, build.call(aten.rsub.Scalar, flat, 1), flat)
    gradient = build.call(aten.view.default, build.call(aten.mul.Tensor, outer, slope), [2, 3])
    graph = build.finish(loss, gradient)
    graph.gradients = ("w",)
    return graph


def test_recompute_golden():
    graph = chain()
    runner = Runner()
    runner.run(graph, [Recompute(frozenset({"sigmoid_default"}), VIEWS)])
    assert runner.applied == {"Recompute": 1}
    assert_expected_inline(
        graph.dump(),
        """\
w: float32[2, 3] = adapter w
sigmoid_default: float32[2, 3] = aten.sigmoid.default(w)
view_default: float32[6] = aten.view.default(sigmoid_default, [6])
exp_default: float32[6] = aten.exp.default(view_default)
sum_default: float32[] = aten.sum.default(exp_default)
sigmoid_default_recomputed: float32[2, 3] = aten.sigmoid.default(w)
view_default_2: float32[6] = aten.view.default(sigmoid_default_recomputed, [6])
rsub_scalar: float32[6] = aten.rsub.Scalar(view_default_2, 1)
mul_tensor: float32[6] = aten.mul.Tensor(rsub_scalar, view_default_2)
mul_tensor_1: float32[6] = aten.mul.Tensor(exp_default, mul_tensor)
view_default_1: float32[2, 3] = aten.view.default(mul_tensor_1, [2, 3])
return sum_default, view_default_1""",
    )


def test_offload_golden():
    graph = chain()
    runner = Runner()
    runner.run(graph, [Offload(("exp_default",), VIEWS)])
    assert runner.applied == {"Offload": 1}
    assert_expected_inline(
        graph.dump(),
        """\
w: float32[2, 3] = adapter w
sigmoid_default: float32[2, 3] = aten.sigmoid.default(w)
view_default: float32[6] = aten.view.default(sigmoid_default, [6])
exp_default: float32[6] = aten.exp.default(view_default)
exp_default_store: uint8[0] = lowpeak.store.default(exp_default, 0)
sum_default: float32[] = aten.sum.default(exp_default)
rsub_scalar: float32[6] = aten.rsub.Scalar(view_default, 1)
mul_tensor: float32[6] = aten.mul.Tensor(rsub_scalar, view_default)
exp_default_load: float32[6] = lowpeak.load.default(exp_default_store, 0, [6], torch.float32)
exp_default_loaded: float32[6] = lowpeak.loaded.default(exp_default_load)
mul_tensor_1: float32[6] = aten.mul.Tensor(exp_default_loaded, mul_tensor)
view_default_1: float32[2, 3] = aten.view.default(mul_tensor_1, [2, 3])
return sum_default, view_default_1""",
    )


def test_reorder_golden():
    graph = chain()
    order = ("sigmoid_default", "rsub_scalar", "exp_default", "mul_tensor", "mul_tensor_1", "sum_default")
    Runner().run(graph, [Reorder(order)])
    assert tuple(n.name for n in graph.operations() if "view" not in n.name) == order
    assert [n.name for n in graph.operations()][1] == "view_default"


def test_a_view_of_a_loaded_value_is_made_anew():
    graph = chain()
    Runner().run(graph, [Offload(("sigmoid_default",), VIEWS)])
    (loaded,) = (n for n in graph.operations() if n.target is torch.ops.lowpeak.loaded.default)
    (again,) = loaded.users
    assert again.target is aten.view.default and len(again.users) == 2


@pytest.mark.parametrize("what", ["recompute", "offload", "both"])
def test_parity(what: str):
    model = language_model("llama", num_hidden_layers=2)
    graph = joint(
        model.forward_graph(),
        after=[Normalize(), DequantizePerUse(), LowerAttention(4), LowerLoss(8, 50)],
    )
    view = program_view(graph, target("simulator", "stock"), device("laptop"))
    forward = {node.name for node in forward_nodes(graph)}
    candidates = [
        op.name for op in view.program.ops if op.forward and op.name in forward and len(op.writes) == 1
    ]
    recompute = frozenset(candidates[::2] if what == "both" else candidates)
    offload = tuple(candidates[1::2] if what == "both" else candidates)
    passes = [
        *([Recompute(recompute, view.views)] if what != "offload" else []),
        *([Offload(offload, view.views)] if what != "recompute" else []),
    ]
    runner = Runner()
    runner.run(graph, passes)
    assert all(count > 10 for count in runner.applied.values())
    model.check(graph)


SLOW = DeviceProfile("slow", 10**9, 0.01, 1e9, 1e9, 1e9)
"""Reads faster than it computes again."""


@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.3, pytest.param(0.8, marks=pytest.mark.thorough)])
def test_the_graph_has_the_peak_that_the_plan_says(share: float, offload: bool):
    model = language_model("qwen2", num_hidden_layers=3)
    graph = joint(
        model.forward_graph(),
        after=[Normalize(), DequantizePerUse(), LowerAttention(6), LowerLoss(12, 64)],
    )
    runtime, profile = target("simulator", "stock"), SLOW if offload else device("laptop")
    view = program_view(graph, runtime, profile)
    planner = Planner(view.program, rates(profile, runtime), Memory(runtime.alignment), offload=offload)
    most = planner.fastest().peak_bytes
    persistent = live_bytes(view.program, runtime.alignment)[0]
    plan = planner.plan(int(most - share * (most - persistent) * 0.5))
    assert plan is not None
    Runner().run(
        graph,
        [
            Recompute(plan.carried_out.recompute, view.views),
            Offload(tuple(plan.carried_out.offload), view.views),
            Reorder(tuple(op.name for op in plan.program.ops)),
        ],
    )
    after = program_view(graph, runtime, profile)
    assert bool(plan.carried_out.offload) == (offload and share > 0)
    assert max(live_bytes(after.program, runtime.alignment)) == plan.peak_bytes
    assert step_seconds(after.program) == pytest.approx(plan.seconds, rel=1e-3 if offload else 1e-6)
    model.check(graph)
