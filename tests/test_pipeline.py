"""The list is what runs: whole, up to a name, and the graph has the properties that its passes promise."""

from __future__ import annotations

from functools import cache

import pytest

from lowpeak_artifact.errors import BudgetTooSmall
from lowpeak_compiler.budget.targets import target
from lowpeak_compiler.config import Budget, TargetOptions, TrainingOptions
from lowpeak_compiler.frontend.intake import Intake, take_in
from lowpeak_compiler.ir.graph import TrainGraph, operator_name
from lowpeak_compiler.ir.property import Property
from lowpeak_compiler.passes.contract import Pipeline
from lowpeak_compiler.passes.pipeline import training_pipeline
from lowpeak_compiler.passes.runner import Record, Runner
from lowpeak_compiler.pipeline import compile_step, graph_after
from tests.tiny import tiny_llama

TRAINING = TrainingOptions(130)
TARGETS = {
    "lowpeak": TargetOptions(kernels="lowpeak"),
    "stock": TargetOptions(),
    "onnxruntime": TargetOptions("onnxruntime"),
}
BUDGET = Budget(18)
ALWAYS = {"core", "joint", "normal", "lowered", "recomputed", "offloaded", "ordered", "placed"}
OWN = {
    "lowpeak": {"fused_quantized", "fused_matmul"},
    "stock": {"lowered_attention", "lowered_loss", "plain_products"},
    "onnxruntime": {"lowered_attention", "lowered_loss", "fused_matmul"},
}


@cache
def intake() -> Intake:
    model = tiny_llama(max_position_embeddings=256, num_hidden_layers=1)
    return take_in(model, seq_len=TRAINING.seq_len, batch_size=1, lora=None, example_batch=None, seed=0)


def listed(name: str) -> Pipeline:
    return training_pipeline(TRAINING, target(TARGETS[name].target, TARGETS[name].kernels))


def after(name: str, last: str) -> tuple[TrainGraph, list[str]]:
    """The graph after a pass, and what was run."""
    runner = Runner()
    graph = graph_after(last, intake(), TRAINING, TARGETS[name], BUDGET, runner)
    return graph, [record.name for record in runner.records]


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_observed_is_the_list(name: str):
    seen: list[Record] = []
    compiled = compile_step(
        intake(), TRAINING, TARGETS[name], BUDGET, observe=lambda record, _: seen.append(record)
    )
    names = listed(name).names
    run = list(dict.fromkeys(record.name for record in seen))
    assert run == [each for each in names if each in run]
    assert set(names) - set(run) <= {"lower_loss", "tile"}
    properties = {str(each) for each in compiled.step.graph.properties}
    assert properties >= ALWAYS | OWN[name]
    promised: frozenset[Property] = frozenset()
    for stage in listed(name).stages:
        promised = stage.after(promised) if stage.name in run else promised
    assert compiled.step.graph.properties == promised
    assert compiled.applied.keys().isdisjoint({"Place", "LowerAttention", "Tile"})
    assert [record.missed for record in seen if record.name == "attention"] == [()]


@pytest.mark.parametrize("name", TARGETS)
def test_the_graph_after_the_last_pass_is_the_compiled_one(name: str):
    graph, run = after(name, "place")
    compiled = compile_step(intake(), TRAINING, TARGETS[name], BUDGET)
    assert graph.dump() == compiled.step.graph.dump()
    assert run[-4:] == ["recompute", "offload", "reorder", "place"]


@pytest.mark.parametrize(
    ("last", "operator", "there"),
    [
        ("capture", "aten.scaled_dot_product_attention.default", True),
        ("rotary", "lowpeak.rotary.default", True),
        ("token_major", "lowpeak.linear_cross_entropy.default", False),
        ("chunked_loss", "lowpeak.linear_cross_entropy.default", True),
        ("differentiate", "lowpeak.causal_attention_backward.default", True),
        ("dequantize_per_use", "lowpeak.matmul.default", False),
        ("fuse_quantized", "lowpeak.matmul.default", False),
        ("fuse_matmul", "lowpeak.matmul.default", True),
        ("check_operators", "lowpeak.write_rows.default", False),
        ("tile", "lowpeak.write_rows.default", True),
    ],
)
def test_the_graph_after_a_pass(last: str, operator: str, there: bool):
    graph, run = after("lowpeak", last)
    names = listed("lowpeak").names
    assert run == [each for each in names[: names.index(last) + 1] if each in run] and run[-1] == last
    assert (operator in set(map(operator_name, graph.operations()))) == there


def test_a_plan_needs_a_budget_and_what_is_before_it_none():
    little = Budget(1)
    with pytest.raises(BudgetTooSmall):
        graph_after("recompute", intake(), TRAINING, TARGETS["stock"], little, Runner())
    graph_after("check_operators", intake(), TRAINING, TARGETS["stock"], little, Runner())


def test_an_unknown_name():
    with pytest.raises(ValueError, match="did you mean swiglu"):
        after("lowpeak", "swigluu")
