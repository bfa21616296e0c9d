"""Lists of passes fit together, are cut by name, and what a pass promises is checked when it has run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations, product
from typing import get_args

import pytest
import torch

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.budget.targets import TARGETS
from lowpeak_compiler.config import Loss, Quantization, TrainingOptions
from lowpeak_compiler.ir.graph import Frozen, TrainGraph
from lowpeak_compiler.ir.property import Property
from lowpeak_compiler.passes import properties
from lowpeak_compiler.passes.apply.reorder import Reorder
from lowpeak_compiler.passes.contract import ContractError, Pipeline, require_fit
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.fuse.fuse_add import FuseAdd
from lowpeak_compiler.passes.fuse.fuse_matmul import FuseMatmul
from lowpeak_compiler.passes.fuse.rotary import Rotary
from lowpeak_compiler.passes.fuse.token_major import TokenMajor
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.loss.mask_logits import MaskLogits
from lowpeak_compiler.passes.lower.check_operators import CheckOperators
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.pipeline import generation_pipeline, training_pipeline
from lowpeak_compiler.passes.runner import Record, Runner
from lowpeak_compiler.passes.stage import Listed, Pass, Stage
from lowpeak_compiler.passes.stages import Capture, Differentiate, Place
from tests.evaluate import GraphBuilder

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak
STOCK, LOWPEAK = TARGETS["executorch", "stock"], TARGETS["executorch", "lowpeak"]
TRAINING = TrainingOptions(64)


def stages() -> list[type[Stage]]:
    """Every kind of stage of ours."""
    found: list[type[Stage]] = []
    pending: list[type[Stage]] = [Stage]
    while pending:
        pending += (kinds := pending.pop().__subclasses__())
        found += [each for each in kinds if each is not Pass and each.__module__.startswith("lowpeak_")]
    return found


def test_every_stage_has_a_name_of_its_own_and_says_what_it_does():
    kinds = stages()
    assert len(kinds) > 25 and len({kind.name for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert kind.name == kind.name.lower() and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
        assert 20 < len(kind.summary()) <= 90 and kind.summary().endswith("."), kind


@pytest.mark.parametrize("key", TARGETS, ids="-".join)
def test_every_list_of_every_target_fits(key: tuple[str, str]):
    for loss, ratio, quantization in product(get_args(Loss), (1.0, 0.3), get_args(Quantization)):
        training = TrainingOptions(64, loss=loss, trainable_ratio=ratio, quantization=quantization)
        found = training_pipeline(training, TARGETS[key])
        assert ("mask_logits" in found.names, "subset_softmax" in found.names) == (
            ratio < 1,
            loss == "subset",
        )
        assert found.names[0] == "capture" and found.names[-1] == "place"
        assert len(set(found.names)) == len(found.names)
    if "cached_attention" in TARGETS[key].fused:
        assert "cached_attention" in generation_pipeline(TRAINING, TARGETS[key]).names


def test_a_list_depends_on_what_the_target_can_do():
    stock, ours = (training_pipeline(TRAINING, target).names for target in (STOCK, LOWPEAK))
    assert "lower_attention" in stock and "lower_attention" not in ours
    assert {"rms_norm", "fuse_add", "tile"} <= set(ours) and {"rms_norm", "fuse_add", "tile"}.isdisjoint(
        stock
    )


@pytest.mark.parametrize(
    ("passes", "said"),
    [
        ([Capture(), Normalize()], "'normalize' requires 'core' .*, which no pass of the list ensures"),
        (
            [Capture(), Attention(), TokenMajor(), Rotary()],
            "'token_major' requires 'rotary' .*, which 'rotary' ensures, but runs after it",
        ),
        (
            [Capture(), Differentiate(), Attention()],
            "'attention' requires 'forward' .*, which 'differentiate' before it ends",
        ),
        (
            [Capture(), ChunkedLoss(), MaskLogits(3)],
            "'mask_logits' requires 'head' .*, which 'chunked_loss' before it ends",
        ),
        (
            [Capture(), Differentiate(), Normalize(), FuseMatmul(), FuseAdd(frozenset())],
            "'fuse_add' requires 'fused_quantized' .*, which no pass of the list ensures",
        ),
    ],
)
def test_a_list_that_does_not_fit_is_refused_when_it_is_made(passes: list[Listed], said: str):
    with pytest.raises(ContractError, match=said):
        Pipeline(tuple(passes), (), (), ())


def test_the_order_of_lowering_and_fusing_matters():
    """Each of them that is moved before another which it builds on is refused."""
    whole = training_pipeline(TRAINING, LOWPEAK)
    names = ("fuse_quantized", "fuse_matmul", "fuse_add", "check_operators")
    free = [stage for stage in whole.variant if stage.name not in names]
    by_name = {stage.name: stage for stage in whole.variant}
    fitting = []
    for order in permutations(names):
        try:
            replace(
                whole,
                variant=(*free[:-1], *(by_name[name] for name in order[:3]), free[-1], by_name[order[3]]),
            )
        except ContractError:
            continue
        fitting.append(order)
    assert fitting == [names]


@pytest.mark.parametrize("key", TARGETS, ids="-".join)
def test_operators_are_checked_after_every_pass_that_brings_some(key: tuple[str, str]):
    *lowering, check = training_pipeline(TRAINING, TARGETS[key]).variant
    assert lowering and check.name == "check_operators"
    for stage in lowering:
        assert properties.LOWERED not in stage.after({properties.LOWERED}), stage.name


def test_a_list_is_cut_after_a_name():
    whole = training_pipeline(TRAINING, LOWPEAK)
    for number, name in enumerate(whole.names, 1):
        assert whole.until(name).names == whole.names[:number]
    cut = whole.until("differentiate")
    assert [type(stage) for stage in cut.joint] == [Differentiate] and not cut.variant and not cut.plan


@pytest.mark.parametrize(("name", "near"), [("rmsnorm", "rms_norm"), ("Fuse-Add", "fuse_add"), ("zzz", None)])
def test_an_unknown_name_is_refused_with_the_near_one(name: str, near: str | None):
    with pytest.raises(ValueError) as caught:
        training_pipeline(TRAINING, LOWPEAK).until(name)
    message = str(caught.value)
    assert ("did you mean" in message) == (near is not None)
    assert near is None or f"did you mean {near}?" in message
    assert "It has: capture, attention, " in message


@dataclass(frozen=True)
class Nothing(Pass):
    """Does nothing, and promises what it does not do."""

    ensures = frozenset({properties.JOINT})

    def run(self, graph: TrainGraph) -> int:
        return 0


def test_a_promise_that_is_not_kept_is_found():
    build = GraphBuilder()
    graph = build.finish(build.call(aten.sin.default, build.input("x", 3)))
    with pytest.raises(AssertionError, match="after nothing the graph is not 'joint': it has no gradients"):
        Runner().run(graph, [Nothing()])


@dataclass(frozen=True)
class Spoil(Pass):
    """Puts back a product, and does not say so."""

    def run(self, graph: TrainGraph) -> int:
        (node,) = graph.operations()
        a, b = node.args[:2]
        with graph.graph.inserting_before(node):
            old = graph.graph.call_function(aten.mm.default, (a, b))
        old.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(old)
        return 1


def test_a_property_is_lost_only_by_a_pass_that_ends_it():
    build = GraphBuilder()
    graph = build.finish(build.call(aten.mm.default, build.input("a", 3, 4), build.input("b", 4, 5)))
    Runner().run(graph, [FuseMatmul()])
    assert graph.properties == {properties.FUSED_MATMUL} == graph.copy().properties
    with pytest.raises(
        AssertionError, match="after spoil the graph is not 'fused_matmul': mm_default_1 is aten"
    ):
        Runner().run(graph, [Spoil()])


def violating() -> dict[str, TrainGraph]:
    """By property, a graph that has it not."""

    def one(target: object, *shapes: tuple[int, ...], more: tuple[object, ...] = ()) -> TrainGraph:
        build = GraphBuilder()
        inputs = [build.input(f"x{i}", *shape) for i, shape in enumerate(shapes)]
        return build.finish(build.call(target, *inputs, *more))  # type: ignore[arg-type]

    build = GraphBuilder()
    scale = build.input("s", 8, 1, role=Frozen("s"))
    data = build.input("w", 8, 2, dtype=torch.uint8, role=Frozen("w"))
    matrix = build.call(lowpeak.dequantize.default, data, scale, None, 4)
    shared = build.finish(build.call(aten.add.Tensor, build.call(aten.sin.default, matrix), matrix))
    strided = one(aten.transpose.int, (2, 3), more=(0, 1))
    strided.operations()[0].meta["val"] = (
        strided.operations()[0].meta["val"].new_empty_strided((3, 2), (1, 3))
    )
    with_gradient = one(aten.sin.default, (3,))
    with_gradient.gradients = ("x0",)
    head = ((4, 3), (8, 3))
    labels = GraphBuilder()
    inputs = [labels.input(f"x{i}", *shape) for i, shape in enumerate(head)]
    loss = labels.call(
        lowpeak.linear_cross_entropy.default, *inputs, None, labels.input("y", 4, dtype=torch.int64), -100
    )
    return {
        "forward": with_gradient,
        "joint": one(aten.sin.default, (3,)),
        "normal": strided,
        "own_matrix": shared,
        "lowered_attention": one(lowpeak.causal_attention.default, *[(1, 2, 3, 4)] * 3, more=(1.0,)),
        "lowered_loss": labels.finish(loss),
        "fused_matmul": one(aten.bmm.default, (1, 2, 3), (1, 3, 2)),
    }


def test_every_check_of_a_property_can_fail():
    known = [each for each in vars(properties).values() if isinstance(each, Property)]
    assert len({each.name for each in known}) == len(known) > 15
    graphs = violating()
    for each in known:
        assert (each.violation is None) == (each.name not in graphs), each.name
        if each.violation is not None:
            assert each.violation(graphs[each.name]), each.name
            others = [graph for name, graph in graphs.items() if each.violation(graph) is None]
            assert others, f"{each.name} holds of no graph"


def test_an_operator_without_a_kernel_is_found():
    build = GraphBuilder()
    gate, up = build.input("gate", 2, 3), build.input("up", 2, 3)
    graph = build.finish(build.call(lowpeak.swiglu.default, gate, up))
    Runner().run(graph.copy(), [CheckOperators(frozenset({"swiglu"}))])
    with pytest.raises(ModelError, match="swiglu_default is lowpeak::swiglu, which the target has no kernel"):
        Runner().run(graph, [CheckOperators(frozenset({"rotary"}))])


def test_an_order_that_was_not_reached_is_found():
    build = GraphBuilder()
    x = build.input("x", 3)
    one, other = build.call(aten.sin.default, x), build.call(aten.cos.default, x)
    graph = build.finish(build.call(aten.add.Tensor, one, other))
    assert Reorder(("sin_default", "cos_default", "add_tensor")).violation(graph) is None
    assert Reorder(("cos_default", "sin_default", "add_tensor")).violation(graph) == (
        "sin_default is where the plan has cos_default"
    )


def test_the_runner_keeps_what_each_pass_did():
    build = GraphBuilder()
    graph = build.finish(build.call(aten.mm.default, build.input("a", 3, 4), build.input("b", 4, 5)))
    seen: list[Record] = []
    runner = Runner(lambda record, _: seen.append(record))
    runner.run(graph, [FuseMatmul(), FuseMatmul()])
    assert runner.records == seen == [Record("fuse_matmul", 1), Record("fuse_matmul", 0)]
    assert runner.applied == {"FuseMatmul": 1}


def test_only_what_has_to_be_known_later_is_left_open():
    listed = training_pipeline(TRAINING, LOWPEAK).stages
    later = [stage.name for stage in listed if not isinstance(stage, Stage)]
    assert later == ["quantize", "lower_loss", "tile", "recompute", "offload", "reorder"]
    assert all(stage.options() for stage in listed if stage.name in later)
    assert isinstance(listed[-1], Place) and listed[-1].options() == "alignment=16"
    require_fit(listed)
