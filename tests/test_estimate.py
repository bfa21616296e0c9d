"""Estimates: what each technique saves, that no weight is read, and that a compilation keeps the promise."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import NoReturn

import pytest
import torch
from peft import LoraConfig

from lowpeak_artifact.kind import Kind
from lowpeak_artifact.quantized import QuantFormat
from lowpeak_compiler.config import Budget, TargetOptions, TrainingOptions
from lowpeak_compiler.estimate import Estimate, estimate, smallest_plan, with_resident_weights
from lowpeak_compiler.frontend.intake import Intake, take_in
from lowpeak_compiler.pipeline import compile_step
from lowpeak_compiler.plan.cost import Rates
from lowpeak_compiler.plan.measure import Memory
from lowpeak_compiler.plan.planner import Planner
from lowpeak_compiler.plan.program import Op, Program, Value
from tests.model.tiny import tiny_model

SEQ_LEN = 64
BUDGET = 12_500_000


class NoWeights:
    """Says how weights are stored and gives none."""

    def format_of(self, name: str) -> QuantFormat | None:
        return None

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"an estimate asked the weights for {name}")


def _intake() -> Intake:
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = tiny_model(num_hidden_layers=2, vocab_size=512)
    given = take_in(model, seq_len=SEQ_LEN, batch_size=1, lora=lora, example_batch=None, seed=0)
    return dataclasses.replace(given, weights=NoWeights())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def rows() -> dict[str, Estimate]:
    changed = TrainingOptions(SEQ_LEN, loss="subset", subset_size=64, trainable_ratio=0.25)
    return {row.technique: row for row in estimate(_intake(), changed, TargetOptions())}


def test_each_technique_lowers_the_peak(rows: dict[str, Estimate]) -> None:
    assert list(rows) == ["lora", "+int4", "+recompute", "+chunked loss", "+subset softmax", "+masking"]
    peaks = [row.peak_bytes for row in rows.values()]
    assert peaks[0] > peaks[1] > peaks[2]
    assert all(later <= 1.01 * earlier for earlier, later in pairwise(peaks))
    assert rows["+recompute"].step_seconds > rows["+int4"].step_seconds


def test_without_quantization_every_weight_is_float32(rows: dict[str, Estimate]) -> None:
    frozen = sum(4 * parameter.numel() for parameter in tiny_model(vocab_size=512).parameters())
    assert frozen <= rows["lora"].by_category["weights"] <= 1.2 * frozen
    assert rows["lora"].by_category["dequantized weight"] == 0
    assert rows["+int4"].by_category["weights"] < 0.4 * frozen


def test_plan_for_a_budget_is_what_compiling_gives() -> None:
    training, for_target = TrainingOptions(SEQ_LEN), TargetOptions()
    estimated = estimate(_intake(), training, for_target, budgets=[BUDGET, 1_000_000])
    assert [row.technique for row in estimated[4:]] == ["within 12.5 MB"]
    compiled = compile_step(_intake(), training, for_target, Budget(BUDGET / 1e6))
    assert estimated[4].peak_bytes <= BUDGET
    assert compiled.footprint.total == pytest.approx(estimated[4].peak_bytes, rel=0.01)
    assert compiled.plan.seconds == estimated[4].step_seconds


def test_resident_weights_are_no_operations() -> None:
    values = tuple(Value(name, 100, kind) for name, kind in (("w", Kind.WEIGHT), ("y", Kind.ACTIVATION)))
    dequantize = Op("w", (), (0,), 1.0, True)
    product = Op("y", (0,), (1,), 2.0, True, in_place=((1, 0),))
    found = with_resident_weights(Program(values, (dequantize, product), frozenset({1})))
    assert found.ops == (Op("y", (), (1,), 2.0, True),)


def test_smallest_plan_recomputes_what_it_can() -> None:
    """A chain of squares, whose backward needs every value: all kept, or each made again."""
    length, size = 12, 1 << 20
    values = [Value("x", size, Kind.BATCH)]
    ops = []
    for index in range(length):
        values.append(Value(f"y{index}", size, Kind.ACTIVATION))
        ops.append(Op(f"y{index}", (len(values) - 2,), (len(values) - 1,), 1.0, True))
    gradient = length
    for index in reversed(range(length)):
        values.append(Value(f"d{index}", size, Kind.ACTIVATION))
        ops.append(Op(f"d{index}", (gradient, index), (len(values) - 1,), 1.0, False))
        gradient = len(values) - 1
    program = Program(tuple(values), tuple(ops), frozenset({gradient}))
    planner = Planner(program, Rates(1e9, 1e9, 1e9, 1e9, 1e-6), Memory(16), offload=False)
    small, fast = smallest_plan(planner), planner.fastest()
    assert small.peak_bytes < fast.peak_bytes
    assert small.seconds > fast.seconds
    assert planner.plan(int(small.peak_bytes * 0.9)) is None


def test_meta_device_only() -> None:
    module = _intake().module
    assert all(tensor.device == torch.device("meta") for tensor in module.parameters())
