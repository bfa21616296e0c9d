"""A process whose files are cut to a part of them, each right after it was opened or its header read.

    python -m tests.lowpeak.cut_files FOLDER

prints a line a case: its name, and what the reader said. tests/lowpeak/test_cut_files.py judges them.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import gguf
import torch
import transformers.modeling_utils
from safetensors import torch as safetensors_torch

import lowpeak
import lowpeak_compiler.frontend.model.weights
import lowpeak_runtime.train.checkpoint_tensors
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import LowpeakError
from lowpeak_compiler.frontend.model.gguf_file import GgufFile
from lowpeak_compiler.frontend.model.source import open_model
from lowpeak_runtime.data.batch_file import BatchFolder, PreparedBatch, write_batch_file
from lowpeak_runtime.train.checkpoint_format import Progress
from lowpeak_runtime.train.checkpoint_tensors import load_adapter, save_checkpoint
from lowpeak_runtime.train.stop import StopRequest
from tests.export.gguf.adapters import adapted
from tests.model.tiny import tiny_model, write_gguf

TOKENS = 16
BYTES = 1 << 20
"""Of a tensor that is cut: far more than a page."""

Case = Callable[[Path], object]


def cut(path: Path, share: float = 1 / 32) -> None:
    os.truncate(path, int(share * path.stat().st_size))


def cut_after(
    owner: ModuleType | type, name: str, path: Path, share: float = 1 / 32
) -> AbstractContextManager[object]:
    """While it is entered, the file is cut whenever `owner.name` has returned."""
    real = getattr(owner, name)

    def called(*args: object, **options: object) -> object:
        result = real(*args, **options)
        cut(path, share)
        return result

    return patch.object(owner, name, called)


def cut_before(owner: ModuleType | type, name: str, path: Path) -> AbstractContextManager[object]:
    real = getattr(owner, name)

    def called(*args: object, **options: object) -> object:
        cut(path)
        return real(*args, **options)

    return patch.object(owner, name, called)


def compiled(model: Path, out: Path) -> Artifact:
    return lowpeak.compile_for_device(model, 100, seq_len=TOKENS, target="simulator", out=out)


def compile_folder(folder: Path) -> object:
    tiny_model().save_pretrained(folder / "model")
    with cut_after(
        lowpeak_compiler.frontend.model.weights, "open_safetensors", folder / "model" / "model.safetensors"
    ):
        return compiled(folder / "model", folder / "artifact")


def compile_gguf(folder: Path) -> object:
    write_gguf(folder / "m.gguf", tiny_model(), {})
    with cut_before(GgufFile, "blocks", folder / "m.gguf"):
        return compiled(folder / "m.gguf", folder / "artifact")


def tokenizer_of_gguf(folder: Path) -> object:
    """transformers' own reading: it has a copy."""
    words = ["a", "b", "ab", *(f"w{index}" for index in range(93))]
    write_gguf(folder / "m.gguf", tiny_model(), {}, vocabulary=words)
    whole = open_model(folder / "m.gguf").load_tokenizer()("abba").input_ids
    source = open_model(folder / "m.gguf")
    with cut_after(gguf.GGUFReader, "__init__", folder / "m.gguf", 0):
        return source.load_tokenizer()("abba").input_ids == whole


def simulate_weights(folder: Path) -> object:
    artifact = compiled(folder.with_name("whole"), folder / "artifact")
    with cut_after(Artifact, "tensor", artifact.weights):
        return lowpeak.simulate(artifact)


def simulate_model(folder: Path) -> object:
    """transformers' own reading: it has read the file before it uses a tensor."""
    model = shutil.copytree(folder.with_name("whole"), folder / "whole")
    artifact = compiled(model, folder / "artifact")
    name = "convert_and_load_state_dict_in_model"
    with cut_before(transformers.modeling_utils, name, model / "model.safetensors"):
        report = lowpeak.simulate(artifact)
    return report.reference


def simulate_cut_model(folder: Path) -> object:
    model = shutil.copytree(folder.with_name("whole"), folder / "whole")
    artifact = compiled(model, folder / "artifact")
    cut(model / "model.safetensors")
    return lowpeak.simulate(artifact, reference=model)


def export_adapter(folder: Path) -> object:
    adapted(tiny_model(), folder / "adapter")
    with cut_after(safetensors_torch, "safe_open", folder / "adapter" / "adapter_model.safetensors"):
        return lowpeak.export_gguf(folder / "adapter", base=folder.with_name("whole"))


def read_batches(folder: Path) -> object:
    inputs = {"x": torch.zeros(BYTES, dtype=torch.uint8)}
    path = write_batch_file(folder, 0, [PreparedBatch(0, inputs, end) for end in (1, 2)])
    batches, stop = BatchFolder(folder), StopRequest()
    batches.at(0, stop)
    cut(path)
    return batches.at(1, stop)


def read_checkpoint(folder: Path) -> object:
    path = folder / "checkpoint.safetensors"
    progress = Progress(artifact="a", step=1, seed=0, fingerprint="f", options={}, data="d", position=1)
    save_checkpoint(path, progress, {"x": torch.zeros(BYTES)}, {})
    with cut_after(lowpeak_runtime.train.checkpoint_tensors, "safe_open", path):
        return load_adapter(path)


CASES: dict[str, Case] = {
    each.__name__: each
    for each in (
        compile_folder, compile_gguf, tokenizer_of_gguf, simulate_weights, simulate_model, simulate_cut_model,
        export_adapter, read_batches, read_checkpoint,
    )
}  # fmt: skip


def main(folder: Path) -> None:
    tiny_model().save_pretrained(folder / "whole")
    for name, case in CASES.items():
        (folder / name).mkdir()
        try:
            said = f"none: {case(folder / name)}"
        except LowpeakError as error:
            said = f"{type(error).__name__}: {error}"
        print(f"{name}: {said}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
