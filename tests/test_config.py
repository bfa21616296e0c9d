"""Options of a compilation: each default stands once, and values that make no sense are refused."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest
import typer

from lowpeak import compile_for_device
from lowpeak.cli import app
from lowpeak.cli.compile_options import Asked
from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.config import Budget, TargetOptions, TrainingOptions, as_record

DEFAULTS = {
    field.name: field.default
    for record in (TrainingOptions, TargetOptions)
    for field in dataclasses.fields(record)
    if field.default is not dataclasses.MISSING
}


def test_the_api_has_the_defaults_of_the_records():
    parameters = inspect.signature(compile_for_device).parameters
    assert {name: parameters[name].default for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("verb", ["compile", "estimate"])
def test_the_command_line_has_the_defaults_of_the_records(verb: str):
    command: Any = typer.main.get_command(app)
    options = {each.name: each for each in command.commands[verb].params}
    assert {name: options[name].default for name in DEFAULTS} == DEFAULTS
    assert (options["rank"].default, options["alpha"].default) == (16, 8)


def test_both_verbs_have_the_same_options_in_the_same_order():
    command: Any = typer.main.get_command(app)
    shared = [field.name for field in dataclasses.fields(Asked)]
    for verb in ("compile", "estimate"):
        names = [each.name for each in command.commands[verb].params]
        start = names.index(shared[0])
        assert names[start : start + len(shared)] == shared


def test_what_was_asked_is_divided_among_the_records():
    asked = Asked(batch_size=3, kernels="lowpeak", optimizer="sgd", rank=2, target_modules="q_proj, v_proj")
    assert asked.training(7) == TrainingOptions(7, 3, optimizer="sgd")
    assert asked.for_target() == TargetOptions(kernels="lowpeak")
    assert asked.lora().target_modules == {"q_proj", "v_proj"} and asked.lora().r == 2
    assert asked.keywords().keys() == DEFAULTS.keys() | {"lora"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seq_len": 1}, "seq_len is 1; it must be at least 2 tokens"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"trainable_ratio": 1.5}, "trainable_ratio is 1.5; it must be above 0 and at most 1"),
        ({"group_size": 31}, "group_size is 31; it must be 32, 64 or 128"),
        ({"loss": "huber"}, "loss is 'huber'; it must be one of exact, subset"),
        ({"quantization": "int3"}, "quantization is 'int3'; it must be one of int4, int8, none"),
        ({"optimizer": "lion"}, "optimizer is 'lion'; it must be one of adamw, sgd"),
    ],
)
def test_training_options_that_make_no_sense(options: dict[str, Any], said: str):
    with pytest.raises(ModelError) as caught:
        TrainingOptions(**{"seq_len": 8, **options})
    assert str(caught.value) == said


@pytest.mark.parametrize("megabytes", [0, -1, float("nan"), float("inf")])
def test_a_budget_is_a_positive_number(megabytes: float):
    with pytest.raises(ModelError, match=r"budget_mb is .*; it must be a positive number"):
        Budget(megabytes)


@pytest.mark.parametrize(("ratio", "rows"), [(1.0, None), (0.3, 10), (0.001, 1)])
def test_rows_that_can_have_a_label(ratio: float, rows: int | None):
    options = TrainingOptions(16, 2, trainable_ratio=ratio)
    assert options.tokens == 32 and options.rows == rows


def test_the_record_of_a_manifest_has_every_option_once():
    record = as_record(TrainingOptions(8), TargetOptions(), Budget(1.5))
    assert record == {"budget_mb": 1.5, "seq_len": 8, **DEFAULTS}
    assert Budget(1.5).nbytes == 1_500_000
