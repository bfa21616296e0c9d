"""Tiny checkpoints that the targets begin with, made once a process."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

import gguf

from lowpeak_compiler.frontend.model.source import open_model
from tests.lowpeak.checkpoint import save_checkpoint
from tests.model.tiny import tiny_model, write_gguf

Q4_0 = gguf.GGMLQuantizationType.Q4_0


@functools.cache
def work() -> Path:
    """A folder that is this process's own; the system removes it with its other temporary files."""
    return Path(tempfile.mkdtemp(prefix="lowpeak-fuzz-"))


@functools.cache
def checkpoint() -> Path:
    """A llama of one layer with a tokenizer, in one file."""
    return save_checkpoint(work() / "checkpoint")


@functools.cache
def sharded() -> Path:
    """A llama of two layers in several shards."""
    folder = work() / "sharded"
    tiny_model().save_pretrained(folder, max_shard_size="100KB")
    return folder


@functools.cache
def gguf_file() -> bytes:
    """A llama with a matrix in Q4_0."""
    path = work() / "seed.gguf"
    write_gguf(path, tiny_model(num_hidden_layers=1, tie_word_embeddings=True), {"attn_v.weight": Q4_0})
    return path.read_bytes()


def copy_of(folder: Path, name: str) -> Path:
    """Its files in an empty folder of that name in `work`."""
    target = work() / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    return target


def read_model(path: Path) -> None:
    """All that compiling reads of it: config, modules, every tensor, the tokenizer's problem."""
    opened = open_model(path)
    for name in opened.weights.names():
        opened.weights.dense(name)
