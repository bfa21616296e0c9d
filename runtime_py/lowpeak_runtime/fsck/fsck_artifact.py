"""The files of an artifact against its manifest."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from pathlib import Path

from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.layout import MANIFEST, SIGNATURE
from lowpeak_artifact.safetensors_header import Damaged
from lowpeak_runtime.fsck.fsck_files import check_listed, locked, problem_of, read_json
from lowpeak_runtime.fsck.fsck_report import REMOVES, Finding, FsckReport


def look_at_artifact(folder: Path, report: FsckReport) -> None:
    what_to_do = "compile the artifact again, or copy it again as a whole"
    try:
        manifest = read_json(folder / MANIFEST)
        files = manifest.get("files")
        if not isinstance(files, dict):
            raise Damaged("it does not list the files")
        _require_valid(folder / MANIFEST)
    except FileNotFoundError:
        report.findings.append(Finding(MANIFEST, "missing", remedy=what_to_do))
        return
    except (Damaged, OSError) as error:
        report.findings.append(Finding(MANIFEST, "damaged", str(error), what_to_do))
        return
    report.findings.append(Finding(MANIFEST, "whole"))
    for name, record in files.items():
        path = folder / name
        if name != Path(name).name or not os.path.lexists(path):
            remedy = "copy this file again from where the artifact was compiled, or compile it again"
            report.findings.append(Finding(name, "missing", remedy=remedy))
            continue
        problem = problem_of(partial(check_listed, record=record), path)
        report.add(name, problem, "copy this one file again, or compile the artifact again")
    for name in sorted(set(os.listdir(folder)) - files.keys() - {MANIFEST, SIGNATURE}):
        report.findings.append(Finding(name, "foreign", "the manifest does not list it; it is never read"))
    for path in _dead_writers(folder):
        report.findings.append(Finding(f"../{path.name}", "leftover", "of a compile that was ended", REMOVES))


def _require_valid(manifest: Path) -> None:
    from lowpeak_artifact.manifest import Manifest

    try:
        Manifest.from_json(manifest.read_text(encoding="utf-8"))
    except (ArtifactError, UnicodeDecodeError) as error:
        raise Damaged(str(error)) from error


def _dead_writers(folder: Path) -> list[Path]:
    """What compiles that were ended left beside the artifact: without a lock nobody writes there."""
    writers = []
    place = folder.resolve()
    for path in sorted(place.parent.iterdir()):
        if path.name.startswith(f".{place.name}.") and path.name.endswith(".writing") and path.is_dir():
            with contextlib.suppress(OSError), locked(path, hold=False) as in_use:
                if not in_use:
                    writers.append(path)
    return writers
