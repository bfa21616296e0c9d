"""Which files of a model's folder are read: its own, whole ones.

A folder from elsewhere can hold links. What they lead to is somebody's file that would be read, and of
tokenizer files copied into the artifact.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from lowpeak_artifact.errors import ModelError
from lowpeak_artifact.json_file import read_object, shown

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
MOST_INDEX_BYTES = 32_000_000
_TEMPLATES = "additional_chat_templates"
_READ = {".json", ".safetensors", ".model", ".txt", ".jinja", ".tiktoken", ".bpe", ".vocab", ".py"}
"""Ends of the names that lowpeak, transformers or PEFT open in a folder."""


def require_own_files(folder: Path) -> None:
    """Raises ModelError for a file that could be read but lies elsewhere, or is no file at all.

    The hub's cache is made of links into `blobs` beside its snapshots; those are its own.
    """
    home = folder.resolve()
    blobs = home.parent.parent / "blobs" if home.parent.name == "snapshots" else None
    for path in _readable(folder):
        try:
            kind, place = path.stat().st_mode, path.resolve()
        except (OSError, RuntimeError) as error:
            raise ModelError(f"{path} cannot be read ({error}): finish the download or copy") from error
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise ModelError(f"{path} is no regular file: take it out of the folder")
        if not place.is_relative_to(home) and place.parent != blobs:
            raise ModelError(
                f"{path} is a link out of its folder, to {place}: put the file itself there, or "
                "take the link away"
            )


def _readable(folder: Path) -> Iterator[Path]:
    for place in (folder, folder / _TEMPLATES):
        try:
            entries = sorted(place.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ModelError(f"{place} cannot be read: {error}") from error
        yield from (each for each in entries if each.suffix in _READ or each.name == _TEMPLATES)


def checkpoint_files(folder: Path) -> dict[str, frozenset[str] | None]:
    """The safetensors files in the folder, each with the tensors that its index says are in it; None without
    an index.

    Raises ModelError when there is none, when a shard is missing, or when a name leads out of the folder.
    """
    index = folder / INDEX
    if not index.exists():
        if (folder / SINGLE).exists():
            return {SINGLE: None}
        raise ModelError(_without_safetensors(folder))
    entries = read_object(index, MOST_INDEX_BYTES).get("weight_map")
    if not isinstance(entries, dict) or not entries:
        raise ModelError(f"{index} is not a safetensors index: it has no weight_map")
    named: dict[str, set[str]] = {}
    for tensor, file in entries.items():
        named.setdefault(_shard(file, tensor, index), set()).add(tensor)
    files = sorted(named)
    missing = [file for file in files if not (folder / file).exists()]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ModelError(
            f"{folder} lacks {len(missing)} of {len(files)} shards ({', '.join(missing[:5])}{more}): "
            "finish the download or copy",
            missing=len(missing),
            shards=len(files),
        )
    return {file: frozenset(named[file]) for file in files}


def _shard(file: object, tensor: str, index: Path) -> str:
    plain = isinstance(file, str) and file.endswith(".safetensors") and file.isprintable()
    if not plain or "/" in str(file) or "\\" in str(file):
        raise ModelError(
            f"{index} says that {shown(tensor)} is in {shown(file)}: a shard is a .safetensors file in the "
            "folder itself"
        )
    return str(file)


def _without_safetensors(folder: Path) -> str:
    if (folder / "pytorch_model.bin").exists() or (folder / "pytorch_model.bin.index.json").exists():
        return (
            f"{folder} has its weights as pytorch_model.bin only, a pickle that can run code. Convert it: "
            f"AutoModelForCausalLM.from_pretrained({str(folder)!r}).save_pretrained('converted')"
        )
    return f"{folder} has a config.json but no {SINGLE} and no {INDEX}"
