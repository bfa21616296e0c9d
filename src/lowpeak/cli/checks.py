"""What is wrong with a command and can be said before torch is loaded, which takes seconds."""

from __future__ import annotations

import re
from pathlib import Path

from lowpeak_artifact.errors import ArtifactError, DataError, ModelError
from lowpeak_compiler.frontend.model.configs import SCHEME, require_known
from lowpeak_runtime.train.run_checks import require_idle

DEMO = "demo"
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def require_model(spec: str) -> None:
    """ModelError for an unknown `config:` name, or if there is nothing under a path; hub names are looked up
    later.
    """
    if spec.startswith(SCHEME):
        require_known(spec.removeprefix(SCHEME))
        return
    if spec == DEMO or Path(spec).exists():
        return
    if not HUB_NAME.fullmatch(spec) or spec.endswith(".gguf"):
        raise ModelError(
            f"there is no {spec}: give a checkpoint folder, a .gguf file, config:<name>, or a hub name such "
            "as org/name, which is downloaded with huggingface_hub"
        )


def require_adapter(rank: int, target_modules: str) -> None:
    """ModelError for an adapter that makes no sense."""
    names = [name for name in target_modules.split(",") if name.strip()]
    if rank < 1 or not names:
        what = f"rank is {rank}; it must be at least 1" if rank < 1 else "target_modules names no layer"
        raise ModelError(f"{what} (rank 16 on all-linear is a good start)", rank=rank)


def require_artifact(folder: Path) -> None:
    """ArtifactError if there is no folder."""
    if not folder.is_dir():
        raise ArtifactError(f"no artifact at {folder}: it is {'a file' if folder.exists() else 'missing'}")


def require_data(path: Path) -> None:
    """DataError if it is no file."""
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a JSONL file")
    if not path.exists():
        raise DataError(f"there is no {path}: give a JSONL file, one example a line")


def require_new_run(folder: Path) -> None:
    """ArtifactError if anything is in the folder."""
    if folder.is_dir() and any(folder.iterdir()):
        raise ArtifactError(f"{folder}, where the run is to go, is in use: give another --out")


def require_run_folder(folder: Path) -> None:
    """ArtifactError if it is an artifact's, or another process works there."""
    require_idle(folder)
