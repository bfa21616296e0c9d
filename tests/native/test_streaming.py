"""Batches that are made while a run goes on: the same training, waits that end, nothing left behind."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, DataError
from lowpeak_artifact.private_folder import SUFFIX
from lowpeak_runtime.data.batch_file import NOBODY_WRITES
from lowpeak_runtime.data.data import ExampleList, shuffled
from lowpeak_runtime.data.encode import NO_LOSS, Example
from lowpeak_runtime.data.prepare import TrainingData, training_data
from lowpeak_runtime.train import feed, trainer
from lowpeak_runtime.train.checkpoint import CHECKPOINT, PREVIOUS, newest_whole, read_progress
from lowpeak_runtime.train.command import Command, python_command
from lowpeak_runtime.train.feed import Feed, write_batches
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.stop import STOPPED
from lowpeak_runtime.train.supervisor import StepReport
from lowpeak_runtime.train.trainer import prepare, train
from tests.native.runner import runner, use_runner
from tests.runtime_py.trainable import several_batches, trainable_artifact, trainable_step
from tests.tiny import TinyStep

STEPS = 12
OPTIONS = OptimizerOptions(learning_rate=5e-3)


def example(number: int) -> Example:
    """Every third has no label among its first 12 tokens, every fourth of the others is longer than that."""
    ids = tuple((7 * i + number) % 96 for i in range(14 if number % 4 == 0 or number % 3 == 0 else 9))
    prompt = 13 if number % 3 == 0 else 2
    return Example(ids, (NO_LOSS,) * prompt + ids[prompt:])


EXAMPLES = [example(number) for number in range(20)]


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return trainable_step()


@pytest.fixture(scope="module")
def artifact(tiny: TinyStep, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trainable_artifact(tmp_path_factory.mktemp("streaming") / "artifact", tiny)


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    use_runner(monkeypatch)


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one batch."""
    monkeypatch.setattr(feed, "FILE_BYTES", 1)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the temporary files of a run go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_counts_of_what_was_trained_on(artifact: Artifact, tmp_path: Path) -> None:
    seen: list[StepReport] = []
    file = tmp_path / "metrics.ndjson"
    report = train(artifact, EXAMPLES, steps=STEPS, metrics=file, on_step=seen.append)
    steps = [step.data for step in seen]
    assert steps[-1] == report.data and report.data is not None
    order = list(shuffled(20, 0, 0))
    kept = [number for number in order if number % 3]
    looked_at = order[: order.index(kept[STEPS - 1]) + 1]
    dropped = [number for number in looked_at if number % 3 == 0]
    trained = kept[:STEPS]
    lengths = [min(12, len(EXAMPLES[number].input_ids)) for number in trained]
    assert report.data.examples == 20 and report.data.seen == len(looked_at)
    assert report.data.dropped == len(dropped) > 0
    assert report.data.truncated == sum(number % 4 == 0 for number in trained) > 0
    assert report.data.tokens == sum(lengths)
    assert report.data.trainable_tokens == sum(length - 2 for length in lengths)
    assert (report.data.longest, report.data.enough) == (14, 14)
    assert [data.tokens for data in steps if data] == [sum(lengths[: n + 1]) for n in range(STEPS)]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["examples"] for line in lines] == [dataclasses.asdict(data) for data in steps if data]


def test_the_size_of_files_and_how_many_are_ahead_change_nothing(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 40 steps of 3 batches a step needs more files than are made ahead."""
    runs = []
    for size, ahead in ((1 << 20, 4), (1, 1), (400, 2)):
        monkeypatch.setattr(feed, "FILE_BYTES", size)
        monkeypatch.setattr(feed, "FILES_AHEAD", ahead)
        out = tmp_path / str(size)
        report = train(artifact, EXAMPLES, steps=40, accumulate=3, out=out)
        runs.append((report.losses, (out / CHECKPOINT).read_bytes(), report.data))
    assert runs[0] == runs[1] == runs[2]


def test_a_resumed_run_goes_on_behind_what_was_dropped(
    artifact: Artifact, small_files: None, tmp_path: Path
) -> None:
    straight = train(artifact, EXAMPLES, steps=STEPS, optimizer=OPTIONS, out=tmp_path / "straight")
    first = train(artifact, EXAMPLES, steps=5, optimizer=OPTIONS, out=tmp_path / "two")
    second = train(artifact, EXAMPLES, steps=STEPS, optimizer=OPTIONS, out=tmp_path / "two", resume=True)
    assert first.losses + second.losses == straight.losses
    one, other = ((tmp_path / name / CHECKPOINT).read_bytes() for name in ("straight", "two"))
    assert one == other
    assert first.data is not None and second.data is not None and straight.data is not None
    assert first.data.tokens + second.data.tokens == straight.data.tokens


def test_files_are_bounded_and_gone_once_used(artifact: Artifact, small_files: None, temporary: Path) -> None:
    def files() -> list[Path]:
        return sorted(temporary.glob("*/batches/*"))

    most = []
    report = train(artifact, EXAMPLES, steps=40, on_step=lambda step: most.append(len(files())))
    assert report.steps == 40 and max(most) <= feed.FILES_AHEAD + 1 and most[-1] == 0
    assert list(temporary.iterdir()) == []


def test_what_a_kill_left_is_removed_by_the_next_run(artifact: Artifact, temporary: Path) -> None:
    left = temporary / f"lowpeak-train-killed{SUFFIX}" / "batches"
    left.mkdir(parents=True)
    (left / "0-40.safetensors").write_bytes(b"private")
    train(artifact, EXAMPLES, steps=2)
    assert list(temporary.iterdir()) == []


def test_prepared_batches_are_private_and_removed_by_the_next_run(
    artifact: Artifact, small_files: None, tmp_path: Path
) -> None:
    folder = tmp_path / "batches"
    prepare(artifact, EXAMPLES, steps=3, out=tmp_path)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())] == [
        0o700,
        *3 * [0o600],
    ]
    (folder / ".3-4.safetensors.tmp").write_bytes(b"half a file")
    (folder / "the user's own").write_text("stays")
    train(artifact, EXAMPLES, steps=1, out=tmp_path)
    assert [path.name for path in folder.iterdir()] == ["the user's own"]
    assert not (tmp_path / "job.json").exists()


class OneBad(ExampleList):
    """`bad`: the number of the example that cannot be encoded."""

    bad = 0

    def examples(self, numbers: Sequence[int]) -> list[Example | DataError]:
        error = DataError("data.jsonl, line 8: is bad", line=8)
        return [error if number == self.bad else EXAMPLES[number] for number in numbers]


def test_an_example_that_fails_later_stops_the_run_with_a_checkpoint(
    artifact: Artifact, small_files: None, temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = OneBad(EXAMPLES)
    source.bad = list(shuffled(20, 0, 0))[15]

    def data(artifact: Artifact, data: object) -> TrainingData:
        return TrainingData(artifact, source, (), "0" * 64)

    monkeypatch.setattr(trainer, "training_data", data)
    with pytest.raises(DataError, match="line 8: is bad") as caught:
        train(artifact, steps=40, out=tmp_path / "out", checkpoint_every=1)
    assert caught.value.numbers == {"line": 8}
    assert 1 <= read_progress(tmp_path / "out" / CHECKPOINT).step <= 15
    assert list(temporary.iterdir()) == []
    # It is not met by a run that ends before.
    assert train(artifact, steps=5).steps == 5


def test_a_first_example_that_fails_starts_nothing(
    artifact: Artifact, temporary: Path, tmp_path: Path
) -> None:
    hopeless = [example(number) for number in (0, 3, 6)]
    with pytest.raises(DataError, match="none of 3 examples has a trainable token among its first 12"):
        train(artifact, hopeless, steps=5, out=tmp_path / "out")
    assert list(temporary.iterdir()) == [] and not (tmp_path / "out").exists()


@pytest.mark.parametrize("examples", [True, False])
def test_other_data_cannot_continue(
    artifact: Artifact, tiny: TinyStep, examples: bool, tmp_path: Path
) -> None:
    data: list[Any] = EXAMPLES if examples else several_batches(tiny.spec, 4)
    train(artifact, data, steps=2, out=tmp_path)
    for goal in (2, 4):
        with pytest.raises(ArtifactError, match=r"other data \(sha256 .*train into a new folder"):
            train(artifact, data[:-1], steps=goal, out=tmp_path, resume=True)
    with pytest.raises(ArtifactError, match=r"other data \(sha256"):
        prepare(artifact, data[1:], steps=4, out=tmp_path, resume=True)
    assert train(artifact, list(data), steps=3, out=tmp_path, resume=True).steps == 3


def test_the_batch_that_is_simulated_is_the_first_that_is_trained(artifact: Artifact) -> None:
    data = training_data(artifact, EXAMPLES)
    spec = artifact.manifest.largest.batch
    prepared, _ = next(data.batches(seed=3))
    expected = spec.graph_inputs(data.first_batch(seed=3))
    assert all(prepared.inputs[name].equal(tensor) for name, tensor in expected.items())


def test_the_folder_of_a_prepared_run(artifact: Artifact, small_files: None, tmp_path: Path) -> None:
    """Killed on the device and continued there; its batches stay until the run is brought back."""
    shutil.copytree(artifact.path, tmp_path / "artifact")
    straight = train(artifact, EXAMPLES, steps=400, optimizer=OPTIONS, out=tmp_path / "straight")
    options = {"optimizer": OPTIONS, "out": tmp_path / "run", "checkpoint_every": 1}
    prepared = prepare(tmp_path / "artifact", EXAMPLES, steps=400, **options)
    assert prepared.data == straight.data
    # With metrics 400 steps are more than the pipe holds: it cannot have ended before it is killed.
    command = [str(runner()), prepared.job.name, "--resume", "--metrics"]
    folder = tmp_path / "run"
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        while json.loads(child.stdout.readline()).get("step") != 5:
            pass
        child.kill()
    newest = newest_whole(folder)
    assert newest is not None and 6 <= read_progress(newest).step < 400
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    losses = [event["loss"] for event in events if event["event"] == "step"]
    assert 0 < len(losses) < 400 and losses == list(straight.losses[-len(losses) :])
    assert len(list((folder / "batches").iterdir())) == 400
    report = train(tmp_path / "artifact", EXAMPLES, steps=400, resume=True, **options)
    assert report.start_step == 400
    assert sorted(entry.name for entry in folder.iterdir()) == ["adapter", PREVIOUS, CHECKPOINT]
    trained = (load_file(each / CHECKPOINT) for each in (folder, tmp_path / "straight"))
    ours, theirs = trained
    assert all(ours[name].equal(tensor) for name, tensor in theirs.items())


def test_a_prepared_run_that_lacks_batches(artifact: Artifact, small_files: None, tmp_path: Path) -> None:
    job = Job.of(artifact, tmp_path, steps=5)
    write_batches(job, training_data(artifact, EXAMPLES))
    (tmp_path / "batches" / "3-4.safetensors").unlink()
    (tmp_path / "job.json").write_text(job.to_json())
    done = subprocess.run([runner(), tmp_path / "job.json"], capture_output=True, text=True, check=False)
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["class"] == "DataError" and "lack batch 3, the run needs 0 to 4" in last["message"]


def test_batches_that_become_shorter_are_an_error_that_keeps_the_steps(
    artifact: Artifact, tmp_path: Path
) -> None:
    job = Job.of(artifact, tmp_path, steps=400, checkpoint=tmp_path / CHECKPOINT)
    write_batches(job, training_data(artifact, EXAMPLES))
    (file,) = (tmp_path / "batches").iterdir()
    (tmp_path / "job.json").write_text(job.to_json())
    # With metrics 400 steps are more than the pipe holds: it cannot have ended before.
    command = [str(runner()), str(tmp_path / "job.json"), "--metrics"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        while json.loads(child.stdout.readline()).get("step") != 5:
            pass
        os.truncate(file, file.stat().st_size // 2)
        last = json.loads(child.stdout.read().splitlines()[-1])
    assert last["class"] == "DataError" and f"{file} cannot be read: the file ends early" in last["message"]
    assert 6 <= read_progress(tmp_path / CHECKPOINT).step < 400


class Waiting:
    """A trainer that has the first 3 batches of 5 and waits for the others."""

    def __init__(self, artifact: Artifact, command: Command, folder: Path) -> None:
        self.is_native = command.engine == "native"
        self.job = Job.of(artifact, folder, steps=5, streamed=True, checkpoint=folder / CHECKPOINT)
        data = training_data(artifact, EXAMPLES)
        write_batches(self.job, data)
        self.later = [folder / "batches" / f"{n}-{n + 1}.safetensors" for n in (3, 4)]
        for file in self.later:
            file.rename(folder / file.name)
        (folder / "job.json").write_text(self.job.to_json())
        reading, self.pipe = os.pipe()
        self.child = subprocess.Popen(
            [*command.arguments, str(folder / "job.json")],
            env={**os.environ, **command.environment},
            stdin=reading,
            stdout=subprocess.PIPE,
        )
        os.close(reading)
        while self.event().get("step") != 2:
            pass

    def event(self) -> dict[str, Any]:
        assert self.child.stdout is not None
        line: dict[str, Any] = json.loads(self.child.stdout.readline())
        return line

    def seconds(self) -> float:
        """On a processor, so far."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(params=["native", "python"])
def waiting(request: pytest.FixtureRequest, artifact: Artifact, small_files: None, tmp_path: Path) -> Any:
    command = Command("native", (str(runner()),), {}) if request.param == "native" else python_command()
    made = Waiting(artifact, command, tmp_path)
    yield made
    made.child.kill()
    made.child.communicate()


def test_a_trainer_waits_for_batches_and_for_what_happens(waiting: Waiting, tmp_path: Path) -> None:
    before = waiting.seconds()
    time.sleep(0.5)
    assert waiting.seconds() - before < 0.2
    first, _ = waiting.later
    (tmp_path / first.name).rename(first)
    os.write(waiting.pipe, b".")
    assert waiting.event()["step"] == 3
    waiting.child.send_signal(signal.SIGTERM)
    assert waiting.event() == {"event": "stopped", "step": 4, "reason": "SIGTERM"}
    assert waiting.child.wait() == STOPPED and read_progress(tmp_path / CHECKPOINT).step == 4
    os.close(waiting.pipe)


def test_a_trainer_leaves_no_names_and_takes_no_huge_pages(waiting: Waiting, tmp_path: Path) -> None:
    """And the native one maps no batches: a fault in a mapped file brings all that is cached in one piece."""
    assert list((tmp_path / "batches").iterdir()) == []
    process = Path(f"/proc/{waiting.child.pid}")
    assert "THP_enabled:\t0\n" in (process / "status").read_text()
    if waiting.is_native:
        assert str(tmp_path / "batches") not in (process / "maps").read_text()
    # What it has not opened is read as before.
    first, _ = waiting.later
    (tmp_path / first.name).rename(first)
    os.write(waiting.pipe, b".")
    assert waiting.event()["step"] == 3
    assert not first.exists()
    os.close(waiting.pipe)


def test_a_trainer_whose_parent_died_saves_and_ends(waiting: Waiting, tmp_path: Path) -> None:
    os.close(waiting.pipe)
    assert waiting.event() == {"event": "stopped", "step": 3, "reason": NOBODY_WRITES}
    assert waiting.child.wait() == STOPPED
    progress = read_progress(tmp_path / CHECKPOINT)
    order = list(shuffled(20, 0, 0))
    third = [number for number in order if number % 3][2]
    assert (progress.step, progress.position) == (3, order.index(third) + 1)


def test_a_feed_that_is_stopped_ends(artifact: Artifact, small_files: None, tmp_path: Path) -> None:
    job = Job.of(artifact, tmp_path, steps=10**9, streamed=True)
    writer = Feed(job, training_data(artifact, EXAMPLES))
    reading, writing = os.pipe()
    with writer.running(writing, lambda: None):
        assert os.read(reading, 1) == b"."
    while os.read(reading, 100):
        pass
    os.close(reading)
    assert writer.error is None and len(list((tmp_path / "batches").iterdir())) <= feed.FILES_AHEAD
