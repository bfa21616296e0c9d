from __future__ import annotations

from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.batch_file import packed
from lowpeak_runtime.data.encode import Example
from lowpeak_runtime.data.prepare import training_data
from lowpeak_runtime.data.user_data import padding_id
from tests.runtime_py.trainable import several_batches, uneven_batches
from tests.tiny import SHAPE, TinyStep, planned_module, planned_step, tiny_batch, tiny_qwen2, write_artifact

ROWS = SHAPE["vocab_size"]


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return planned_step(tiny_qwen2())


@pytest.fixture(scope="module")
def artifact(tiny: TinyStep, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return Artifact.open(write_artifact(tmp_path_factory.mktemp("data") / "artifact", tiny))


def inputs(artifact: Artifact, data: Any, steps: int = 4) -> dict[str, torch.Tensor]:
    return packed(batch for batch, _ in islice(training_data(artifact, data).batches(seed=0), steps))


def test_lists_and_arrays_train_as_tensors(tiny: TinyStep, artifact: Artifact) -> None:
    data = several_batches(tiny.spec, 3)
    expected = inputs(artifact, data)
    for form in (torch.Tensor.tolist, torch.Tensor.numpy):
        actual = inputs(artifact, [{name: form(value) for name, value in batch.items()} for batch in data])
        assert actual.keys() == expected.keys()
        assert all(torch.equal(actual[name], value) for name, value in expected.items())


def test_batches_without_a_label_are_left_out(tiny: TinyStep, artifact: Artifact) -> None:
    """Whatever step a run begins with: batches are those of the data that has none of them."""
    good = uneven_batches(tiny.spec, [0, 3, 7])
    (empty,) = uneven_batches(tiny.spec, [tiny.spec.seq_len])
    mixed = [empty, good[0], empty, empty, good[1], good[2]]
    actual, expected = (training_data(artifact, data) for data in (mixed, good))
    assert (actual.skipped, expected.skipped) == (3, 0)
    for first in (0, 2):
        one, two = (
            packed(batch for batch, _ in islice(each.batches(seed=0, position=first), 5))
            for each in (actual, expected)
        )
        assert all(torch.equal(one[name], value) for name, value in two.items())
    with pytest.raises(DataError, match="none of 2 batches has a label after the first token"):
        training_data(artifact, [empty, empty])


@pytest.mark.parametrize(("key", "value"), [("input_ids", ROWS), ("labels", -1), ("labels", ROWS)])
def test_a_batch_is_named_by_its_number(tiny: TinyStep, artifact: Artifact, key: str, value: int) -> None:
    data = several_batches(tiny.spec, 3)
    data[1][key][0, 7] = value
    with pytest.raises(
        DataError, match=rf"^batch 1 of the data: {key}\[0, 7\] is {value} .* {ROWS} rows"
    ) as problem:
        inputs(artifact, data)
    assert problem.value.numbers == {"batch": 1, "id": value, "rows": ROWS, "example": 0, "token": 7}


def test_an_example_is_named_by_its_number(artifact: Artifact) -> None:
    good, bad = Example((1, 2, 3), (-100, 2, 3)), Example((1, 2, 300), (-100, 2, 3))
    with pytest.raises(DataError, match=r"^example 2 of the data: input_ids\[0, 2\] is 300"):
        inputs(artifact, [good, good, bad])
    with pytest.raises(DataError, match="example 1 of the data has 3 ids and 2 labels"):
        inputs(artifact, [good, Example((1, 2, 3), (-100, 2))])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"input_ids": [[1]], "labels": [[1]]}, "a JSONL file, a list of batches .* this is a dict"),
        (np.zeros(3), "this is a ndarray"),
        (iter([]), "this is a list_iterator"),
        ([3], "batch 0 of the data: a batch is a mapping .* this is a int"),
        ([Example((1, 2), (1, 2)), {}], "batch 0 of the data: a batch is a mapping .* this is a Example"),
        ([{"input_ids": [1, 2], "labels": [1, 2]}], r"it is \(2,\); a batch has one row for each example"),
        ([{"input_ids": [[1] * 12]}], "takes labels of shape .1, 12., it is missing"),
    ],
)
def test_what_is_no_data(artifact: Artifact, data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        inputs(artifact, data)


def test_batches_of_a_module(tmp_path: Path) -> None:
    table = torch.nn.Embedding(5, 4)
    sample = {"ids": torch.tensor([0, 4])}
    module = planned_module(_Module(table), sample)
    artifact = Artifact.open(write_artifact(tmp_path / "a", module, sample))
    assert inputs(artifact, [{"ids": [3, 1]}], steps=1)["0.ids"].tolist() == [[3, 1]]
    for wrong, message in (
        ([{"ids": [3, 5]}], r"batch 0 of the data: ids\[1\] is 5, but there are 5 rows"),
        ([{"ids": [3, 1], "weight": [1.0]}], "has weight, which the artifact does not take: it takes ids"),
        ([Example((1, 2), (1, 2))], "plain module, which takes no examples"),
    ):
        with pytest.raises(DataError, match=message):
            inputs(artifact, wrong)


class _Module(torch.nn.Module):
    def __init__(self, table: torch.nn.Embedding) -> None:
        super().__init__()
        self.table = table

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table(ids).square().mean()


@pytest.mark.parametrize(("pad", "expected"), [(None, 0), (7, 7), (ROWS - 1, ROWS - 1), (ROWS, 0), (-1, 0)])
def test_padding_has_a_row(artifact: Artifact, pad: int | None, expected: int) -> None:
    assert padding_id(artifact, SimpleNamespace(pad_token_id=pad)) == expected  # type: ignore[arg-type]


def test_a_subset_is_of_the_batch_or_chosen(tmp_path: Path) -> None:
    tiny = planned_step(tiny_qwen2(), subset_size=20)
    batch = tiny_batch(tiny.spec)
    subset = torch.arange(20)
    sample, options = {**batch, "token_subset": subset}, {"head": "base_model.model.lm_head.weight"}
    artifact = Artifact.open(write_artifact(tmp_path / "a", tiny, sample, options=options))
    batch["labels"] = batch["input_ids"] = batch["input_ids"] % 20
    found = inputs(artifact, [{**batch, "token_subset": subset}], steps=1)
    assert found["0.token_subset"].tolist() == [subset.tolist()]
    chosen = inputs(artifact, [batch], steps=1)["0.token_subset"][0]
    assert set(batch["labels"].flatten().tolist()) <= set(chosen.tolist()) != set(subset.tolist())
    batch["labels"] = torch.full_like(batch["labels"], ROWS)
    with pytest.raises(DataError, match=rf"labels\[0, 0\] is {ROWS}"):
        inputs(artifact, [batch])
