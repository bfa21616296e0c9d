from __future__ import annotations

import pytest
import torch

from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.subset import choose_subset


def test_labels_come_first_then_their_nearest_by_cosine():
    embedding = torch.tensor([[1.0, 0.0], [0.0, 1.0], [10.0, 0.1], [-1.0, 0.0], [0.1, 5.0]])
    assert choose_subset(torch.tensor([0, -100, 0]), embedding, 1).tolist() == [0]
    assert choose_subset(torch.tensor([0]), embedding, 2).tolist() == [0, 2]
    assert choose_subset(torch.tensor([[0], [1]]), embedding, 4).tolist() == [0, 1, 2, 4]


def test_more_labels_than_room():
    with pytest.raises(DataError, match="3 distinct labels") as refused:
        choose_subset(torch.tensor([0, 1, 2]), torch.eye(4), 2)
    assert refused.value.numbers == {"distinct_labels": 3, "subset_size": 2}
