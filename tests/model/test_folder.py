"""Files of a model's folder: its own, and as the index says."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.model.folder import INDEX
from lowpeak_compiler.frontend.model.source import open_model
from lowpeak_compiler.frontend.model.weights import SafetensorsWeights
from tests.model.tiny import tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model().save_pretrained(tmp_path / "m", max_shard_size="100KB")
    return tmp_path / "m"


def indexed(folder: Path) -> dict[str, Any]:
    return json.loads((folder / INDEX).read_text())["weight_map"]


def write_index(folder: Path, entries: object) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": entries}))


@pytest.mark.parametrize(
    "shard", ["../other.safetensors", "/etc/other.safetensors", "a/b.safetensors", "x.bin", 3, None, ["a"]]
)
def test_a_shard_that_is_no_file_of_the_folder(folder: Path, shard: object) -> None:
    write_index(folder, indexed(folder) | {"lm_head.weight": shard})
    with pytest.raises(ModelError, match=r"'lm_head.weight' is in .*: a shard is a .safetensors file in the"):
        SafetensorsWeights(folder)


def test_an_index_of_another_model(folder: Path) -> None:
    entries = indexed(folder)
    one, other = sorted(set(entries.values()))[:2]
    name = next(name for name, file in entries.items() if file == one)
    for changed, message in (
        ({key: file for key, file in entries.items() if key != name}, f"{one} .* has 1 .*first {name}"),
        (entries | {"no.such": one}, f"{one} of .* lacks 1 of its tensors by the index .first no.such"),
        (entries | {name: other}, "shards and model.safetensors.index.json are of two models"),
        ({}, "not a safetensors index"),
        ([], "not a safetensors index"),
    ):
        write_index(folder, changed)
        with pytest.raises(ModelError, match=message):
            SafetensorsWeights(folder)


def test_a_tensor_in_two_shards(folder: Path) -> None:
    first, second = sorted(folder.glob("model-*"))[:2]
    tensors = load_file(first)
    name = next(iter(tensors))
    save_file(load_file(second) | {name: tensors[name]}, second)
    with pytest.raises(ModelError, match=f"{name} is in {first.name} and in {second.name}"):
        SafetensorsWeights(folder)


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer.json", "model-extra.safetensors"])
def test_links_out_of_the_folder(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "private").write_text("a secret")
    (folder / name).symlink_to(tmp_path / "private")
    with pytest.raises(ModelError, match=rf"{name} is a link out of its folder, to .*/private"):
        open_model(folder)


def test_links_within_the_folder_and_of_the_hubs_cache_are_read(folder: Path, tmp_path: Path) -> None:
    (folder / "merges.txt").symlink_to("config.json")
    open_model(folder)
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "1", tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    shutil.copytree(folder, blobs)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(os.path.join("..", "..", "blobs", file.name))
    open_model(snapshot)
    (tmp_path / "alias").symlink_to(folder)
    open_model(tmp_path / "alias")


def test_what_is_no_file(folder: Path) -> None:
    os.mkfifo(folder / "tokenizer.json")
    with pytest.raises(ModelError, match=r"tokenizer.json is no regular file"):
        open_model(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("nowhere")
    with pytest.raises(ModelError, match=r"tokenizer.json cannot be read .*: finish the download"):
        open_model(folder)


def test_files_that_are_never_read_may_lie_elsewhere(folder: Path, tmp_path: Path) -> None:
    (folder / "data").symlink_to(tmp_path)
    assert torch.isfinite(open_model(folder).weights.dense("lm_head.weight")).all()
