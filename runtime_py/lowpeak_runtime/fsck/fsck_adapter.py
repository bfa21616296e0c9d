"""The two files of a PEFT adapter."""

from __future__ import annotations

import os
from pathlib import Path

from lowpeak_artifact.safetensors_header import Damaged
from lowpeak_runtime.fsck.fsck_files import check_tensors, problem_of, read_json
from lowpeak_runtime.fsck.fsck_report import Finding, FsckReport

CONFIG_FILE, TENSORS_FILE = "adapter_config.json", "adapter_model.safetensors"


def look_at_adapter(folder: Path, report: FsckReport, start: str = "", remedy: str = "") -> None:
    """`start`: of the names. `made`: how it can be made again."""
    remedy = remedy or "`lowpeak fsck RUN --repair` makes it again in its run's folder"
    place = folder / start
    for name, check in ((CONFIG_FILE, _check_config), (TENSORS_FILE, check_tensors)):
        if not (place / name).exists():
            report.findings.append(Finding(start + name, "missing", remedy=remedy))
            continue
        detail = "by its form; it has no checksum" if name == TENSORS_FILE else ""
        report.add(start + name, problem_of(check, place / name), remedy, detail)
    for name in sorted(set(os.listdir(place)) - {CONFIG_FILE, TENSORS_FILE}):
        report.findings.append(Finding(start + name, "foreign", "it is no file of an adapter of lowpeak"))


def _check_config(path: Path) -> None:
    kind = read_json(path).get("peft_type")
    if kind != "LORA":
        raise Damaged(f"it is of an adapter of type {kind}, not LORA")
