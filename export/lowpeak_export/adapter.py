"""Trained adapter tensors -> the two files of a PEFT adapter."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.disk import cannot_write
from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.make_folder import make_folder
from lowpeak_artifact.whole_file import sync
from lowpeak_export.bundle import publish, remove_stale, temporary_folder

CONFIG_FILE = "adapter_config.json"
TENSORS_FILE = "adapter_model.safetensors"


def tensors_of_file(artifact: Artifact, trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the adapter's file holds: `trained`, by parameter name, and what stays as it was."""
    names = artifact.manifest.adapter_names
    assert names is not None
    return {**{name: trained[own] for name, own in names.items()}, **artifact.adapter_frozen()}


def save_peft_adapter(
    folder: str | Path, tensors: Mapping[str, Tensor], peft_config: Mapping[str, Any]
) -> None:
    """Write an adapter that `PeftModel.from_pretrained(base_model, folder)` loads.

    `tensors` are named as `get_peft_model_state_dict` does; `peft_config` is what `LoraConfig.to_dict()`
    gives. Everything is written to a temporary folder beside `folder` and renamed; an earlier adapter there
    is replaced, and kept on failure.
    Raises ArtifactError when there is nothing to save or `folder` holds anything else, EnvironmentProblem
    when the disk refuses.
    """
    folder = Path(folder)
    if not tensors:
        raise ArtifactError("there is no adapter tensor to save")
    if peft_config.get("peft_type") != "LORA":
        raise ArtifactError(f"peft_config is of type {peft_config.get('peft_type')}, not LORA")
    # A tied tensor is there under each of its names: the file holds it as often.
    separate = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    config = {key: _to_json(value) for key, value in peft_config.items()} | {"inference_mode": True}
    require_replaceable(folder)
    try:
        make_folder(folder.parent)
        remove_stale(folder)
        fresh, lock = temporary_folder(folder)
        try:
            save_file(separate, fresh / TENSORS_FILE, metadata={"format": "pt"})
            (fresh / CONFIG_FILE).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
            for name in (TENSORS_FILE, CONFIG_FILE):
                sync(fresh / name)
            publish(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            os.close(lock)
    except (OSError, SafetensorError) as error:
        size = sum(tensor.nbytes for tensor in separate.values())
        raise cannot_write(f"the adapter of {size} bytes", folder, error) from error


def _to_json(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return sorted(value) if isinstance(value, set) else value


def require_replaceable(folder: Path) -> None:
    """Raises ArtifactError for a place that holds anything but an adapter; worth asking before training."""
    if folder.is_dir() and not folder.is_symlink():
        foreign = {entry.name for entry in folder.iterdir()} - {CONFIG_FILE, TENSORS_FILE}
        if foreign:
            raise ArtifactError(f"{folder} also holds {min(foreign)}: give a new folder for the adapter")
    elif os.path.lexists(folder):
        raise ArtifactError(f"{folder} is not a folder of its own: give a new one for the adapter")
