"""The files of a run's batches: what is written is read, whatever bucket and file each is of."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lowpeak_artifact.errors import DataError, EnvironmentProblem
from lowpeak_runtime.data.batch_file import BatchFolder, PreparedBatch, write_batch_file


@dataclass
class NoStop:
    reason: str | None = None


def inputs(number: int, tokens: int) -> dict[str, Tensor]:
    return {"input_ids": torch.full((1, tokens), number), "targets": torch.full((1, tokens), -number)}


MADE = [
    PreparedBatch(bucket, inputs(number, 4 << bucket), 10 * number)
    for number, bucket in enumerate((1, 0, 1, 3))
]


def test_a_file(tmp_path: Path) -> None:
    path = write_batch_file(tmp_path, 5, MADE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["5-9.safetensors"]
    tensors = load_file(path)
    assert tensors["buckets"].tolist() == [1, 0, 1, 3] and tensors["ends"].tolist() == [0, 10, 20, 30]
    assert {name: list(tensor.shape) for name, tensor in tensors.items() if "ids" in name} == {
        "0.input_ids": [1, 1, 4],
        "1.input_ids": [2, 1, 8],
        "3.input_ids": [1, 1, 32],
    }


@pytest.mark.parametrize("cuts", [[0, 4], [0, 1, 2, 3, 4], [0, 3, 4]])
def test_what_is_written_is_read(cuts: list[int], tmp_path: Path) -> None:
    for first, limit in itertools.pairwise(cuts):
        write_batch_file(tmp_path, 7 + first, MADE[first:limit])
    (tmp_path / ".9-12.safetensors.tmp").write_bytes(b"half a file")
    folder, stop = BatchFolder(tmp_path), NoStop()
    for index, expected in enumerate(MADE, start=7):
        actual = folder.at(index, stop)
        assert actual is not None
        bucket, read = actual
        assert bucket == expected.bucket and read.keys() == expected.inputs.keys()
        assert all(torch.equal(read[name], tensor) for name, tensor in expected.inputs.items())
        assert folder.end == expected.end
    with pytest.raises(DataError, match="lack batch 11"):
        folder.at(11, stop)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"bytes of batches cannot be written .*No such file"):
        write_batch_file(tmp_path / "nothing", 0, MADE)
