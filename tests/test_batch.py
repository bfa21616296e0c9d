from __future__ import annotations

import pytest
import torch

from compiler.batch import IGNORE_INDEX, BatchSpec
from compiler.errors import DataError

IDS = torch.tensor([[4, 5, 6, 7], [8, 9, 1, 1]])
LABELS = torch.tensor([[-100, 5, 6, 7], [-100, -100, 1, -100]])


def test_targets_are_the_labels_of_the_next_token():
    inputs = BatchSpec(True, 2, 4).graph_inputs({"input_ids": IDS, "labels": LABELS})
    assert inputs["input_ids"] is IDS
    assert inputs["targets"].tolist() == [[5, 6, 7, -100], [-100, 1, -100, -100]]


def test_rows_of_counted_tokens_are_padded():
    inputs = BatchSpec(True, 2, 4, rows=6).graph_inputs({"input_ids": IDS, "labels": LABELS})
    assert inputs["rows"].tolist() == [0, 1, 2, 5, 0, 0]
    assert inputs["targets"].tolist() == [5, 6, 7, 1, IGNORE_INDEX, IGNORE_INDEX]


def test_rows_and_subset_together():
    spec = BatchSpec(True, 2, 4, rows=4, subset_size=5)
    subset = torch.tensor([7, 1, 6, 0, 5])
    inputs = spec.graph_inputs({"input_ids": IDS, "labels": LABELS}, subset)
    assert inputs["targets"].tolist() == [4, 2, 0, 1]


def test_other_batches_pass_as_they_are():
    batch = {"x": torch.zeros(2)}
    assert BatchSpec(False).graph_inputs(batch) == batch


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"input_ids": IDS}, "takes labels of shape .2, 4., it is missing"),
        ({"input_ids": IDS[:1], "labels": LABELS}, "takes input_ids of shape .2, 4., it is .1, 4."),
    ],
)
def test_batches_of_another_shape(batch, message):
    with pytest.raises(DataError, match=message):
        BatchSpec(True, 2, 4).graph_inputs(batch)
