"""A file that is cut while it is read gives an error with its name, never a signal."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SAID = {
    "compile_folder": r"ModelError: \S+ of DIR/model/model.safetensors cannot be read .* was cut short",
    "compile_gguf": r"ModelError: \S+ of DIR/m.gguf cannot be read: it ends at byte \d+ instead of \d+",
    "tokenizer_of_gguf": "none: True",
    "simulate_weights": r"ArtifactError: weights\S+ of the artifact DIR/artifact is truncated: \d+ bytes",
    "simulate_model": "none: transformers' loading of whole",
    "simulate_cut_model": "ModelError: transformers cannot load DIR/whole: SafetensorError",
    "export_adapter": r"ArtifactError: DIR/adapter holds no PEFT adapter .*adapter_model.safetensors",
    "read_batches": r"DataError: DIR/0-2.safetensors cannot be read: it ends at byte \d+",
    "read_checkpoint": "ArtifactError: DIR/checkpoint.safetensors cannot be read as a checkpoint",
}
"""By the case; DIR is its folder."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cut")


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, str]:
    command = [sys.executable, "-m", "tests.lowpeak.cut_files", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = [line for line in ended.stdout.splitlines() if ": " in line]
    assert ended.returncode == 0, f"{ended.returncode} after {lines[-1:]}: {ended.stderr[-2000:]}"
    return dict(line.split(": ", 1) for line in lines)


@pytest.mark.parametrize("case", SAID)
def test_a_file_is_cut_while_it_is_read(case: str, said: dict[str, str], folder: Path) -> None:
    assert re.match(SAID[case].replace("DIR", re.escape(str(folder / case))), said[case]), said[case]
