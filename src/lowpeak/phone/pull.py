"""`lowpeak.pull`: a phone's run brought home, into a folder that `lowpeak train --resume` goes on with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lowpeak.phone.adb import Adb
from lowpeak.phone.deploy import default_out
from lowpeak.phone.devices import choose, listed
from lowpeak.phone.layout import METRICS, run_name
from lowpeak.phone.progress import PhoneCheckpoint
from lowpeak.phone.run import step_of
from lowpeak.phone.shell import Device, join
from lowpeak.phone.target import Target, targets
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.disk import Need, require_room
from lowpeak_artifact.errors import ArtifactError, told_as_environment_problem
from lowpeak_artifact.manifest import Manifest
from lowpeak_runtime.train.checkpoint import (
    CHECKPOINT,
    Tell,
    artifact_id,
    newest_whole,
    read_progress,
    require_same_run,
)
from lowpeak_runtime.train.metrics import metrics_file
from lowpeak_runtime.train.preflight import OUT_REMEDY, adapter_bytes
from lowpeak_runtime.train.run_folder import run_folder, save_adapter
from lowpeak_runtime.train.supervisor import WorkerRun


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


@told_as_environment_problem()
def pull(
    artifact: Artifact | str | Path,
    *,
    out: str | Path | None = None,
    device: str | None = None,
    name: str | None = None,
    app: bool | None = None,
    tell: Tell = lambda _: None,
) -> PullReport:
    """Brings checkpoint, metrics and adapter of a run of `deploy` to `out`, by default DIR-trained.

    `app`: from the demo app, or (False) from adb's shell; by default from where there is such a run, the app
    first. The run on the phone stays as it is, and may be going on. A connection that breaks is gone on from
    by the same call. `tell` is told of a checkpoint that is damaged, in whose place the one before it is
    used. Raises EnvironmentProblem (no adb, no device, no room in `out`, a
    broken connection) and ArtifactError: there is no such run or no checkpoint of it, it is of another
    artifact, or `out` holds another run or one with more steps, or another process works there.
    """
    opened = artifact if isinstance(artifact, Artifact) else Artifact.open(artifact, verify=False)
    here = Path(out) if out is not None else default_out(opened)
    run_called = run_name(here, name)
    adb = Adb.find()
    phone = Device(adb, choose(listed(adb), device))
    places = targets(phone, app, lambda _: None)
    runs = [(each, folder) for each in places if _is_there(each, folder := each.run(run_called).folder)]
    if not runs:
        raise _nothing(places, run_called)
    target, folder = runs[0]
    checkpoint = PhoneCheckpoint.find(target.device, folder)
    if checkpoint is None:
        raise ArtifactError(
            f"the run {run_called!r} on {phone} has no checkpoint yet: its first step has not ended"
        )
    with run_folder(here):
        ours = newest_whole(here, tell)
        _require_continues(checkpoint, ours, opened)
        kept = (checkpoint.size, adapter_bytes(opened.manifest))
        require_room(Need(here, kept, "the run's checkpoint and adapter", OUT_REMEDY))
        checkpoint.fetch(here / CHECKPOINT, tell, 0 if ours is None else read_progress(ours).step)
        adapter = save_adapter(here, opened, tell)
        assert adapter is not None
        steps_file = folder / target.steps_file
        losses = _fetch_metrics(target.device, steps_file, here / METRICS, opened.manifest)
    return PullReport(
        device=phone.serial,
        steps=read_progress(here / CHECKPOINT).step,
        losses=losses,
        checkpoint=here / CHECKPOINT,
        metrics=here / METRICS,
        adapter=adapter,
    )


def _is_there(target: Target, folder: PurePosixPath) -> bool:
    return not target.device.attempt(join(["test", "-d", str(folder)]))[0].status


def _nothing(places: Sequence[Target], name: str) -> ArtifactError:
    where = " and in ".join("the app" if each.in_app else str(each.root) for each in places)
    names = []
    for each in places:
        runs = join([str(each.run(name).folder.parent)])
        names += each.device.run(f"ls {runs} 2>/dev/null || true").splitlines()
    return ArtifactError(
        f"there is no run {name!r} in {where} on {places[0].device}; there: "
        f"{', '.join(map(repr, names)) or 'none'}. Name it with --name, or by its folder with --out"
    )


def _require_continues(checkpoint: PhoneCheckpoint, ours: Path | None, artifact: Artifact) -> None:
    """Raises ArtifactError unless the phone's checkpoint may replace what is here."""
    theirs, path = checkpoint.progress, Path(checkpoint.path)
    wanted = artifact_id(artifact.manifest)
    if theirs.artifact != wanted:
        raise ArtifactError(
            f"{path} on {checkpoint.device} is of another artifact (manifest {theirs.artifact[:12]}, this "
            f"one is {wanted[:12]}): give that one, or another --name"
        )
    if ours is None:
        return
    here = read_progress(ours)
    require_same_run(path, theirs, here)
    if here.step > theirs.step:
        raise ArtifactError(
            f"{ours} has {here.step} steps, the run on {checkpoint.device} {theirs.step}: `lowpeak deploy "
            "--resume` takes them there; to have the older ones, give another --out",
            steps=here.step,
        )


def _fetch_metrics(
    device: Device, source: PurePosixPath, target: Path, manifest: Manifest
) -> tuple[float, ...]:
    """Writes a line for each step that the phone told of -> their losses."""
    told = WorkerRun("native")
    target.unlink(missing_ok=True)
    with tempfile.TemporaryFile() as steps, metrics_file(target, manifest) as metrics:
        device.fetch(f"cat {join([str(source)])} 2>/dev/null || true", steps)
        steps.seek(0)
        for line in _lines_of_steps(steps.read()):
            told.steps.append(step_of(json.loads(line), told))
            metrics.write(told.steps[-1])
    # A step that was repeated after a kill counts once.
    return tuple({step.step: step.loss for step in told.steps}.values())


def _lines_of_steps(told: bytes) -> list[bytes]:
    """Other events of a runner are left out, and a line that a lost connection cut."""
    return [
        line
        for line in told.split(b"\n")
        if b'"step":' in line and b'"loss":' in line and line.endswith(b"}")
    ]
