"""Trained adapter tensors -> the two files of a PEFT adapter, and back.

A module parameter's name has the adapter's name in it, which PEFT leaves out of the file:

    ...q_proj.lora_A.default.weight                  ...q_proj.lora_A.weight
    ...embed_tokens.lora_embedding_A.default         ...embed_tokens.lora_embedding_A
    ...q_proj.lora_magnitude_vector.default.weight   ...q_proj.lora_magnitude_vector
    ...lm_head.modules_to_save.default.weight        ...lm_head.weight
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from compiler.errors import ArtifactError
from compiler.intake import ADAPTER

CONFIG_FILE = "adapter_config.json"
TENSORS_FILE = "adapter_model.safetensors"

_MAGNITUDE = "lora_magnitude_vector"
_LORA = re.compile(rf"(\.lora_\w+)\.{ADAPTER}(?=\.|$)")


def save_peft_adapter(
    folder: str | Path, tensors: Mapping[str, Tensor], peft_config: Mapping[str, Any]
) -> None:
    """Write an adapter that `PeftModel.from_pretrained(base_model, folder)` loads.

    `tensors` are named as in `PeftModel.named_parameters()` for the adapter "default", or without its name
    as in `get_peft_model_state_dict`; `peft_config` is what `LoraConfig.to_dict()` gives. Everything is
    written to a temporary folder beside `folder` and renamed; an earlier adapter there is replaced, and kept
    on failure.
    Raises ArtifactError when there is nothing to save, `folder` holds anything else, or the disk refuses.
    """
    folder = Path(folder)
    if not tensors:
        raise ArtifactError("there is no adapter tensor to save")
    if peft_config.get("peft_type") != "LORA":
        raise ArtifactError(f"peft_config is of type {peft_config.get('peft_type')}, not LORA")
    named = {_file_name(name): tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if len(named) < len(tensors):
        raise ArtifactError(f"{len(tensors)} tensors have only {len(named)} names without the adapter's name")
    config = {key: _to_json(value) for key, value in peft_config.items()} | {"inference_mode": True}
    _require_replaceable(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            fresh = Path(temporary) / "new"
            fresh.mkdir()
            save_file(named, fresh / TENSORS_FILE, metadata={"format": "pt"})
            (fresh / CONFIG_FILE).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
            _replace(folder, fresh)
    except (OSError, SafetensorError) as error:
        size = sum(tensor.nbytes for tensor in named.values())
        raise ArtifactError(f"the adapter of {size} bytes cannot be written to {folder}: {error}") from error


def load_peft_adapter(folder: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors of a PEFT adapter, the tensors named as in `PeftModel.named_parameters()`.

    Raises ArtifactError when a file is missing or damaged, or the adapter is not a LoRA adapter.
    """
    folder = Path(folder)
    for name in (CONFIG_FILE, TENSORS_FILE):
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder} is not a PEFT adapter: it has no {name}")
    try:
        config = json.loads((folder / CONFIG_FILE).read_bytes())
    except (ValueError, OSError) as error:
        raise ArtifactError(f"{folder / CONFIG_FILE} cannot be read: {error}") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise ArtifactError(f"{folder / CONFIG_FILE} is not the config of a LoRA adapter")
    try:
        tensors = load_file(folder / TENSORS_FILE)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{folder / TENSORS_FILE} cannot be read: {error}") from error
    saved_modules = config.get("modules_to_save") or []
    return config, {_parameter_name(name, saved_modules): tensor for name, tensor in tensors.items()}


def _file_name(name: str) -> str:
    if name.endswith(f".{_MAGNITUDE}.{ADAPTER}.weight"):
        return name.removesuffix(f".{ADAPTER}.weight")
    return _LORA.sub(r"\1", name).replace(f".modules_to_save.{ADAPTER}.", ".")


def _parameter_name(name: str, saved_modules: Iterable[str]) -> str:
    parts = name.split(".")
    for index, part in enumerate(parts):
        if part == _MAGNITUDE:
            return f"{name}.{ADAPTER}.weight"
        if part.startswith("lora_"):
            return ".".join([*parts[: index + 1], ADAPTER, *parts[index + 1 :]])
    for index in range(1, len(parts)):
        # PEFT, too, looks at the end of a module's path only: "norm" is "input_layernorm" as well.
        if ".".join(parts[:index]).endswith(tuple(saved_modules)):
            return ".".join([*parts[:index], "modules_to_save", ADAPTER, *parts[index:]])
    raise ArtifactError(f"{name} is neither a LoRA tensor nor of a module in modules_to_save")


def _to_json(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return sorted(value) if isinstance(value, set) else value


def _require_replaceable(folder: Path) -> None:
    if folder.is_dir():
        foreign = {entry.name for entry in folder.iterdir()} - {CONFIG_FILE, TENSORS_FILE}
        if foreign:
            raise ArtifactError(f"{folder} also holds {min(foreign)}: give a new folder for the adapter")
    elif os.path.lexists(folder):
        raise ArtifactError(f"{folder} is not a folder: give a new one for the adapter")


def _replace(folder: Path, fresh: Path) -> None:
    """Move `fresh` to `folder`; what was there is moved aside first, and back if that fails."""
    if not folder.exists():
        fresh.rename(folder)
        return
    # Not in the temporary folder: should the process die between two renames, the earlier adapter remains.
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.previous.", dir=folder.parent)) / folder.name
    try:
        folder.rename(aside)
        try:
            fresh.rename(folder)
        except OSError:
            aside.rename(folder)
            raise
    finally:
        if folder.exists():
            shutil.rmtree(aside.parent)
