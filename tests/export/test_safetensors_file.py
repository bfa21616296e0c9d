"""Safetensors files that are written tensor by tensor are those of the library's reader."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from lowpeak_artifact.safetensors_file import write_in_order, write_safetensors

TENSORS = {
    "codes": torch.arange(5, dtype=torch.uint8),
    "scales": torch.arange(3.0),
    "ids": torch.arange(2),
    "nothing": torch.zeros(0, 4),
}
DECLARED = [(name, tuple(tensor.shape), tensor.dtype) for name, tensor in TENSORS.items()]


def test_both_ways_of_writing_make_the_same_file(tmp_path: Path) -> None:
    """The one loads tensors as they lie, largest elements first, the other as they were declared."""
    asked: dict[str, list[str]] = {"laid out": [], "declared": []}
    entries = []
    for name, write in (("laid out", write_safetensors), ("declared", write_in_order)):
        with (tmp_path / name).open("wb") as file:

            def load(tensor: str, name: str = name) -> torch.Tensor:
                asked[name].append(tensor)
                return TENSORS[tensor]

            entries.append(write(file, DECLARED, load))
    assert asked == {"laid out": ["ids", "scales", "nothing", "codes"], "declared": list(TENSORS)}
    assert entries[0] == entries[1]
    assert (tmp_path / "laid out").read_bytes() == (tmp_path / "declared").read_bytes()
    read = load_file(tmp_path / "declared")
    assert read.keys() == TENSORS.keys() and all(torch.equal(read[name], TENSORS[name]) for name in read)
    data = (tmp_path / "declared").read_bytes()
    for entry in entries[0]:
        assert entry.offset % entry.dtype.itemsize == 0
        place = slice(entry.offset, entry.offset + entry.nbytes)
        assert data[place] == TENSORS[entry.name].numpy().tobytes()
