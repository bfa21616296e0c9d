"""lowpeak-runner beside the Python worker: the same losses, adapters, checkpoints, events and refusals."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import resource
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lowpeak import compile_for_device
from lowpeak_artifact.artifact import MANIFEST, Artifact
from lowpeak_artifact.errors import ArtifactError, DataError, EnvironmentProblem
from lowpeak_runtime.data.prepare import training_data
from lowpeak_runtime.train.checkpoint import (
    CHECKPOINT,
    PREVIOUS,
    newest_whole,
    read_progress,
    require_same_run,
)
from lowpeak_runtime.train.command import Engine
from lowpeak_runtime.train.feed import write_batches
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.stop import STOPPED
from lowpeak_runtime.train.supervisor import StepReport
from lowpeak_runtime.train.trainer import train
from tests.children import RUNNER, child_of_this_process
from tests.native.runner import Runner, use_runner
from tests.runtime_py.trainable import (
    eager_model,
    mean_over_labels,
    several_batches,
    trainable_artifact,
    trainable_step,
)
from tests.tiny import TinyStep

STEPS = 12
KILLS = 50
ENGINES: tuple[Engine, Engine] = ("python", "native")
ADAMW = OptimizerOptions(learning_rate=5e-3)
OPTIONS = {
    "adamw": ADAMW,
    "adamw with all": OptimizerOptions(
        learning_rate=5e-3,
        weight_decay=0.1,
        clip_norm=0.5,
        warmup_steps=3,
        schedule="cosine",
        betas=(0.4, 0.9),
    ),
    "sgd": OptimizerOptions(algorithm="sgd", learning_rate=0.5),
    "sgd with all": OptimizerOptions(
        algorithm="sgd", learning_rate=0.5, momentum=0.9, weight_decay=0.01, clip_norm=0.3, schedule="cosine"
    ),
}


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return trainable_step(rows=10)


@pytest.fixture(scope="module")
def artifact(tiny: TinyStep, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trainable_artifact(tmp_path_factory.mktemp("runner") / "artifact", tiny)


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """`train` finds the runner."""
    use_runner(monkeypatch)


def job_of(tiny: TinyStep, artifact: Artifact, folder: Path, **changes: Any) -> Job:
    """A job with its batches, as `train` makes it; it keeps a checkpoint in the folder."""
    job = Job.of(artifact, folder, steps=STEPS, optimizer=ADAMW, checkpoint=folder / CHECKPOINT)
    job = dataclasses.replace(job, **changes)
    save_batches(tiny, artifact, job)
    return job


def batch_bytes(job: Job) -> int:
    return sum(file.stat().st_size for file in Path(job.batches).iterdir())


def save_batches(tiny: TinyStep, artifact: Artifact, job: Job) -> None:
    data = training_data(artifact, several_batches(tiny.spec, 4))
    shutil.rmtree(job.batches, ignore_errors=True)
    write_batches(dataclasses.replace(job, position=job.first_step * job.accumulate), data)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_trains_as_the_python_worker(
    tiny: TinyStep,
    artifact: Artifact,
    options: OptimizerOptions,
    tmp_path: Path,
) -> None:
    data = several_batches(tiny.spec, 4)
    python, native = (
        train(artifact, data, steps=STEPS, optimizer=options, out=tmp_path / engine, engine=engine)
        for engine in ENGINES
    )
    assert (python.engine, native.engine) == ENGINES
    assert native.losses == pytest.approx(python.losses, abs=1e-6)
    expected, actual = (load_file(tmp_path / who / CHECKPOINT) for who in ("python", "native"))
    assert list(actual) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name], tensor, rtol=0, atol=1e-6)
    if options is OPTIONS["sgd"]:
        first, second = ((tmp_path / who / CHECKPOINT).read_bytes() for who in ("python", "native"))
        assert first == second


def test_accumulated_gradients_are_those_of_all_batches(
    tiny: TinyStep, artifact: Artifact, tmp_path: Path
) -> None:
    options = OptimizerOptions(algorithm="sgd", learning_rate=0.5, momentum=0.5, clip_norm=0.5)
    ended = Runner().run(job_of(tiny, artifact, tmp_path, accumulate=3, optimizer=options), tmp_path)
    model = eager_model(tiny)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.5, momentum=0.5)
    batches, losses = several_batches(tiny.spec, 4), []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = mean_over_labels(model, [batches[(3 * step + i) % 4] for i in range(3)])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 0.5)
        optimizer.step()
        losses.append(loss.item())
    assert ended.losses == pytest.approx(losses, abs=1e-4)


def test_resumes_bit_for_bit(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    data = several_batches(tiny.spec, 4)
    straight = train(artifact, data, steps=STEPS, optimizer=ADAMW, out=tmp_path / "straight")
    first = train(artifact, data, steps=5, optimizer=ADAMW, out=tmp_path / "two")
    second = train(artifact, data, steps=STEPS, optimizer=ADAMW, out=tmp_path / "two", resume=True)
    assert first.losses + second.losses == straight.losses
    checkpoints = [(tmp_path / name / CHECKPOINT).read_bytes() for name in ("straight", "two")]
    assert checkpoints[0] == checkpoints[1]
    # Nothing else is left, whatever was mapped meanwhile.
    assert sorted(entry.name for entry in (tmp_path / "two").iterdir()) == ["adapter", PREVIOUS, CHECKPOINT]


@pytest.mark.parametrize("first, second", [ENGINES, ENGINES[::-1]])
def test_one_continues_what_the_other_began(
    tiny: TinyStep, artifact: Artifact, first: Engine, second: Engine, tmp_path: Path
) -> None:
    options = dataclasses.replace(OPTIONS["adamw with all"], schedule="constant")
    data = several_batches(tiny.spec, 4)
    straight = train(artifact, data, steps=STEPS, optimizer=options, engine="native")
    train(artifact, data, steps=5, optimizer=options, out=tmp_path, engine=first)
    report = train(artifact, data, steps=STEPS, optimizer=options, out=tmp_path, resume=True, engine=second)
    assert report.losses == pytest.approx(straight.losses[5:], abs=1e-6)


@pytest.mark.thorough
def test_killed_at_50_random_moments_and_resumed(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    steps = 3000
    (tmp_path / "straight").mkdir()
    straight = job_of(tiny, artifact, tmp_path / "straight", total_steps=steps)
    losses = dict(enumerate(Runner().run(straight, tmp_path).losses))
    job = job_of(tiny, artifact, tmp_path, total_steps=steps, checkpoint_every=3)
    moments, kills = random.Random(5), 0
    while True:
        newest = newest_whole(tmp_path)
        if newest is not None:
            job = job.continued(read_progress(newest))
            save_batches(tiny, artifact, job)
        (tmp_path / "job.json").write_text(job.to_json())
        with Runner().start(tmp_path / "job.json") as child:
            if kills < KILLS:
                time.sleep(moments.uniform(0, 0.12))
                child.kill()
                kills += 1
            out, _ = child.communicate()
        for line in out.decode().splitlines(keepends=True):
            event = json.loads(line) if line.endswith("\n") else {}
            if event.get("event") == "step":
                assert losses[event["step"]] == event["loss"]
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL
    assert kills == KILLS and event == {"event": "done", "step": steps}
    assert Path(job.checkpoint).read_bytes() == Path(straight.checkpoint).read_bytes()


class Root(torch.nn.Module):
    """Its loss is 0 at first, and has no derivative there."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.weight * x).pow(2).sum().sqrt()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_gradient_that_is_not_finite_spoils_nothing(engine: Engine, tmp_path: Path) -> None:
    artifact = compile_for_device(Root(), 100, example_batch={"x": torch.ones(4)}, quantization="none")
    with pytest.raises(DataError, match="the gradient is not finite at step 0"):
        train(artifact, steps=1, out=tmp_path / "out", engine=engine)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_between_steps(
    tiny: TinyStep, artifact: Artifact, number: signal.Signals, tmp_path: Path
) -> None:
    job = job_of(tiny, artifact, tmp_path, total_steps=20_000)
    (tmp_path / "job.json").write_text(job.to_json())
    with Runner().start(tmp_path / "job.json") as child:
        assert child.stdout is not None
        for line in child.stdout:
            if json.loads(line).get("step") == 2:
                child.send_signal(number)
            last = json.loads(line)
    assert child.returncode == STOPPED
    assert last == {"event": "stopped", "step": last["step"], "reason": number.name}
    assert read_progress(tmp_path / CHECKPOINT).step == last["step"] < 20_000


def test_stops_when_nobody_reads(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    job = job_of(tiny, artifact, tmp_path, total_steps=20_000)
    (tmp_path / "job.json").write_text(job.to_json())
    with Runner().start(tmp_path / "job.json") as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.wait() == STOPPED
    assert read_progress(tmp_path / CHECKPOINT).step < 20_000


def test_stops_under_memory_pressure(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    pressure = tmp_path / "pressure"
    pressure.write_text("some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00\n")
    job, flags = job_of(tiny, artifact, tmp_path), ["--pressure-file", str(pressure), "--pressure-limit"]
    assert Runner([*flags, "12"]).run(job, tmp_path).last == {
        "event": "stopped",
        "step": 0,
        "reason": "memory pressure: tasks waited for memory in 12.5 % of the last 10 seconds, the limit is "
        "12.0 %",
    }
    missing = ["--pressure-file", str(tmp_path / "nothing"), "--pressure-limit", "0"]
    assert Runner(missing).run(job, tmp_path).last["event"] == "done"
    (tmp_path / CHECKPOINT).unlink()
    assert Runner([*flags, "12.5"]).run(job, tmp_path).last == {"event": "done", "step": STEPS}


def test_stops_at_the_budget(tiny: TinyStep, tmp_path: Path) -> None:
    artifact = trainable_artifact(tmp_path / "artifact", tiny)
    bucket = artifact.manifest.largest
    small = dataclasses.replace(bucket.plan, budget_bytes=1000, planned_anonymous_bytes=1001)
    bucket = dataclasses.replace(bucket, plan=small)
    manifest = dataclasses.replace(artifact.manifest, buckets=[bucket])
    (artifact.path / MANIFEST).write_text(manifest.to_json())
    job = dataclasses.replace(job_of(tiny, artifact, tmp_path), expect=None)
    last = Runner().run(job, tmp_path).last
    assert (last["event"], last["step"]) == ("stopped", 0)
    assert last["reason"].startswith("memory budget: the next step needs ")
    assert last["reason"].endswith(" bytes of anonymous memory, the budget is 1000")


def test_metrics(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    ended = Runner(["--metrics"]).run(job_of(tiny, artifact, tmp_path), tmp_path)
    ready, *steps, done = ended.events
    assert ended.returncode == 0 and not ended.stderr
    assert list(ready) == ["event", "rss_bytes", "anonymous_bytes", "file_bytes"]
    assert [event["step"] for event in steps] == list(range(STEPS)) and done["event"] == "done"
    plan = artifact.manifest.largest.plan
    for event in steps:
        assert event["tokens_per_second"] == pytest.approx(12 / event["seconds"])
        assert event["planned_peak_bytes"] == plan.planned_peak_bytes
        assert plan.arena_bytes < event["peak_anonymous_bytes"] < plan.arena_bytes + 4_000_000
        assert event["anonymous_bytes"] < event["rss_bytes"] <= event["peak_rss_bytes"]


@pytest.mark.thorough
def test_a_long_run_holds_no_more_than_a_short_one(
    tiny: TinyStep, artifact: Artifact, tmp_path: Path
) -> None:
    job = job_of(tiny, artifact, tmp_path, accumulate=1000)
    first, *_, last = (
        event for event in Runner(["--metrics"]).run(job, tmp_path).events if event["event"] == "step"
    )
    assert last["rss_bytes"] - first["rss_bytes"] < 500_000 < batch_bytes(job) - 1_000_000


def test_a_full_disk_leaves_the_earlier_checkpoint(
    tiny: TinyStep, artifact: Artifact, tmp_path: Path
) -> None:
    def limit() -> None:
        # Room for the optimizer's state, not for a checkpoint, which is found out before the first step.
        resource.setrlimit(resource.RLIMIT_FSIZE, (size * 3 // 4, size * 3 // 4))

    job = job_of(tiny, artifact, tmp_path)
    Runner().run(job, tmp_path)
    before, size = Path(job.checkpoint).read_bytes(), os.path.getsize(job.checkpoint)
    longer = dataclasses.replace(job, first_step=STEPS, total_steps=STEPS + 4)
    save_batches(tiny, artifact, longer)
    ended = Runner(preexec=limit).run(longer, tmp_path)
    assert ended.returncode == 1 and ended.losses == []
    assert ended.last["class"] == "EnvironmentProblem"
    assert f"cannot be written to {tmp_path}: File too large" in ended.last["message"]
    assert ended.last["numbers"]["free_bytes"] > ended.last["numbers"]["needed_bytes"] > size
    assert Path(job.checkpoint).read_bytes() == before
    assert not list(tmp_path.glob(".*.tmp"))

    def less() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 3, size // 3))

    message = Runner(preexec=less).run(longer, tmp_path).last["message"]
    assert message.startswith("the optimizer's state of ") and "free" in message
    missing = dataclasses.replace(job, checkpoint=str(tmp_path / "nothing" / CHECKPOINT))
    assert "cannot be opened: No such file" in Runner().run(missing, tmp_path).last["message"]


def truncated(path: Path) -> None:
    (path / "weights.ptd").write_bytes((path / "weights.ptd").read_bytes()[:-5])


def altered(path: Path) -> None:
    content = bytearray((path / "weights.ptd").read_bytes())
    content[-1] ^= 1
    (path / "weights.ptd").write_bytes(content)


def linked_outside(path: Path) -> None:
    (path / "plan.csv").rename(path.parent / "outside.csv")
    (path / "plan.csv").symlink_to(path.parent / "outside.csv")


def relisted(path: Path, name: str, listed: dict[str, Any] | None) -> None:
    raw = json.loads((path / MANIFEST).read_text())
    raw["files"].pop(name, None)
    if listed:
        raw["files"][name] = listed
    (path / MANIFEST).write_text(json.dumps(raw))


DAMAGES = {
    "truncated": truncated,
    "altered": altered,
    "linked outside": linked_outside,
    "missing": lambda path: (path / "graph.json").unlink(),
    "not listed": lambda path: relisted(path, "plan.csv", None),
    "outside": lambda path: relisted(path, "../it's", {"sha256": "0" * 64, "bytes": 1}),
    "no manifest": lambda path: (path / MANIFEST).unlink(),
    "another version": lambda path: (path / MANIFEST).write_text('{"schema_version": 99}'),
    "no object": lambda path: (path / MANIFEST).write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_artifacts_are_refused_in_the_same_words(tiny: TinyStep, damage: str, tmp_path: Path) -> None:
    artifact = trainable_artifact(tmp_path / "artifact", tiny)
    job = job_of(tiny, artifact, tmp_path)
    DAMAGES[damage](artifact.path)
    with pytest.raises(ArtifactError) as problem:
        Artifact.open(artifact.path)
    ended = Runner().run(dataclasses.replace(job, expect=None), tmp_path)
    assert ended.returncode == 1 and not ended.losses
    numbers = problem.value.numbers
    assert ended.last == {
        "event": "error", "class": "ArtifactError", "message": str(problem.value), "numbers": numbers,
    }  # fmt: skip


def test_a_manifest_of_nonsense(tiny: TinyStep, tmp_path: Path) -> None:
    artifact = trainable_artifact(tmp_path / "artifact", tiny)
    job = dataclasses.replace(job_of(tiny, artifact, tmp_path), expect=None)
    raw = json.loads((artifact.path / MANIFEST).read_text())

    def changed(**fields: Any) -> str:
        return json.dumps({**raw, "buckets": [{**raw["buckets"][0], **fields}]})

    for text, expected in (
        ("{", "manifest.json is not JSON"),
        ("[" * 100_000, "manifest.json is not JSON"),
        (changed(inputs=3), "manifest.buckets[0].inputs should be a list, it is an integer"),
        (changed(plan={}), "manifest.buckets[0].plan should have the field budget_bytes"),
        (json.dumps({**raw, "buckets": []}), "there is no bucket"),
        (json.dumps({**raw, "target": "onnxruntime"}), "it was compiled for onnxruntime"),
        (
            json.dumps({**raw, "parameters": raw["parameters"][:-1]}),
            "gives 57 outputs",
        ),
        (
            changed(inputs=raw["buckets"][0]["inputs"][:-1]),
            "takes 3 inputs",
        ),
        (changed(inputs=[{"name": "x", "shape": [2**40, 2**40], "dtype": "float32"}]), "x has shape"),
        ('{"schema_version": [1]}', "schema version array"),
        ('{"schema_version": ' + "[" * 100_000 + "]" * 100_000 + "}", "it is nested too deeply"),
    ):
        (artifact.path / MANIFEST).write_text(text)
        assert expected in Runner().run(job, tmp_path).last["message"]


def test_a_job_of_more_batches_than_can_be_counted(
    tiny: TinyStep, artifact: Artifact, tmp_path: Path
) -> None:
    job = job_of(tiny, artifact, tmp_path)
    last = Runner().run(dataclasses.replace(job, total_steps=2**62, accumulate=4), tmp_path).last
    assert last["class"] == "ValueError" and "more batches than can be counted" in last["message"]


def test_a_program_that_the_runtime_refuses(tiny: TinyStep, tmp_path: Path) -> None:
    artifact = trainable_artifact(tmp_path / "artifact", tiny)
    job = job_of(tiny, artifact, tmp_path)
    content = bytearray((artifact.path / "program.pte").read_bytes())
    content[4:8] = b"none"
    (artifact.path / "program.pte").write_bytes(content)
    ended = Runner(["--no-verify"]).run(job, tmp_path)
    assert ended.last["class"] == "ArtifactError" and not ended.stderr
    assert ended.last["message"].startswith(f"{artifact.path}/program.pte is damaged or no program of ")


def test_checkpoints_of_another_run_are_refused_in_the_same_words(
    tiny: TinyStep, artifact: Artifact, tmp_path: Path
) -> None:
    job = job_of(tiny, artifact, tmp_path)
    Runner().run(job, tmp_path)
    again = dataclasses.replace(job, first_step=STEPS, total_steps=STEPS + 1)
    save_batches(tiny, artifact, dataclasses.replace(again, first_step=STEPS - 1))

    def message(job: Job) -> str:
        ended = Runner().run(job, tmp_path)
        assert ended.returncode == 1 and ended.last["class"] == "ArtifactError"
        return ended.last["message"]

    other = trainable_artifact(tmp_path / "other", tiny, model_name="other")
    for changed, artifact_of in (
        (dataclasses.replace(again, seed=1), artifact),
        (dataclasses.replace(again, optimizer=OPTIONS["adamw with all"]), artifact),
        (dataclasses.replace(again, optimizer=OptimizerOptions(learning_rate=1e-5, clip_norm=2.0)), artifact),
        (dataclasses.replace(again, artifact=str(other.path), expect=None), other),
        (dataclasses.replace(again, data="f" * 64), artifact),
    ):
        progress = read_progress(tmp_path / CHECKPOINT)
        wanted = changed.progress(artifact_of.manifest, STEPS, STEPS)
        with pytest.raises(ArtifactError) as problem:
            require_same_run(tmp_path / CHECKPOINT, progress, wanted)
        assert message(changed) == str(problem.value)
    assert "has moved to step 12: another process trains there" in message(
        dataclasses.replace(again, first_step=STEPS - 1, total_steps=STEPS)
    )
    content = (tmp_path / CHECKPOINT).read_bytes()
    for damaged in (content[:-1], content[:100], b"", b"\xff" * 16):
        (tmp_path / CHECKPOINT).write_bytes(damaged)
        assert "is damaged (" in message(again)
    save_file({"adapter.x": torch.zeros(1)}, tmp_path / CHECKPOINT)
    assert "is damaged (it does not begin as a checkpoint)" in message(again)


def test_one_process_trains_into_a_folder(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    job = job_of(tiny, artifact, tmp_path, total_steps=20_000)
    (tmp_path / "job.json").write_text(job.to_json())
    with Runner().start(tmp_path / "job.json") as child:
        assert child.stdout is not None
        while json.loads(child.stdout.readline())["event"] != "step":
            pass
        reader = threading.Thread(target=child.stdout.read)
        reader.start()
        last = Runner().run(job, tmp_path).last
        child.terminate()
        reader.join()
    assert last["class"] == "ArtifactError"
    assert re.match(
        rf"another process \(process \d+\) still trains into {tmp_path}: wait for its end", last["message"]
    )


def test_batches_and_options_that_do_not_fit(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    job = job_of(tiny, artifact, tmp_path)
    (file,) = Path(job.batches).iterdir()
    batches = load_file(file)
    name = artifact.manifest.largest.inputs[0].name
    shape, key, chosen = artifact.manifest.largest.inputs[0].shape, f"0.{name}", batches["buckets"]
    for changed, expected in (
        (
            {other: value for other, value in batches.items() if other != key},
            f"needs the input {name}, int64",
        ),
        ({**batches, key: batches[key].int()}, f"must be int64 {shape}, it is int32 {shape}"),
        (
            {**batches, key: batches[key][:3].clone()},
            f"has 3 batches of {name}, by its buckets it should have 12",
        ),
        ({**batches, "buckets": chosen[:3].clone()}, "has 3 buckets, by its name it should have 12"),
        ({**batches, "ends": batches["ends"][:3].clone()}, "has 3 ends, by its name it should have 12"),
        ({**batches, "buckets": chosen + 1}, "batch 0 is of bucket 1, the artifact has 1"),
        ({**batches, "buckets": chosen.int()}, "have no buckets: int64 [batches]"),
    ):
        save_file(changed, file)
        last = Runner().run(job, tmp_path).last
        assert last["class"] == "DataError" and expected in last["message"]
    raw = json.loads(job.to_json())
    for field, value, expected in (
        ("total_steps", 0, "total_steps must be positive, not 0"),
        ("seed", "x", "the job: job.seed should be an integer, it is a string"),
        (
            "optimizer",
            {**raw["optimizer"], "learning_rate": -0.1},
            "learning_rate must be positive, not -0.1",
        ),
        (
            "optimizer",
            {**raw["optimizer"], "algorithm": "adam"},
            "algorithm must be adamw or sgd, not 'adam'",
        ),
        ("optimizer", {**raw["optimizer"], "betas": [0.9, 1.0]}, "must be in [0, 1): (0.9, 1.0), 0.0"),
    ):
        (tmp_path / "job.json").write_text(json.dumps({**raw, field: value}))
        with Runner().start(tmp_path / "job.json") as child:
            event = json.loads(child.communicate()[0])
        assert event["class"] == "ValueError" and expected in event["message"]


def test_a_job_of_nonsense(tmp_path: Path) -> None:
    for text, expected in (
        ("{", "the job is not JSON"),
        ("[]", "the job: job should be an object, it is a list"),
        ("{}", "the job: job should have the field artifact"),
        ('{"artifact": 3}', "the job: job.artifact should be a string, it is an integer"),
    ):
        (tmp_path / "job.json").write_text(text)
        with Runner().start(tmp_path / "job.json") as child:
            event = json.loads(child.communicate()[0])
        assert child.returncode == 1
        assert event["class"] == "ValueError" and expected in event["message"]


def test_diverging_training_is_an_error_with_numbers(
    tiny: TinyStep, artifact: Artifact, tmp_path: Path
) -> None:
    wild = OptimizerOptions(algorithm="sgd", learning_rate=1e30)
    last = Runner().run(job_of(tiny, artifact, tmp_path, optimizer=wild), tmp_path).last
    assert last["class"] == "DataError" and "lower learning rate" in last["message"]
    assert 0 < last["numbers"]["step"] < STEPS


def test_the_command_line(tmp_path: Path) -> None:
    for flags, expected in (
        (["--ops-library"], "--ops-library needs a value"),
        (["--wrong"], "what is --wrong?"),
        (["--pressure-limit", "much"], "is a number of percent, not much"),
    ):
        with Runner(flags).start(tmp_path / "job.json") as child:
            _, err = child.communicate()
        assert child.returncode == 2 and expected in err.decode() and "usage" in err.decode()
    with Runner(["--ops-library", str(tmp_path / "no.so")]).start(tmp_path / "job.json") as child:
        event = json.loads(child.communicate()[0])
    assert event["class"] == "EnvironmentProblem" and "no.so cannot be loaded" in event["message"]
    with Runner().start(tmp_path / "no.json") as child:
        out = child.communicate()[0].decode().splitlines()
    assert "no.json cannot be read: No such file or directory" in json.loads(out[-1])["message"]


def test_a_killed_runner_is_told_as_such(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    def kill(step: StepReport) -> None:
        # Steps that it told of before are reported after its end.
        if step.step == 0:
            os.kill(child_of_this_process(RUNNER), signal.SIGKILL)

    with pytest.raises(EnvironmentProblem, match="killed"):
        train(artifact, several_batches(tiny.spec, 4), steps=20_000, out=tmp_path, on_step=kill)
