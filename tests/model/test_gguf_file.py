"""The GGUF container: what is read, and that no damage gets past as anything but ModelError."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest

from lowpeak_artifact.errors import EnvironmentProblem, ModelError
from lowpeak_compiler.frontend.model.gguf import GgufWeights
from lowpeak_compiler.frontend.model.gguf_file import GgufFile, import_gguf
from tests.model.tiny import tiny_model, write_gguf

Q4_0 = gguf.GGMLQuantizationType.Q4_0


def _write(path: Path) -> dict[str, np.ndarray]:
    return write_gguf(path, tiny_model(tie_word_embeddings=True), {"attn_v.weight": Q4_0})


def test_equals_the_gguf_package(tmp_path: Path) -> None:
    stored = _write(tmp_path / "m.gguf")
    file = GgufFile(tmp_path / "m.gguf")
    reader = gguf.GGUFReader(tmp_path / "m.gguf")
    assert set(file.tensors) == {tensor.name for tensor in reader.tensors} == set(stored)
    for tensor in reader.tensors:
        ours = file.tensors[tensor.name]
        assert (ours.type, ours.offset, ours.nbytes) == (
            tensor.tensor_type,
            tensor.data_offset,
            tensor.n_bytes,
        )
        assert ours.shape == tuple(reversed(tensor.shape.tolist()))
        assert file.blocks(tensor.name).tobytes() == stored[tensor.name].tobytes()
    assert file.metadata["general.architecture"] == "llama"
    assert file.metadata["llama.embedding_length"] == 64
    assert file.metadata["llama.rope.freq_base"] == 10000.0
    assert "tokenizer.ggml.tokens" not in file.metadata


def test_cut_short(tmp_path: Path) -> None:
    _write(tmp_path / "m.gguf")
    whole = (tmp_path / "m.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[:-100])
    with pytest.raises(ModelError, match=r"cut short: .* ends at byte \d+ but the file has \d+"):
        GgufFile(cut)
    for length in (0, 3, 8, 30, 100, 300, 1000, 3000):
        cut.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"cut.gguf"):
            GgufFile(cut)


def test_other_files_and_versions(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(ModelError, match="does not start with GGUF"):
        GgufFile(path)
    path.write_bytes(b"GGUF\x00\x00\x00\x03" + bytes(100))
    with pytest.raises(ModelError, match=r"version is 50331648, known are \(2, 3\) in little endian"):
        GgufFile(path)


def test_damaged_header_is_a_model_error_or_harmless(tmp_path: Path) -> None:
    _write(tmp_path / "m.gguf")
    whole = (tmp_path / "m.gguf").read_bytes()
    data_start = min(each.offset for each in GgufFile(tmp_path / "m.gguf").tensors.values())
    damaged = tmp_path / "damaged.gguf"
    choose = random.Random(0)
    refused = 0
    for _ in range(300):
        copy = bytearray(whole)
        copy[choose.randrange(data_start)] ^= 1 << choose.randrange(8)
        damaged.write_bytes(copy)
        try:
            GgufWeights(GgufFile(damaged))
        except ModelError:
            refused += 1
    assert refused > 50


def test_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'lowpeak\[gguf\]'"):
        import_gguf()
