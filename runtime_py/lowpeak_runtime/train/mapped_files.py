"""Why a process was ended by a bus error: a file that it has mapped became shorter, or its disk failed."""

from __future__ import annotations

from pathlib import Path

from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_artifact.layout import MANIFEST
from lowpeak_artifact.manifest import Manifest


def bus_error(artifact: str | Path, work: str | Path) -> EnvironmentProblem:
    """For a run of the artifact with temporary files in `work`, by what the artifact's files are now."""
    folder = Path(artifact)
    changed = _changed(folder)
    if changed is not None:
        name, size, expected = changed
        return EnvironmentProblem(
            f"{name} of the artifact {folder} was changed while it was in use: it has {size} bytes instead "
            f"of {expected}; copy or compile it again, and let nothing write to it meanwhile",
            bytes=size,
            expected_bytes=expected,
        )
    return EnvironmentProblem(
        f"the disk failed under a file in use (a bus error): one of the artifact's in {folder}, or a "
        f"temporary one in {work}. Look into the system's log (dmesg), and whether the disks are full"
    )


def _changed(folder: Path) -> tuple[str, int, int] | None:
    """The first file of another size than the manifest says, with both sizes."""
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    for name, record in Manifest.from_json(text).files.items():
        file = folder / name
        size = file.stat().st_size if file.exists() else 0
        if size != record.bytes:
            return name, size, record.bytes
    return None
