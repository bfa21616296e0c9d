from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lowpeak_artifact.batch_input import BatchInput, Ids
from lowpeak_artifact.errors import DataError


def taken(tensor: Tensor, dtype: str = "int64", ids: Ids | None = None) -> Tensor:
    return BatchInput("x", list(tensor.shape), dtype, ids).taken(tensor)


def test_what_fits_is_the_same_tensor() -> None:
    x = torch.tensor([[0, 6, -100]])
    assert taken(x, ids=Ids(7, -100)) is x


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8, torch.bool])
def test_other_integers_become_those_of_the_graph(dtype: torch.dtype) -> None:
    found = taken(torch.tensor([1, 0], dtype=dtype))
    assert found.dtype == torch.int64 and found.tolist() == [1, 0]


def test_numbers_that_the_graph_can_hold() -> None:
    assert taken(torch.tensor([1, 2]), "float32").tolist() == [1.0, 2.0]
    assert taken(torch.tensor([0.5], dtype=torch.float64), "float32").dtype == torch.float32
    assert taken(torch.tensor([float("-inf")]), "float32").tolist() == [float("-inf")]


@pytest.mark.parametrize(
    ("tensor", "dtype", "message"),
    [
        (torch.tensor([1.0]), "int64", "x must be int64, it is float32"),
        (torch.tensor([2**40]), "int32", "x must be int32, it is int64"),
        (torch.tensor([0.1], dtype=torch.float64), "float32", "x must be float32, it is float64"),
        (torch.tensor([[0.0, float("nan")]]), "float32", r"x\[0, 1\] is NaN"),
    ],
)
def test_numbers_that_it_cannot(tensor: Tensor, dtype: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        taken(tensor, dtype)


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        (7, Ids(7)),
        (-1, Ids(7)),
        (-1, Ids(7, -100)),
        (-100, Ids(7)),
        (-99, Ids(7, -100)),
        (-8, Ids(7, None, -7)),
    ],
)
def test_ids_without_a_row(value: int, ids: Ids) -> None:
    with pytest.raises(DataError) as problem:
        taken(torch.tensor([[0, 1], [2, value]]), ids=ids)
    assert f"x[1, 1] is {value} (example 1, token 1), but there are 7 rows" in str(problem.value)
    assert problem.value.numbers == {"id": value, "rows": 7, "example": 1, "token": 1}


def test_python_indexing_counts_from_the_end() -> None:
    assert taken(torch.tensor([-7, 6]), ids=Ids(7, least=-7)).tolist() == [-7, 6]
