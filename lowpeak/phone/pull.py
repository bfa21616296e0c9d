"""`lowpeak.pull`: a phone's run brought home, into a folder that `lowpeak train --resume` goes on with."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from compiler.errors import ArtifactError
from export.artifact import Artifact
from export.manifest import Manifest
from lowpeak.phone.adb import Adb
from lowpeak.phone.deploy import default_out
from lowpeak.phone.devices import choose, listed
from lowpeak.phone.layout import EVENTS, ROOT, run_folder, run_name
from lowpeak.phone.progress import PhoneCheckpoint
from lowpeak.phone.run import PhoneRun, follow
from lowpeak.phone.shell import Device, join
from runtime_py.checkpoint import artifact_id, read_progress, require_same_run
from runtime_py.metrics import metrics_file
from runtime_py.supervisor import WorkerRun
from runtime_py.trainer import CHECKPOINT, save_adapter

METRICS = "metrics.ndjson"


@dataclass(frozen=True)
class PullReport:
    """What a call of `pull` brought."""

    device: str
    """Its serial number."""
    steps: int
    """Updates that the adapter has had."""
    losses: tuple[float, ...]
    """Of the steps that were made on the phone."""
    checkpoint: Path
    metrics: Path
    """A line for each of these steps, as `lowpeak train --metrics` writes them."""
    adapter: Path
    """The PEFT folder, or the file of a plain module's parameters."""


def pull(
    artifact: Artifact | str | Path,
    *,
    out: str | Path | None = None,
    device: str | None = None,
    name: str | None = None,
) -> PullReport:
    """Brings checkpoint, metrics and adapter of a run of `deploy` to `out`, by default DIR-trained.

    The run on the phone stays as it is, and may be going on. Raises EnvironmentProblem (no adb, no device, a
    broken connection) and ArtifactError: there is no such run or no checkpoint of it, it is of another
    artifact, or `out` holds another run or one with more steps.
    """
    opened = artifact if isinstance(artifact, Artifact) else Artifact.open(artifact, verify=False)
    here = Path(out) if out is not None else default_out(opened)
    adb = Adb.find()
    phone = Device(adb, choose(listed(adb), device))
    run = PhoneRun(phone, run_folder(run_name(here, name)))
    checkpoint = PhoneCheckpoint.find(phone, run.folder)
    if checkpoint is None:
        raise _nothing(phone, run)
    _require_continues(checkpoint, here / CHECKPOINT, opened)
    here.mkdir(parents=True, exist_ok=True)
    checkpoint.fetch(here / CHECKPOINT)
    losses = _fetch_metrics(run, here / METRICS, opened.manifest)
    return PullReport(
        device=phone.serial,
        steps=read_progress(here / CHECKPOINT).step,
        losses=losses,
        checkpoint=here / CHECKPOINT,
        metrics=here / METRICS,
        adapter=save_adapter(here, opened),
    )


def _nothing(phone: Device, run: PhoneRun) -> ArtifactError:
    names = phone.run(f"ls {join([str(run.folder.parent)])} 2>/dev/null || true").splitlines()
    if run.folder.name in names:
        return ArtifactError(
            f"the run {run.folder.name!r} on {phone} has no checkpoint yet: its first step has not ended"
        )
    there = ", ".join(map(repr, names)) or "none"
    return ArtifactError(
        f"there is no run {run.folder.name!r} in {ROOT} on {phone}; there: {there}. Name it with --name, or "
        "by its folder with --out"
    )


def _require_continues(checkpoint: PhoneCheckpoint, ours: Path, artifact: Artifact) -> None:
    """Raises ArtifactError unless the phone's checkpoint may replace what is here."""
    theirs, path = checkpoint.progress, Path(checkpoint.path)
    wanted = artifact_id(artifact.manifest)
    if theirs.artifact != wanted:
        raise ArtifactError(
            f"{path} on {checkpoint.device} is of another artifact (manifest {theirs.artifact[:12]}, this "
            f"one is {wanted[:12]}): give that one, or another --name"
        )
    if not ours.exists():
        return
    here = read_progress(ours)
    require_same_run(path, theirs, here)
    if here.step > theirs.step:
        raise ArtifactError(
            f"{ours} has {here.step} steps, the run on {checkpoint.device} {theirs.step}: `lowpeak deploy "
            "--resume` takes them there; to have the older ones, give another --out",
            steps=here.step,
        )


def _fetch_metrics(run: PhoneRun, target: Path, manifest: Manifest) -> tuple[float, ...]:
    """Writes a line for each step that the runner told of -> their losses."""
    told = WorkerRun("native")
    target.unlink(missing_ok=True)
    with tempfile.TemporaryFile() as events, metrics_file(target, manifest) as metrics:
        run.device.fetch(f"cat {join([str(run.folder / EVENTS)])} 2>/dev/null || true", events)
        events.seek(0)
        follow(_lines_of_steps(events.read()), told, metrics.write)
    # A step that was repeated after a kill counts once.
    return tuple({step.step: step.loss for step in told.steps}.values())


def _lines_of_steps(events: bytes) -> list[bytes]:
    """Errors and ends of earlier starts are left out, and a line that a lost connection cut."""
    return [line + b"\n" for line in events.split(b"\n") if b'"step"' in line and line.endswith(b"}")]
