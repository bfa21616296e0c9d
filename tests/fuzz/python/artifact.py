"""Targets: the files of an artifact, one by one, and a whole artifact whose hashes are made right again."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from lowpeak_artifact.artifact import MANIFEST, Artifact
from lowpeak_artifact.graph_file import from_json
from lowpeak_artifact.layout import ADAPTER, GRAPH, PLAN
from lowpeak_artifact.manifest import Manifest
from lowpeak_artifact.plain_file import is_plain_name
from lowpeak_compiler.plan.place.problem import read_csv
from lowpeak_runtime.data.chat.compiled import write_chat_file
from lowpeak_runtime.data.prepare import training_data
from lowpeak_runtime.simulate.execute import execute
from lowpeak_runtime.simulate.graph_check import check_operations
from lowpeak_runtime.simulate.rebuilt_model import rebuilt
from lowpeak_runtime.simulate.simulate import simulate
from tests.fuzz.python.mutations import bytes_changed, csv_changed, json_changed
from tests.fuzz.python.target import Target
from tests.tiny import planned_step, tiny_llama, write_artifact

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
DATA = (
    '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}\n'
    '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
)
LENGTH = struct.Struct("<I")
NAME_BYTES = 255


@functools.cache
def small_artifact() -> Path:
    """One layer, a tokenizer of single characters and a chat template."""
    folder = Path(tempfile.mkdtemp(prefix="lowpeak-fuzz-artifact-")) / "artifact"
    write_artifact(folder, planned_step(tiny_llama(num_hidden_layers=1), seq_len=40))
    characters = {chr(code): index for index, code in enumerate(range(32, 127))}
    backend = Tokenizer(models.BPE(vocab={**characters, "<pad>": 95}, merges=[], unk_token="<pad>"))
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<pad>")
    fast.chat_template = TEMPLATE
    before = set(folder.iterdir())
    tokenizer = folder / "tokenizer"
    fast.save_pretrained(tokenizer)
    write_chat_file(tokenizer)
    for file in tokenizer.iterdir():
        file.rename(folder / file.name)
    tokenizer.rmdir()
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert len(files) > len(before)
    (folder / MANIFEST).write_bytes(_with_hashes(files)[MANIFEST])
    return folder


def packed(files: dict[str, bytes]) -> bytes:
    parts = []
    for name, data in files.items():
        encoded = name.encode(errors="surrogatepass")
        parts += [LENGTH.pack(len(encoded)), encoded, LENGTH.pack(len(data)), data]
    return b"".join(parts)


def unpacked(data: bytes) -> dict[str, bytes]:
    """What no `packed` made ends at the fault."""
    files, place = {}, 0
    while place + LENGTH.size <= len(data):
        parts = []
        for _ in range(2):
            (size,) = LENGTH.unpack(data[place : place + LENGTH.size].ljust(4, b"\0"))
            parts.append(data[place + LENGTH.size : place + LENGTH.size + size])
            place += LENGTH.size + size
        files[parts[0].decode(errors="replace")] = parts[1]
    return files


def _with_hashes(files: dict[str, bytes]) -> dict[str, bytes]:
    """The manifest lists the files as they are."""
    try:
        manifest = json.loads(files[MANIFEST])
        listed = manifest["files"]
        for name, data in files.items():
            if name != MANIFEST and (name not in listed or isinstance(listed[name], dict)):
                listed[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        return {**files, MANIFEST: json.dumps(manifest).encode()}
    except (ValueError, KeyError, TypeError, RecursionError):
        return files


def _artifact_changed(data: bytes, random: Random) -> bytes:
    files = unpacked(data)
    if not files:
        return data
    for _ in range(random.choice((1, 1, 1, 2))):
        name = random.choice([MANIFEST, GRAPH, *files])
        if name not in files:
            continue
        change = json_changed if name.endswith(".json") else csv_changed if name == PLAN else bytes_changed
        files[name] = change(files[name], random)
    return packed(_with_hashes(files))


def _run_artifact(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="lowpeak-fuzz-") as temporary:
        folder = Path(temporary) / "artifact"
        folder.mkdir()
        for name, content in unpacked(data).items():
            if is_plain_name(name) and len(name.encode()) <= NAME_BYTES:
                (folder / name).write_bytes(content)
        lines = Path(temporary) / "data.jsonl"
        lines.write_text(DATA)
        artifact = Artifact.open(folder)
        read_csv(folder / PLAN)
        faults = []
        for read in (artifact.adapter_frozen, artifact.sample, lambda: _first_batches(artifact, lines)):
            try:
                read()
            except Exception as error:
                faults.append(error)
        simulate(artifact)
        for fault in faults:
            raise fault


def _first_batches(artifact: Artifact, lines: Path) -> None:
    stream = training_data(artifact, lines).batches(seed=0)
    for _ in range(2):
        next(stream)


def _alone(name: str, run: Callable[[bytes], object], mutate: Callable[[bytes, Random], bytes]) -> Target:
    return Target([(small_artifact() / name).read_bytes()], run, mutate)


def _whole() -> Target:
    files = {file.name: file.read_bytes() for file in sorted(small_artifact().iterdir())}
    return Target([packed(files)], _run_artifact, _artifact_changed)


def _manifest(data: bytes) -> None:
    manifest = Manifest.from_json(data)
    if manifest.model_config is not None:
        rebuilt(manifest)


def _graph(data: bytes) -> None:
    graph = from_json(data)
    check_operations(graph)
    known = {each.name: each.tensor for each in graph.inputs}

    def tensor(name: str) -> torch.Tensor:
        return torch.zeros(known[name].shape, dtype=known[name].dtype)

    of = {kind: {e.name: tensor(e.name) for e in graph.inputs if e.kind == kind} for kind in _KINDS}
    execute(graph, of["batch"], of["adapter"], tensor, of["constant"])


_KINDS = ("batch", "adapter", "constant")


def _plan(data: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(data)
        file.flush()
        read_csv(Path(file.name))


def _tensors() -> Target:
    """adapter.safetensors, the others of that form have the same reader."""
    home = Path(tempfile.mkdtemp(prefix="lowpeak-fuzz-tensors-")) / "artifact"
    shutil.copytree(small_artifact(), home)
    files = {file.name: file.read_bytes() for file in home.iterdir()}

    def run(data: bytes) -> None:
        (home / ADAPTER).write_bytes(data)
        (home / MANIFEST).write_bytes(_with_hashes({**files, ADAPTER: data})[MANIFEST])
        Artifact.open(home).adapter()

    others = {"x": torch.zeros(0, 3), "y": torch.ones(2, dtype=torch.bfloat16)}
    return Target([files[ADAPTER], save(others)], run, _tensors_changed)


def _tensors_changed(data: bytes, random: Random) -> bytes:
    """The header as JSON, with its length made right again; or any byte."""
    (size,) = struct.unpack("<Q", data[:8].ljust(8, b"\0"))
    if size > len(data) or random.random() < 0.3:
        return bytes_changed(data, random)
    header = json_changed(data[8 : 8 + size], random)
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


TARGETS: dict[str, Callable[[], Target]] = {
    "manifest": lambda: _alone(MANIFEST, _manifest, json_changed),
    "graph": lambda: _alone(GRAPH, _graph, json_changed),
    "plan": lambda: _alone(PLAN, _plan, csv_changed),
    "tensors": _tensors,
    "artifact": _whole,
}
