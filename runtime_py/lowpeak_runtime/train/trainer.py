"""Training from an artifact: in a process of its own, whose memory is watched from here.

`out` holds the checkpoints (lowpeak_runtime/train/checkpoint.py) while training and after it, and the trained
adapter:
adapter/ (PEFT files), or trained.safetensors for a plain module. A killed run continues with `resume`.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem, told_as_environment_problem
from lowpeak_artifact.folder_lock import in_use
from lowpeak_artifact.linux import require_measured_memory
from lowpeak_artifact.whole_file import writing_beside
from lowpeak_runtime.data.data import OnRead
from lowpeak_runtime.data.prepare import Data, training_data
from lowpeak_runtime.data.summary import Summary
from lowpeak_runtime.train.checkpoint import CHECKPOINT
from lowpeak_runtime.train.command import Engine, worker_command
from lowpeak_runtime.train.feed import Feed, write_batches
from lowpeak_runtime.train.metrics import metrics_file
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.preflight import require_room_for_batches, require_room_for_run
from lowpeak_runtime.train.run_folder import JOB, remove_prepared, run_folder, save_adapter, started
from lowpeak_runtime.train.session import ONNXRUNTIME, Job
from lowpeak_runtime.train.stop import StopRequest
from lowpeak_runtime.train.supervisor import StepReport, WorkerRun, supervise
from lowpeak_runtime.train.work_folder import work_folder


@dataclass(frozen=True)
class TrainReport:
    """What a call of `train` did. Bytes and seconds; measured values are 0 when no step was left to do."""

    engine: Literal["native", "python"]
    """lowpeak-runner, or the Python worker."""
    steps: int
    """Updates that the adapter has had, earlier calls included."""
    start_step: int
    """Updates before this call; equal to `steps` when the goal was reached already."""
    goal_steps: int
    losses: tuple[float, ...]
    """Of the steps of this call."""
    skipped_batches: int
    """Of the list of batches that was given: without any label, so never trained on."""
    step_seconds: float
    """Median of a step."""
    tokens_per_second: float | None
    """Over all steps, padding included; None for a plain module."""
    planned_peak_bytes: int
    planned_anonymous_bytes: int
    peak_anonymous_bytes: int
    """Most anonymous memory beyond the baseline: what training needs."""
    peak_rss_bytes: int
    """Most resident memory of the process in all: interpreter, libraries and mapped weights included."""
    baseline_rss_bytes: int
    """Resident memory of the process before it opened the artifact."""
    peak_held_bytes: int
    """What the budget bounds: `peak_rss_bytes` of a native process, less the baseline of a Python one."""
    budget_bytes: int
    stop_reason: str | None
    """Why it ended before the goal: a signal, memory pressure, the budget."""
    adapter: Path | None
    """The PEFT folder, or the file of a plain module's parameters; None without `out` or a whole step."""
    data: Summary | None
    """What the steps of this call saw of the examples; None for given batches, or without a step."""
    manifest_sha256: str
    """Of the artifact."""

    @property
    def stopped(self) -> bool:
        """Ended before the goal."""
        return self.steps < self.goal_steps

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), default=str, indent=1)


@told_as_environment_problem()
def train(
    artifact: Artifact | str | Path,
    data: Data = None,
    *,
    steps: int,
    optimizer: OptimizerOptions | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    seed: int = 0,
    accumulate: int = 1,
    checkpoint_every: int = 50,
    engine: Engine = "auto",
    metrics: str | Path | None = None,
    on_step: Callable[[StepReport], None] | None = None,
    on_read: OnRead = lambda summary: None,
    tell: Callable[[str], None] = lambda _: None,
    stop: StopRequest | None = None,
) -> TrainReport:
    """Trains until the adapter has had `steps` updates; `resume` continues from `out`'s checkpoint, if any.

    `accumulate`: batches for one update, by the mean over all their labels (a plain module's batches count
    alike); the Python worker can do that on ONNX Runtime only. A checkpoint is written every
    `checkpoint_every` steps, at the end, and when the run is interrupted. `engine`: `native` is
    lowpeak-runner, for ExecuTorch; `auto` takes it where it is built. `metrics`: a file that one JSON object
    a step is added to. `on_step` is called here as steps end; what it raises stops the run. `on_read` is told
    what is seen of the examples until the first step can begin, `tell` what the user should know and does not
    stop the run. `stop`, asked by a signal handler, say, lets the run save, write its adapter, and return.

    Examples are encoded a little ahead of the steps that train on them. One that cannot be trained on is met
    when its turn comes: the run then saves, stops, and raises DataError with its line.
    The artifact is not compiled anew meanwhile: the run could not be resumed.
    Raises ArtifactError (damaged artifact, one that is compiled anew just now, or `out` holds another run,
    one on other data, or one that is not to be continued), DataError, EnvironmentProblem (the process was
    killed, the disk is full, there is no such engine, or this is no Linux).
    """
    _require_positive(steps=steps, checkpoint_every=checkpoint_every, accumulate=accumulate)
    require_measured_memory()
    if not isinstance(artifact, Artifact):
        artifact = Artifact.open(artifact)
    manifest = artifact.manifest
    command = worker_command(manifest, engine)
    out = None if out is None else Path(out)
    stop = StopRequest() if stop is None else stop
    adapter = None
    with ExitStack() as stack:
        # Last of all: what is temporary is removed before anything may be cut off again.
        stack.callback(setattr, stop, "heeded", False)
        stack.enter_context(in_use(artifact.path))
        temporary = stack.enter_context(work_folder(out, artifact.path, tell))
        native = command.engine == "native"
        require_room_for_run(
            manifest, out, temporary, optimizer, native=native, steps=steps, accumulate=accumulate
        )
        lock = None if out is None else stack.enter_context(run_folder(out))
        listeners = [] if on_step is None else [on_step]
        if metrics is not None:
            listeners.insert(0, stack.enter_context(metrics_file(Path(metrics), manifest)).write)
        prepared = training_data(artifact, data)
        job = Job.of(
            artifact,
            temporary,
            steps=steps,
            data=prepared.sha256,
            streamed=True,
            optimizer=optimizer,
            accumulate=accumulate,
            seed=seed,
            checkpoint=None if out is None else out / CHECKPOINT,
            checkpoint_every=checkpoint_every,
        )
        if out is not None:
            job = started(job, manifest, out, resume)
            remove_prepared(out)
        run = WorkerRun(command.engine)
        if job.first_step < steps:
            if manifest.target == ONNXRUNTIME:
                from lowpeak_runtime.train.run_optimizer import write_run_optimizer

                write_run_optimizer(artifact, job.optimizer, Path(temporary))
            feed = Feed(job, prepared, on_read)
            stop.heeded = True
            run = supervise(job, Path(temporary), command, _calling(listeners), feed, tell, stop, lock)
        done = job.first_step + len(run.steps)
        if out is not None:
            adapter = save_adapter(out, artifact, tell)
    seconds = statistics.median(step.seconds for step in run.steps) if run.steps else 0.0
    return TrainReport(
        engine=command.engine,
        steps=done,
        start_step=job.first_step,
        goal_steps=steps,
        losses=tuple(step.loss for step in run.steps),
        skipped_batches=prepared.skipped,
        step_seconds=seconds,
        tokens_per_second=_speed(run.steps),
        planned_peak_bytes=manifest.planned_peak_bytes,
        planned_anonymous_bytes=manifest.planned_anonymous_bytes,
        peak_anonymous_bytes=run.peak_anonymous_bytes,
        peak_rss_bytes=run.peak_rss_bytes,
        baseline_rss_bytes=run.baseline.rss_bytes,
        peak_held_bytes=run.peak_held_bytes,
        budget_bytes=manifest.budget_bytes,
        stop_reason=run.stop_reason,
        adapter=adapter,
        data=run.steps[-1].data if run.steps else None,
        manifest_sha256=artifact.sha256,
    )


@dataclass(frozen=True)
class Prepared:
    """What `prepare` wrote."""

    job: Path
    """job.json."""
    data: Summary | None
    """What the steps will see of the examples; None for batches that were given."""


@told_as_environment_problem()
def prepare(
    artifact: Artifact | str | Path,
    data: Data = None,
    *,
    steps: int,
    out: str | Path,
    optimizer: OptimizerOptions | None = None,
    resume: bool = False,
    seed: int = 0,
    accumulate: int = 1,
    checkpoint_every: int = 50,
    on_read: OnRead = lambda summary: None,
) -> Prepared:
    """Writes what lowpeak-runner trains with where there is no Python: job.json and batches/ in `out`.

    The batches hold the user's text as token ids, and only this user can read them; the next `train` or
    `prepare` into `out` removes both. Paths are relative to `out`, the runner's working folder: with the
    artifact at the same place beside it, `out` can be taken elsewhere. Brought back, `train` with `resume`
    and the same options goes on, or writes the adapter if the goal was reached. `on_read` is told what is
    seen of the examples. Raises as `train`.
    """
    _require_positive(steps=steps, checkpoint_every=checkpoint_every, accumulate=accumulate)
    if not isinstance(artifact, Artifact):
        artifact = Artifact.open(artifact)
    out = Path(out)
    if artifact.manifest.target == ONNXRUNTIME:
        raise EnvironmentProblem(
            "lowpeak-runner trains artifacts for ExecuTorch, this one is for onnxruntime"
        )
    require_room_for_batches(artifact.manifest, out, steps * accumulate)
    with in_use(artifact.path), run_folder(out):
        prepared = training_data(artifact, data)
        job = Job.of(
            artifact,
            out,
            steps=steps,
            data=prepared.sha256,
            optimizer=optimizer,
            accumulate=accumulate,
            seed=seed,
            checkpoint=out / CHECKPOINT,
            checkpoint_every=checkpoint_every,
        )
        job = started(job, artifact.manifest, out, resume)
        if job.first_step >= steps:
            raise ArtifactError(
                f"the run in {out} has its {job.first_step} steps already", steps=job.first_step
            )
        remove_prepared(out)
        try:
            summary = write_batches(job, prepared, on_read)
        except BaseException:
            remove_prepared(out)
            raise
        with writing_beside(out / JOB) as file:
            file.write(job.relative_to(out).to_json().encode())
    return Prepared(out / JOB, summary)


def _require_positive(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} must be positive, not {value}")


def _calling(listeners: Sequence[Callable[[StepReport], None]]) -> Callable[[StepReport], None]:
    def call(step: StepReport) -> None:
        for listener in listeners:
            listener(step)

    return call


def _speed(steps: Sequence[StepReport]) -> float | None:
    """Tokens per second over all steps."""
    known = [step for step in steps if step.tokens_per_second is not None]
    seconds = sum(step.seconds for step in known)
    tokens = sum(step.seconds * (step.tokens_per_second or 0.0) for step in known)
    return tokens / seconds if seconds else None
