"""Both engines write two generations of a checkpoint, and go on from the newest whole one, bit for bit."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from lowpeak_artifact.artifact import MANIFEST, Artifact
from lowpeak_artifact.errors import ArtifactError, DataError
from lowpeak_runtime.train.checkpoint import CHECKPOINT, PREVIOUS, newest_whole, read_progress
from lowpeak_runtime.train.checkpoint_tensors import save_checkpoint
from lowpeak_runtime.train.command import Engine
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.session import BATCHES, Job
from lowpeak_runtime.train.trainer import TrainReport, prepare, train
from tests.native.runner import Ended, Runner, runner, use_runner
from tests.runtime_py.test_generations import with_options_as_text
from tests.runtime_py.trainable import several_batches, trainable_artifact, trainable_step
from tests.tiny import TinyStep

OPTIONS = OptimizerOptions(learning_rate=5e-3)
STEPS = 12


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return trainable_step()


@pytest.fixture(scope="module")
def artifact(tiny: TinyStep, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trainable_artifact(tmp_path_factory.mktemp("checkpoints") / "artifact", tiny)


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    use_runner(monkeypatch)


@pytest.fixture(params=[pytest.param("python", marks=pytest.mark.thorough), "native"])
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.param
    return chosen


def trained(tiny: TinyStep, artifact: Artifact, out: Path, steps: int, **options: Any) -> TrainReport:
    data = several_batches(tiny.spec, 4)
    settings = {"optimizer": OPTIONS, "checkpoint_every": 4, "resume": True, **options}
    return train(artifact, data, steps=steps, out=out, **settings)


def flipped(out: Path) -> None:
    content = bytearray((out / CHECKPOINT).read_bytes())
    content[-5] ^= 4
    (out / CHECKPOINT).write_bytes(content)


def truncated(out: Path) -> None:
    (out / CHECKPOINT).write_bytes((out / CHECKPOINT).read_bytes()[:1000])


def between_the_renames(out: Path) -> None:
    """As a kill there leaves it: the newest has the name of the one before."""
    (out / CHECKPOINT).replace(out / PREVIOUS)


def swapped(out: Path) -> None:
    (out / CHECKPOINT).rename(out / "aside")
    (out / PREVIOUS).rename(out / CHECKPOINT)
    (out / "aside").rename(out / PREVIOUS)


@pytest.mark.parametrize(
    ("damage", "begun", "words"),
    [
        (flipped, 4, "is damaged (its bytes do not give its checksum)"),
        (truncated, 4, "is damaged (it has 1000 bytes, "),
        (between_the_renames, 8, "as a process ended while it replaced it"),
        (swapped, 8, f"has fewer steps than {PREVIOUS}"),
    ],
)
def test_a_run_goes_on_from_the_one_before(
    damage: Callable[[Path], None],
    begun: int,
    words: str,
    tiny: TinyStep,
    artifact: Artifact,
    engine: Engine,
    tmp_path: Path,
) -> None:
    straight = trained(tiny, artifact, tmp_path / "straight", STEPS, engine=engine)
    out, told = tmp_path / "run", list[str]()
    trained(tiny, artifact, out, 8, engine=engine)
    assert [read_progress(out / name).step for name in (PREVIOUS, CHECKPOINT)] == [4, 8]
    damage(out)
    report = trained(tiny, artifact, out, STEPS, engine=engine, tell=told.append)
    assert (report.start_step, report.losses) == (begun, straight.losses[begun:])
    assert (out / CHECKPOINT).read_bytes() == (tmp_path / "straight" / CHECKPOINT).read_bytes()
    of_it = [note for note in told if CHECKPOINT in note]
    assert len(of_it) == 1 and words in of_it[0]
    assert of_it[0].endswith(f": {PREVIOUS} is used, with {begun} steps")
    # The damaged one has pushed out none that is whole.
    progress = {read_progress(out / name).step for name in (PREVIOUS, CHECKPOINT)}
    assert progress == {8, STEPS}


def test_a_run_goes_on_from_one_of_an_earlier_version(
    tiny: TinyStep, artifact: Artifact, engine: Engine, tmp_path: Path
) -> None:
    straight = trained(tiny, artifact, tmp_path / "straight", STEPS, engine=engine)
    out = tmp_path / "run"
    trained(tiny, artifact, out, 8, engine=engine)
    text = json.dumps({**dataclasses.asdict(OPTIONS), "accumulate": 1}, sort_keys=True)
    (out / CHECKPOINT).write_bytes(with_options_as_text((out / CHECKPOINT).read_bytes(), text))
    with pytest.raises(ArtifactError, match=r"with learning_rate 0\.005, now it is 0\.1: a resumed run"):
        trained(tiny, artifact, out, STEPS, engine=engine, optimizer=OptimizerOptions(learning_rate=0.1))
    report = trained(tiny, artifact, out, STEPS, engine=engine)
    assert (report.start_step, report.losses) == (8, straight.losses[8:])
    assert (out / CHECKPOINT).read_bytes() == (tmp_path / "straight" / CHECKPOINT).read_bytes()


def test_both_damaged(tiny: TinyStep, artifact: Artifact, engine: Engine, tmp_path: Path) -> None:
    trained(tiny, artifact, tmp_path, 8, engine=engine)
    for name in (CHECKPOINT, PREVIOUS):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1])
    before = {file: file.read_bytes() for file in tmp_path.glob("*.safetensors")}
    with pytest.raises(ArtifactError, match=rf"{CHECKPOINT} is damaged .*{PREVIOUS} is damaged .* fsck"):
        trained(tiny, artifact, tmp_path, STEPS, engine=engine)
    assert {file: file.read_bytes() for file in tmp_path.glob("*.safetensors")} == before


def prepared(tiny: TinyStep, artifact: Artifact, folder: Path, every: int = 4) -> Job:
    """A run of 8 steps for the runner alone."""
    options = {"optimizer": OPTIONS, "out": folder, "checkpoint_every": every}
    job = Job.from_json(prepare(artifact, several_batches(tiny.spec, 4), steps=8, **options).job.read_text())
    return moved(
        dataclasses.replace(job, manifest=str(artifact.path / MANIFEST), artifact=str(artifact.path)), folder
    )


def moved(job: Job, folder: Path) -> Job:
    return dataclasses.replace(
        job, work=str(folder), batches=str(folder / BATCHES), checkpoint=str(folder / CHECKPOINT)
    )


def test_the_runner_sees_what_python_sees(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    """The same words of the same files, flipped bits and cuts all over them."""
    job = prepared(tiny, artifact, tmp_path)
    resumed = Runner(["--resume"])
    assert resumed.run(job, tmp_path).last["event"] == "done"
    whole = {name: (tmp_path / name).read_bytes() for name in (CHECKPOINT, PREVIOUS)}
    header = int.from_bytes(whole[CHECKPOINT][:8], "little")
    generator, seen = random.Random(3), set()
    places = [0, 7, 8, 12, 40, 110, 130, 8 + header - 1, 8 + header, len(whole[CHECKPOINT]) - 1]
    cuts = [0, 5, 8, 60, header, 8 + header, len(whole[CHECKPOINT]) - 1]
    for at in [*places, *(generator.randrange(8 + header) for _ in range(8)), *(-cut - 1 for cut in cuts)]:
        for name, content in whole.items():
            (tmp_path / name).write_bytes(content)
        changed = bytearray(whole[CHECKPOINT])
        if at >= 0:
            changed[at] ^= 1 << at % 8
        (tmp_path / CHECKPOINT).write_bytes(changed if at >= 0 else changed[: -at - 1])
        told: list[str] = []
        newest = newest_whole(tmp_path, told.append)
        assert newest == tmp_path / PREVIOUS
        ended = resumed.run(job, tmp_path)
        assert ended.last == {"event": "done", "step": 8}
        notes = [event["note"] for event in ended.events if event["event"] == "note"]
        assert len(ended.losses) == 4
        assert [words.partition(" (")[0] for words in told] == [
            words.partition(" (")[0] for words in notes if CHECKPOINT in words
        ]
        assert (tmp_path / CHECKPOINT).read_bytes() == whole[CHECKPOINT]
        seen.update(words.partition(" (")[2].partition(" ")[0] for words in told)
    assert {"it", "its"} <= seen


KILLER = """
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
static void count(void) {
  static int calls = 0;
  if (++calls == atoi(getenv("KILL_AT"))) raise(SIGKILL);
}
int fsync(int fd) { count(); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd); }
int unlink(const char* name) { count(); return ((int (*)(const char*))dlsym(RTLD_NEXT, "unlink"))(name); }
int rename(const char* from, const char* to) {
  count();
  return ((int (*)(const char*, const char*))dlsym(RTLD_NEXT, "rename"))(from, to);
}
"""


FULL = """
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
ssize_t write(int fd, const void* data, size_t size) {
  struct stat file;
  fstat(fd, &file);
  // What is told goes through a pipe.
  if (S_ISREG(file.st_mode) && access(getenv("FULL_WHILE_THERE_IS"), F_OK) == 0) return errno = ENOSPC, -1;
  return ((ssize_t (*)(int, const void*, size_t))dlsym(RTLD_NEXT, "write"))(fd, data, size);
}
"""


def compiled(folder: Path, source: str) -> Path:
    """A library for `preloading`."""
    (folder / "calls.c").write_text(source)
    command = ["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "calls.c", "-o", "calls.so", "-ldl"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "calls.so"


def preloading(library: Path, variable: str, flags: Sequence[str] = ()) -> Runner:
    # The sanitizers' library is there, but not first.
    variables = (f"LD_PRELOAD={library}", variable, "ASAN_OPTIONS=verify_asan_link_order=0")
    return Runner(flags, command=["env", *variables, str(runner())])


def test_a_full_disk_takes_the_generation_before(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    """Every checkpoint from the third on finds no room while there is one before."""
    (tmp_path / "straight").mkdir()
    straight = prepared(tiny, artifact, tmp_path / "straight", every=1)
    assert Runner().run(straight, tmp_path).last["event"] == "done"
    out = Path(shutil.copytree(tmp_path / "straight", tmp_path / "out"))
    for name in (CHECKPOINT, PREVIOUS):
        (out / name).unlink()
    full = preloading(compiled(tmp_path, FULL), f"FULL_WHILE_THERE_IS={out / PREVIOUS}")
    ended = full.run(moved(straight, out), tmp_path)
    assert ended.last == {"event": "done", "step": 8}
    for name in (CHECKPOINT, PREVIOUS):
        assert (out / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_the_runner_killed_before_any_call_of_the_system(
    tiny: TinyStep, artifact: Artifact, tmp_path: Path
) -> None:
    """Also between the two renames of a checkpoint: no step that was told of is lost."""
    library = compiled(tmp_path, KILLER)
    (tmp_path / "straight").mkdir()
    straight = prepared(tiny, artifact, tmp_path / "straight", every=1)
    assert Runner().run(straight, tmp_path).last["event"] == "done"
    seen = set()
    for at in range(1, 18):
        folder = Path(shutil.copytree(tmp_path / "straight", tmp_path / str(at)))
        for name in (CHECKPOINT, PREVIOUS):
            (folder / name).unlink()
        job = moved(straight, folder)
        ended = preloading(library, f"KILL_AT={at}").run(job, folder)
        assert ended.returncode == -signal.SIGKILL
        newest = newest_whole(folder)
        kept = 0 if newest is None else read_progress(newest).step
        assert kept >= len(ended.losses), at
        seen.add((folder / CHECKPOINT).exists())
        assert Runner(["--resume"]).run(job, folder).last == {"event": "done", "step": 8}
        assert (folder / CHECKPOINT).read_bytes() == (tmp_path / "straight" / CHECKPOINT).read_bytes()
    assert seen == {True, False}


def test_a_link_in_place_of_a_temporary_file(
    tiny: TinyStep, artifact: Artifact, engine: Engine, tmp_path: Path
) -> None:
    out, other = tmp_path / "run", tmp_path / "other"
    out.mkdir()
    other.write_text("private")
    (out / f".{CHECKPOINT}.tmp").symlink_to(other)
    trained(tiny, artifact, out, 2, engine=engine)
    assert other.read_text() == "private"
    assert sorted(entry.name for entry in out.iterdir()) == ["adapter", CHECKPOINT]


def spoil(out: Path, artifact: Artifact) -> str:
    """Gives the checkpoint, whose checksum is right, a state whose next update is infinite -> the tensor."""
    path, name = out / CHECKPOINT, artifact.manifest.parameters[0].name
    tensors = load_file(path)
    tensors[f"optimizer.exp_avg.{name}"].flatten()[0] = 3e38
    adapter, state = (
        {key.removeprefix(start): tensor for key, tensor in tensors.items() if key.startswith(start)}
        for start in ("adapter.", "optimizer.")
    )
    save_checkpoint(path, read_progress(path), adapter, state)
    return name


def test_an_update_that_is_not_finite_replaces_no_checkpoint(
    tiny: TinyStep, artifact: Artifact, engine: Engine, tmp_path: Path
) -> None:
    trained(tiny, artifact, tmp_path, 4, engine=engine)
    name = spoil(tmp_path, artifact)
    before = {file: (tmp_path / file).read_bytes() for file in (CHECKPOINT, PREVIOUS)}
    with pytest.raises(DataError) as problem:
        trained(tiny, artifact, tmp_path, STEPS, engine=engine, checkpoint_every=1)
    assert str(problem.value).startswith(f"the update makes adapter.{name} infinite or NaN at step 4: ")
    assert problem.value.numbers == {"step": 4}
    assert {file: (tmp_path / file).read_bytes() for file in (CHECKPOINT, PREVIOUS)} == before


def test_other_types_and_progress_are_refused(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    """By the runner, of files whose checksums are right."""
    job = prepared(tiny, artifact, tmp_path)
    resumed = Runner(["--resume"])
    assert resumed.run(job, tmp_path).last["event"] == "done"
    (tmp_path / PREVIOUS).unlink()
    path = tmp_path / CHECKPOINT
    progress, tensors = read_progress(path), load_file(path)
    name = artifact.manifest.parameters[0].name

    def told(step: int = progress.step, **changes: Any) -> str:
        changed = {**tensors, **changes}
        adapter, state = (
            {key.removeprefix(start): tensor for key, tensor in changed.items() if key.startswith(start)}
            for start in ("adapter.", "optimizer.")
        )
        path.unlink(missing_ok=True)
        save_checkpoint(path, dataclasses.replace(progress, step=step), adapter, state)
        ended: Ended = resumed.run(job, tmp_path)
        assert ended.last["event"] == "error" and ended.last["class"] == "ArtifactError", ended.last
        message: str = ended.last["message"]
        return message

    half = tensors[f"adapter.{name}"].half()
    assert "and type F16, not [" in told(**{f"adapter.{name}": half})
    nan = tensors[f"adapter.{name}"] * float("nan")
    assert f"adapter.{name} holds values that are not finite" in told(**{f"adapter.{name}": nan})
    assert "its step is -3, which no run can have" in told(step=-3)
    assert "its step is 9007199254740992, which no run can have" in told(step=2**53)
    assert json.loads((tmp_path / "job.json").read_text())["total_steps"] == 8
