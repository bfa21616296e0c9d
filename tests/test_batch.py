from __future__ import annotations

import pytest
import torch

from lowpeak_artifact.batch import IGNORE_INDEX, BatchSpec
from lowpeak_artifact.batch_input import BatchInput, Ids
from lowpeak_artifact.errors import DataError

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


INPUTS = [
    BatchInput("input_ids", [2, 4], "int64", Ids(10)),
    BatchInput("targets", [2, 4], "int64", Ids(8, -100)),
]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("input_ids", 10, r"input_ids\[1, 2\] is 10 \(example 1, token 2\), but there are 10 rows.*0 to 9$"),
        ("input_ids", -100, r"input_ids\[1, 2\] is -100 "),
        ("labels", 8, r"labels\[1, 2\] is 8 .*there are 8 rows .*from 0 to 7, or -100 for no label"),
        ("labels", -1, r"labels\[1, 2\] is -1 "),
    ],
)
def test_ids_are_below_the_rows_of_embedding_and_head(name: str, value: int, message: str) -> None:
    spec = BatchSpec(True, 2, 4)
    batch = {"input_ids": IDS.clone(), "labels": LABELS.clone()}
    spec.graph_inputs(batch, inputs=INPUTS)
    batch[name][1, 2] = value
    with pytest.raises(DataError, match=message) as problem:
        spec.graph_inputs(batch, inputs=INPUTS)
    assert problem.value.numbers == {
        "id": value,
        "rows": 10 if name == "input_ids" else 8,
        "example": 1,
        "token": 2,
    }


def test_labels_of_a_subset_are_below_the_rows_of_the_head() -> None:
    spec = BatchSpec(True, 2, 4, subset_size=5)
    subset = BatchInput("token_subset", [5], "int64", Ids(8))
    inputs = [INPUTS[0], BatchInput("targets", [2, 4], "int64", Ids(5, -100)), subset]
    batch = {"input_ids": IDS, "labels": LABELS, "token_subset": [7, 1, 6, 0, 5]}
    assert spec.graph_inputs(batch, inputs=inputs)["targets"][0].tolist() == [4, 2, 0, -100]
    with pytest.raises(DataError, match=r"token_subset\[1\] is 9, but there are 8 rows"):
        spec.graph_inputs({**batch, "token_subset": [7, 9, 6, 1, 5]}, inputs=inputs)
    with pytest.raises(DataError, match="a token twice"):
        spec.graph_inputs({**batch, "token_subset": [7, 1, 6, 5, 5]}, inputs=inputs)
    with pytest.raises(DataError, match=r"labels\[0, 3\] is 8"):
        spec.graph_inputs({**batch, "labels": torch.tensor([[-100, 5, 6, 8]] * 2)}, inputs=inputs)


def test_a_batch_without_a_label_has_no_loss() -> None:
    """A label of the first token is predicted by none."""
    spec = BatchSpec(True, 2, 4)
    none = torch.full_like(LABELS, -100)
    none[:, 0] = 3
    assert not spec.has_loss({"labels": none}) and spec.has_loss({"labels": LABELS})
    with pytest.raises(DataError, match="no label after the first token"):
        spec.graph_inputs({"input_ids": IDS, "labels": none})
    with pytest.raises(DataError, match="no label"):
        spec.weight_of({"targets": none[:, 1:]})


def test_a_batch_counts_by_its_labels() -> None:
    batch = {"input_ids": IDS, "labels": LABELS}
    for spec in (BatchSpec(True, 2, 4), BatchSpec(True, 2, 4, rows=6), BatchSpec(True, 2, 4, None, 4)):
        subset = torch.tensor([1, 5, 6, 7]) if spec.subset_size else None
        assert spec.weight_of(spec.graph_inputs(batch, subset)) == 4
    assert BatchSpec(False).weight_of({"targets": LABELS}) == 1


def test_a_module_is_given_what_it_takes() -> None:
    inputs = [BatchInput("x", [2], "float32", None), BatchInput("y", [2], "int64", Ids(3))]
    spec = BatchSpec(False)
    found = spec.graph_inputs({"y": [0, 2], "x": [0.5, 1]}, inputs=inputs)
    assert list(found) == ["x", "y"] and found["x"].tolist() == [0.5, 1.0]
    for wrong, message in (
        ({"x": [0.5, 1]}, "takes y of shape .2,., it is missing"),
        ({"x": [0.5, 1], "y": [0, 2], "z": [1]}, "has z, which the artifact does not take: it takes x, y"),
        ({"x": [0.5], "y": [0, 2]}, "takes x of shape .2,., it is .1,."),
        ({"x": [0.5, 1], "y": [0, 3]}, r"y\[1\] is 3, but there are 3 rows"),
    ):
        with pytest.raises(DataError, match=message):
            spec.graph_inputs(wrong, inputs=inputs)
