"""The file of a run's batches: what is packed is read, whatever bucket each is of."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from runtime_py.batch_file import batch_file, packed


def inputs(number: int, tokens: int) -> dict[str, Tensor]:
    return {"input_ids": torch.full((1, tokens), number), "targets": torch.full((1, tokens), -number)}


def test_what_is_packed_is_read(tmp_path: Path) -> None:
    made = [(bucket, inputs(number, 4 << bucket)) for number, bucket in enumerate((1, 0, 1, 3))]
    tensors = packed(made)
    assert tensors["buckets"].tolist() == [1, 0, 1, 3]
    assert {name: list(tensor.shape) for name, tensor in tensors.items() if "ids" in name} == {
        "0.input_ids": [1, 1, 4],
        "1.input_ids": [2, 1, 8],
        "3.input_ids": [1, 1, 32],
    }
    save_file(tensors, tmp_path / "batches.safetensors")
    with batch_file(tmp_path / "batches.safetensors") as batches:
        for index, (bucket, expected) in enumerate(made):
            found, read = batches.at(index)
            assert found == bucket and read.keys() == expected.keys()
            assert all(torch.equal(read[name], tensor) for name, tensor in expected.items())
