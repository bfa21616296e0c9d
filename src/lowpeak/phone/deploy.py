"""`lowpeak.deploy`: an artifact, and a run of it, on a phone.

checks -> data into batches, here -> push of what is not there yet -> the app, or
lowpeak-runner under adb's shell.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lowpeak.phone.adb import Adb
from lowpeak.phone.app import install
from lowpeak.phone.checks import (
    read_facts,
    require_android,
    require_charge,
    require_fit,
    require_memory,
    require_room,
)
from lowpeak.phone.devices import choose, listed
from lowpeak.phone.layout import PROGRAMS, run_name
from lowpeak.phone.progress import PhoneCheckpoint
from lowpeak.phone.push import Outgoing, Progress, missing, remove_others, send
from lowpeak.phone.runner import find_runner
from lowpeak.phone.shell import Device
from lowpeak.phone.target import Run, Target, shell_target, targets
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem, told_as_environment_problem
from lowpeak_artifact.layout import MANIFEST
from lowpeak_artifact.manifest import Manifest
from lowpeak_runtime.data.prepare import Data
from lowpeak_runtime.data.summary import Summary
from lowpeak_runtime.train.checkpoint import (
    CHECKPOINT,
    PREVIOUS,
    Tell,
    newest_whole,
    read_progress,
    require_same_run,
)
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.preflight import files_of_out, files_of_work
from lowpeak_runtime.train.run_folder import run_folder
from lowpeak_runtime.train.session import ONNXRUNTIME
from lowpeak_runtime.train.supervisor import StepReport, WorkerRun
from lowpeak_runtime.train.trainer import prepare

JOB = "job.json"


@dataclass(frozen=True)
class DeployReport:
    """What a call of `deploy` did. Bytes and seconds; measured values are the device's own."""

    device: str
    """Its serial number."""
    model: str
    app_version: str | None
    """Of the app that trains; None for lowpeak-runner under adb's shell."""
    sent_bytes: int
    """By this call; the rest was there."""
    artifact_folder: str
    """On the device."""
    run_folder: str | None
    """On the device; None when nothing was to be trained."""
    steps: int
    """Updates that the adapter has had, earlier calls included."""
    start_step: int
    goal_steps: int
    losses: tuple[float, ...]
    """Of the steps of this call."""
    step_seconds: float
    """Median."""
    planned_peak_bytes: int
    peak_rss_bytes: int
    """Most that the runner's process held, all in all: what the budget bounds."""
    peak_anonymous_bytes: int
    budget_bytes: int
    stop_reason: str | None
    """Why it ended before the goal."""
    data: Summary | None
    """What the steps up to the goal see of the examples; None for given batches, or without a run."""
    manifest_sha256: str
    """Of the artifact."""


@told_as_environment_problem()
def deploy(
    artifact: Artifact | str | Path,
    data: Data = None,
    *,
    steps: int | None = None,
    out: str | Path | None = None,
    device: str | None = None,
    runner: str | Path | None = None,
    name: str | None = None,
    app: bool | None = None,
    apk: str | Path | None = None,
    optimizer: OptimizerOptions | None = None,
    resume: bool = False,
    seed: int = 0,
    accumulate: int = 1,
    checkpoint_every: int = 50,
    on_push: Progress = lambda *_: None,
    on_step: Callable[[StepReport], None] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> DeployReport:
    """Pushes the artifact to a phone and, with `steps`, trains there until the adapter has had so many
    updates. `pull` brings the run home.

    `app`: in the demo app, or (False) by lowpeak-runner under adb's shell; by default in the app if it is
    installed and `runner` is not given. `apk`: the app's, to install first. `device`: a serial number, where
    there are several. `runner`: built for the phone, or a folder with it and its libraries;
    LOWPEAK_ANDROID_RUNNER by default. `out`: the run's folder here, by default DIR-trained, as
    of `train`; `name`: what the run is called there, by default as `out`. With `resume` the run goes on from
    the phone's checkpoint or that in `out`, whichever has more steps. `tell` is told of doubts that do not
    stop it. The other options are those of `train`.

    Raises EnvironmentProblem (no adb, no device or one that is not ready, a device that the run does not fit,
    a broken connection, no app or one that cannot be reached, a run that was killed there), ArtifactError
    (damaged, or the run's folder holds another run, or another process works there) and DataError.
    """
    if steps is None and data is not None:
        raise ValueError("there is data but no number of steps")
    opened = artifact if isinstance(artifact, Artifact) else Artifact.open(artifact)
    manifest = opened.manifest
    if manifest.target == ONNXRUNTIME:
        raise EnvironmentProblem(
            "lowpeak-runner trains artifacts for ExecuTorch, this one was compiled for onnxruntime: "
            "compile it for target='executorch', or take it into an app by hand (docs/onnxruntime.md)"
        )
    if apk is not None:
        app = True
    if app and runner is not None:
        raise ValueError("a runner is for adb's shell: the app has its own")
    app = False if runner is not None else app
    program = find_runner(None if runner is None else Path(runner)) if app is False else None
    adb = Adb.find()
    phone = Device(adb, choose(listed(adb), device))
    facts = read_facts(phone)
    require_android(phone, facts)
    if program is not None:
        require_fit(phone, facts, program)
    require_memory(phone, facts, manifest.budget_bytes)
    require_charge(phone, facts, tell)
    if apk is not None:
        install(phone, Path(apk))
    target = targets(phone, app, tell)[0]
    if not target.in_app:
        program = program or find_runner(None)
        require_fit(phone, facts, program)
        target = shell_target(phone, program)
    files = [*target.programs(), *_artifact_files(opened, target)]
    if steps is None:
        sent = _push(target, files, 0, on_push)
        return _report(target, facts.model, manifest, sent, None, 0, 0, WorkerRun("native"), None)

    here = Path(out) if out is not None else default_out(opened)
    run = target.run(run_name(here, name))
    # Until the end: another call would send its job over the one that is trained.
    with _run_folder(here) as folder:
        run.require_idle()
        checkpoint = _newest_checkpoint(run, here, resume, steps, tell)
        if checkpoint is not None:
            shutil.copyfile(checkpoint, folder / CHECKPOINT)
        prepared = prepare(
            opened,
            data,
            steps=steps,
            out=folder,
            optimizer=optimizer,
            resume=resume,
            seed=seed,
            accumulate=accumulate,
            checkpoint_every=checkpoint_every,
        )
        first_step = _move_job(folder / JOB, target.artifact(manifest))
        of_run = _run_files(folder, run.folder)
        options = optimizer or OptimizerOptions()
        written = sum(files_of_work(manifest, options, native=True, accumulate=accumulate))
        written += sum(files_of_out(manifest, options, adapter=False))
        sent = _push(target, [*files, *of_run], written, on_push)
        # Of a start that ended before its first checkpoint nothing is left.
        made_there = [run.folder / each for each in (PREVIOUS, *target.made_there)] if first_step else []
        remove_others(target.device, run.folder, [*(file.target for file in of_run), *made_there])
        shutil.rmtree(folder)
        trained = target.train(run, manifest, steps - first_step, on_step, tell)
    if first_step + len(trained.steps) >= steps:
        # What is trained on is the user's alone.
        own = [run.folder / each for each in (CHECKPOINT, PREVIOUS, *target.made_there)]
        remove_others(target.device, run.folder, own)
    return _report(target, facts.model, manifest, sent, run, first_step, steps, trained, prepared.data)


def default_out(artifact: Artifact) -> Path:
    """The folder of a run, here, that is not named."""
    path = artifact.path.resolve()
    return path.with_name(f"{path.name}-trained")


def _artifact_files(artifact: Artifact, target: Target) -> list[Outgoing]:
    folder, files = target.artifact(artifact.manifest), artifact.manifest.files
    return [
        Outgoing.of(artifact.path / MANIFEST, folder / MANIFEST, artifact.sha256),
        *(Outgoing.of(artifact.path / name, folder / name, record.sha256) for name, record in files.items()),
    ]


def _run_files(folder: Path, target: PurePosixPath) -> list[Outgoing]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [Outgoing.of(path, target / path.relative_to(folder).as_posix()) for path in files]


def _push(target: Target, files: list[Outgoing], written: int, on_push: Progress) -> int:
    """`written`: bytes that the run itself writes there."""
    absent = missing(target.device, files)
    require_room(target.device, target.room, sum(each.left for each in absent), written)
    sent = send(target.device, absent, on_push)
    if not target.in_app:
        # Libraries of another runner would be loaded.
        remove_others(target.device, PROGRAMS, [file.target for file in files])
    return sent


@contextmanager
def _run_folder(out: Path) -> Iterator[Path]:
    """A folder in `out`, which is this process's meanwhile, for what is sent of the run."""
    with run_folder(out), ExitStack() as stack:
        try:
            # Not a locked one: `prepare` locks it as a run's.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=".deploy-", dir=out))
        except OSError as error:
            raise EnvironmentProblem(f"the folder {out} cannot be written: {error.strerror}") from error
        yield Path(folder)


def _newest_checkpoint(run: Run, out: Path, resume: bool, steps: int, tell: Tell) -> Path | None:
    """The checkpoint to go on from, brought to `out` if the phone's has more steps.

    Raises ArtifactError when there is one and it is not to be continued, both are of different runs, or the
    goal is reached.
    """
    ours = newest_whole(out, tell)
    theirs = PhoneCheckpoint.find(run.device, run.folder)
    if not resume and (ours or theirs):
        progress = read_progress(ours) if ours else theirs.progress if theirs else None
        assert progress is not None
        where = str(out) if ours else f"{run.folder} on {run.device}"
        raise ArtifactError(
            f"{where} holds a training run of {progress.step} steps: resume it, or give a new folder or "
            "--name",
            steps=progress.step,
        )
    done = 0 if ours is None else read_progress(ours).step
    if theirs is not None:
        if ours is not None:
            require_same_run(Path(theirs.path), theirs.progress, read_progress(ours))
        if theirs.progress.step > done:
            ours = out / CHECKPOINT
            theirs.fetch(ours, tell, done)
            done = read_progress(ours).step
    if done >= steps:
        raise ArtifactError(
            f"the run has its {done} steps already: `lowpeak pull` brings it home, more --steps continue it",
            steps=done,
        )
    return ours


def _move_job(file: Path, artifact: PurePosixPath) -> int:
    """Lets the job find the artifact where it is on the device -> the step that it begins with."""
    job = json.loads(file.read_text(encoding="utf-8"))
    # Runs and artifacts lie in two folders side by side.
    relative = PurePosixPath("..", "..", artifact.parent.name, artifact.name)
    job.update(artifact=str(relative), manifest=str(relative / MANIFEST))
    file.write_text(json.dumps(job), encoding="utf-8")
    first: int = job["first_step"]
    return first


def _report(
    target: Target,
    model: str,
    manifest: Manifest,
    sent: int,
    run: Run | None,
    first_step: int,
    goal: int,
    trained: WorkerRun,
    data: Summary | None,
) -> DeployReport:
    return DeployReport(
        device=target.device.serial,
        model=model,
        app_version=target.app_version,
        sent_bytes=sent,
        artifact_folder=str(target.artifact(manifest)),
        run_folder=None if run is None else str(run.folder),
        steps=first_step + len(trained.steps),
        start_step=first_step,
        goal_steps=goal,
        losses=tuple(step.loss for step in trained.steps),
        step_seconds=statistics.median(s.seconds for s in trained.steps) if trained.steps else 0.0,
        planned_peak_bytes=manifest.planned_peak_bytes,
        peak_rss_bytes=trained.peak_rss_bytes,
        peak_anonymous_bytes=trained.peak_anonymous_bytes,
        budget_bytes=manifest.budget_bytes,
        stop_reason=trained.stop_reason,
        data=data,
        manifest_sha256=manifest.sha256,
    )
