"""The files of a run: checkpoints, adapter, what was prepared, and what dead processes left."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.layout import MANIFEST
from lowpeak_artifact.safetensors_header import Damaged
from lowpeak_runtime.fsck.fsck_adapter import look_at_adapter
from lowpeak_runtime.fsck.fsck_files import check_tensors, problem_of, read_json
from lowpeak_runtime.fsck.fsck_report import REMOVES, Finding, FsckReport, State
from lowpeak_runtime.train.checkpoint import CHECKPOINT, PREVIOUS, newest_whole, read_progress, settle
from lowpeak_runtime.train.checkpoint_format import verify

ADAPTER = "adapter"
TRAINED = "trained.safetensors"
JOB, BATCHES = "job.json", "batches"
_MADE_IN_RUNS = {"threads.json", "metrics.ndjson", "events.ndjson", "stderr", "pid", "status"}
_OF_APPS = {"adapter.gguf", "examples.jsonl", "encode.json", "evaluation-batches", "batches.partial"}
_LEFTOVERS = (".*.tmp", "*.tmp", ".*.phone", ".*.held", ".adapter.*", ".deploy[-.]*", "lowpeak-train-*")


def look_at_run(folder: Path, report: FsckReport) -> None:
    whole = _look_at_checkpoints(folder, report)
    if (folder / JOB).exists():
        remedy = "prepare the run again, `lowpeak train --prepare`"
        report.add(JOB, problem_of(read_json, folder / JOB), remedy)
    for path in sorted((folder / BATCHES).glob("*.safetensors")):
        remedy = "remove the folder batches and prepare the run again"
        report.add(f"{BATCHES}/{path.name}", problem_of(check_tensors, path), remedy)
    what_to_do = "--repair makes it again from the checkpoint" if whole else "train again, into a new folder"
    if (folder / ADAPTER).is_dir():
        look_at_adapter(folder, report, f"{ADAPTER}/", what_to_do)
    if (folder / TRAINED).exists():
        report.add(TRAINED, problem_of(check_tensors, folder / TRAINED), what_to_do)
    if whole and not (folder / ADAPTER).is_dir() and not (folder / TRAINED).exists():
        remedy = "`lowpeak train --resume` writes it at its end; --repair makes it of what there is"
        report.findings.append(Finding(ADAPTER, "not made", "the run has not reached its end", remedy))
    leftovers = _leftovers(folder)
    for path in leftovers:
        name = str(path.relative_to(folder))
        if report.in_use:
            report.findings.append(Finding(name, "not judged", "a run trains here now"))
        else:
            report.findings.append(Finding(name, "leftover", "of a process that was ended", REMOVES))
    known = {CHECKPOINT, PREVIOUS, JOB, BATCHES, ADAPTER, TRAINED, *_MADE_IN_RUNS, *_OF_APPS}
    known |= {each.name for each in leftovers}
    for name in sorted(set(os.listdir(folder)) - known):
        report.findings.append(Finding(name, "foreign", "it is no file of a run"))


def _look_at_checkpoints(folder: Path, report: FsckReport) -> bool:
    """Whether a run can go on from one."""
    problems, steps = dict[str, str](), dict[str, int]()
    for name in (CHECKPOINT, PREVIOUS):
        if os.path.lexists(folder / name):
            try:
                steps[name] = verify(folder / name).step
            except (Damaged, ArtifactError) as error:
                problems[name] = str(error)
    for name in (CHECKPOINT, PREVIOUS):
        if name in steps:
            report.findings.append(Finding(name, "whole", f"{steps[name]} steps"))
        elif name in problems:
            report.findings.append(Finding(name, "damaged", problems[name], _way_on(name, steps)))
    if steps and CHECKPOINT not in steps and CHECKPOINT not in problems:
        # A run that is at work has it back in a moment.
        state: State = "not judged" if report.in_use else "missing"
        what = "a process was ended while it replaced it"
        report.findings.append(Finding(CHECKPOINT, state, what, _way_on(CHECKPOINT, steps)))
    return bool(steps)


def _way_on(name: str, steps: dict[str, int]) -> str:
    if name == CHECKPOINT and PREVIOUS in steps:
        return (
            f"`lowpeak train --resume` goes on from {PREVIOUS}, with {steps[PREVIOUS]} steps; --repair puts "
            "it in place"
        )
    if name == PREVIOUS and CHECKPOINT in steps:
        return "nothing is lost: the next checkpoint of the run takes its place"
    return "the steps are lost: train into a new folder"


def _leftovers(folder: Path) -> list[Path]:
    leftovers = {path for pattern in _LEFTOVERS for path in folder.glob(pattern)}
    return sorted(leftovers | set((folder / BATCHES).glob(".*.tmp")))


def repair_run(folder: Path, report: FsckReport, artifact: Path | None) -> None:
    if not any(each.file in (CHECKPOINT, PREVIOUS) and each.state == "whole" for each in report.findings):
        return
    if newest_whole(folder) == folder / PREVIOUS:
        settle(folder / CHECKPOINT)
        steps = read_progress(folder / CHECKPOINT).step
        report.repaired.append(f"{PREVIOUS} is {CHECKPOINT} now, with {steps} steps")
    place = artifact or _artifact_of(folder)
    if not _needs_adapter(report):
        return
    if place is None:
        raise ArtifactError(
            f"the adapter of {folder} is not made, as the artifact lies neither beside the run nor where its "
            "job says: name it by --artifact"
        )
    adapter = _make_adapter(folder, place)
    report.repaired.append(f"{adapter.name} was made from {CHECKPOINT}")


def _needs_adapter(report: FsckReport) -> bool:
    return any(
        each.state in ("damaged", "missing", "not made")
        and (each.file in (ADAPTER, TRAINED) or each.file.startswith(f"{ADAPTER}/"))
        for each in report.findings
    )


def _artifact_of(run: Path) -> Path | None:
    """That beside the run from which its default name comes, or that of its job."""
    place = run.resolve()
    known = [place.with_name(place.name.removesuffix("-trained"))]
    with contextlib.suppress(Damaged, OSError):
        known.append(run / str(read_json(run / JOB).get("artifact")))
    for each in known:
        # A name in the job may be none that a file can have.
        with contextlib.suppress(OSError, ValueError):
            if each != place and (each / MANIFEST).is_file():
                return each
    return None


def _make_adapter(folder: Path, place: Path) -> Path:
    from lowpeak_artifact.artifact import Artifact
    from lowpeak_runtime.train.checkpoint import artifact_id
    from lowpeak_runtime.train.run_folder import save_adapter

    artifact = Artifact.open(place)
    actual, wanted = artifact_id(artifact.manifest), read_progress(folder / CHECKPOINT).artifact
    if actual != wanted:
        raise ArtifactError(
            f"{folder} is a run of another artifact (manifest {wanted[:12]}) than {place} ({actual[:12]}): "
            "give that one with --artifact"
        )
    adapter = save_adapter(folder, artifact, lambda _: None)
    assert adapter is not None
    return adapter
