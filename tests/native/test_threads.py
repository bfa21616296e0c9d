"""On how many threads and which processors lowpeak-runner trains where some processors are slow."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lowpeak_artifact.artifact import Artifact
from lowpeak_export.executorch.library import OPS
from lowpeak_runtime.data.prepare import training_data
from lowpeak_runtime.train.checkpoint import CHECKPOINT, previous_of
from lowpeak_runtime.train.feed import write_batches
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.session import Job
from tests.native.build import SOURCES, build, run
from tests.native.runner import Ended, Runner, runner
from tests.runtime_py.trainable import several_batches, trainable_artifact, trainable_step
from tests.tiny import TinyStep

THREADS = "threads.json"
STEPS = 6

# Of phones: capacities as the kernel has them, clock rates in kHz.
PRIME, BIG, MIDDLE, LITTLE = 1024, 870, 620, 250


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """threads.cpp."""
    made = tmp_path_factory.mktemp("threads") / "threads"
    trainer = SOURCES / "trainer"
    parts = (trainer / f"{name}.cpp" for name in ("files", "processors", "thread_choice"))
    run(
        *("c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{SOURCES}", "-o", str(made)),
        *map(str, (Path(__file__).with_name("threads.cpp"), *parts)),
    )
    return made


def told(program: Path, *arguments: object) -> list[str]:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def machine(folder: Path, file: str, numbers: Mapping[int, int]) -> Path:
    """A folder like /sys/devices/system/cpu."""
    for processor, number in numbers.items():
        path = folder / f"cpu{processor}" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n")
    return folder


@pytest.mark.parametrize(
    ("capacities", "big"),
    [
        ([LITTLE] * 4 + [BIG] * 3 + [PRIME], [4, 5, 6, 7]),
        ([LITTLE] * 6 + [PRIME] * 2, [6, 7]),
        ([LITTLE] * 4 + [MIDDLE] * 2 + [PRIME] * 2, [4, 5, 6, 7]),
        ([PRIME, LITTLE], [0]),
        ([LITTLE] * 4, []),
        ([BIG] * 3 + [PRIME], []),
    ],
)
def test_the_fast_processors_are_those_with_much_of_the_highest_capacity(
    program: Path, tmp_path: Path, capacities: list[int], big: list[int]
) -> None:
    folder = machine(tmp_path, "cpu_capacity", dict(enumerate(capacities)))
    # Clock rates say less, so they are not asked.
    machine(tmp_path, "cpufreq/cpuinfo_max_freq", dict.fromkeys(range(len(capacities)), 2_000_000))
    assert [int(line) for line in told(program, "processors", folder, *range(len(capacities)))] == big


def test_clock_rates_are_asked_where_there_are_no_capacities(program: Path, tmp_path: Path) -> None:
    rates = {0: 1_800_000, 1: 1_800_000, 2: 2_800_000, 3: 3_200_000}
    folder = machine(tmp_path, "cpufreq/cpuinfo_max_freq", rates)
    assert told(program, "processors", folder, *rates) == ["2", "3"]
    # Favoured ones of a desktop's.
    machine(tmp_path, "cpufreq/cpuinfo_max_freq", {0: 3_000_000, 1: 3_000_000})
    assert told(program, "processors", folder, *rates) == []


def test_processors_that_may_not_be_used_do_not_count(program: Path, tmp_path: Path) -> None:
    folder = machine(tmp_path, "cpu_capacity", dict(enumerate([LITTLE] * 4 + [BIG] * 3 + [PRIME])))
    assert told(program, "processors", folder, 0, 1, 2, 3) == []
    assert told(program, "processors", folder, 2, 3, 4) == ["4"]


def test_nothing_is_told(program: Path, tmp_path: Path) -> None:
    assert told(program, "processors", tmp_path, 0, 1) == []


@pytest.mark.parametrize(
    ("processors", "speeds", "count"),
    [
        (8, (0, 0, 50, 70, 60), 3),
        (8, (0, 0, 50, 70, 69), 4),
        (8, (0, 0, 90, 70, 80), 2),
        (3, (0, 0, 50, 70, 90), 3),
        (4, (0, 0, 50, 0, 90), 4),
        (2, (), 2),
        (1, (), 1),
    ],
)
def test_the_fastest_number_is_taken_and_the_larger_of_equals(
    program: Path, processors: int, speeds: Sequence[float], count: int
) -> None:
    chosen, reason = told(program, "count", processors, *speeds)
    assert int(chosen) == count
    if all(speeds[2:]) and processors > 2:
        assert reason.endswith(f" on {', '.join(map(str, range(min(processors, 4), 1, -1)))}")


def test_products_are_measured_on_the_kernels() -> None:
    library = ctypes.CDLL(str(build() / OPS))
    library.lowpeak_products_per_second.argtypes = [ctypes.c_double]
    library.lowpeak_products_per_second.restype = ctypes.c_double
    assert library.lowpeak_products_per_second(0.02) > 10


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return trainable_step(rows=10)


@pytest.fixture(scope="module")
def artifact(tiny: TinyStep, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trainable_artifact(tmp_path_factory.mktemp("threads") / "artifact", tiny)


@pytest.fixture
def job(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> Job:
    folder = tmp_path / "run"
    folder.mkdir()
    result = Job.of(
        artifact,
        folder,
        steps=STEPS,
        optimizer=OptimizerOptions(learning_rate=5e-3),
        checkpoint=folder / CHECKPOINT,
    )
    write_batches(result, training_data(artifact, several_batches(tiny.spec, 4)))
    return result


def trained(job: Job, *flags: str, steps: int = STEPS, command: Sequence[str] = ()) -> Ended:
    folder = Path(job.checkpoint or "").parent
    ops = ("--ops-library", str(build() / OPS))
    ended = Runner([*flags, *ops], command=command).run(dataclasses.replace(job, total_steps=steps), folder)
    assert ended.returncode == 0, ended.last
    return ended


def kept(job: Job) -> int:
    """The number in threads.json, which has nothing else."""
    fields = json.loads(Path(job.checkpoint or "").with_name(THREADS).read_text())
    assert list(fields) == ["threads"]
    number: int = fields["threads"]
    return number


def notes(ended: Ended) -> list[dict[str, Any]]:
    return [event for event in ended.events if "threads" in event]


@pytest.fixture
def one_fast(tmp_path: Path) -> tuple[int, str]:
    """The number of the fast processor of a machine whose others are slow, and its folder."""
    fast, *others = sorted(os.sched_getaffinity(0))
    assert others, "the test needs two processors"
    folder = machine(tmp_path / "cpu", "cpu_capacity", {fast: PRIME, **dict.fromkeys(others, LITTLE)})
    return fast, str(folder)


def test_all_stays_as_the_runtime_has_it_where_processors_are_alike(job: Job, tmp_path: Path) -> None:
    everyone = dict.fromkeys(os.sched_getaffinity(0), BIG)
    folder = machine(tmp_path / "cpu", "cpu_capacity", everyone)
    # Of an earlier run there.
    file = Path(job.checkpoint or "").with_name(THREADS)
    file.write_text('{"threads": 1}')
    assert notes(trained(job, "--processors", str(folder))) == []
    assert not file.exists()


def test_a_run_stays_on_the_fast_processors_and_on_its_number_of_threads(
    job: Job, one_fast: tuple[int, str], tmp_path: Path
) -> None:
    fast, folder = one_fast
    checkpoint = Path(job.checkpoint or "")
    file = tmp_path / "run" / "job.json"
    file.write_text(dataclasses.replace(job, total_steps=STEPS // 2).to_json())
    with Runner(["--processors", folder]).start(file) as child:
        assert child.stdout is not None
        while True:
            event = json.loads(child.stdout.readline())
            if event["event"] == "step":
                break
            if "threads" in event:
                told = event
        assert os.sched_getaffinity(child.pid) == {fast}
        child.stdout.read()
        assert child.wait() == 0
    assert (told["threads"], told["processors"]) == (1, [fast])
    assert told["note"] == f"the run is on 1 thread of the fast processors {fast} (as many as there are)"
    assert kept(job) == 1

    # Elsewhere it goes on as it began.
    (note,) = notes(trained(job, "--resume", "--processors", str(tmp_path / "none")))
    assert note["note"] == "the run is on 1 thread (as it began)"
    resumed = checkpoint.read_bytes()
    for generation in (checkpoint, previous_of(checkpoint)):
        generation.unlink()
    (note,) = notes(trained(job, "--threads", "1"))
    assert note["note"] == "the run is on 1 thread (as asked for)"
    assert checkpoint.read_bytes() == resumed


def test_another_number_is_not_the_same_run_bit_for_bit(job: Job) -> None:
    trained(job, "--threads", "2", steps=2)
    (note,) = notes(trained(job, "--resume", "--threads", "1"))
    assert "until now it had 2, so it does not continue bit for bit" in note["note"]
    assert kept(job) == 1


def test_a_damaged_number_is_refused(job: Job) -> None:
    trained(job, "--threads", "1", steps=2)
    file = Path(job.checkpoint or "").with_name(THREADS)
    for damage in ("", '{"threads": 0}', '{"threads": 900}', '{"threads": "2"}'):
        file.write_text(damage)
        ended = Runner(["--resume"]).run(job, file.parent)
        assert ended.last["class"] == "ArtifactError"
        assert f"{file} is damaged" in ended.last["message"]


@pytest.mark.parametrize("number", ["0", "5", "two", "-1", "12"])
def test_numbers_that_cannot_be(job: Job, number: str) -> None:
    ended = Runner(["--threads", number]).run(job, Path(job.checkpoint or "").parent)
    assert ended.returncode == 2
    assert f"--threads is 1 to 4, not {number}" in ended.stderr


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The runner's command on a machine that has processors 0 to 7 and, so it says, 1000 and 1001."""
    made = tmp_path_factory.mktemp("affinity") / "affinity.so"
    run("cc", "-shared", "-fPIC", "-o", str(made), str(Path(__file__).with_name("affinity.c")))
    return ("env", f"LD_PRELOAD={made}", str(runner()))


def test_the_number_is_measured_where_there_is_a_choice(
    job: Job, ten: tuple[str, ...], tmp_path: Path
) -> None:
    capacities = dict.fromkeys((*range(8), 1000, 1001), LITTLE) | dict.fromkeys(range(4), BIG)
    folder = machine(tmp_path / "cpu", "cpu_capacity", capacities)
    ended = trained(job, "--processors", str(folder), command=ten)
    (note,) = notes(ended)
    assert note["threads"] in (2, 3, 4) and note["processors"] == [0, 1, 2, 3]
    assert note["note"].endswith(" products a second on 4, 3, 2)")
    assert kept(job) == note["threads"]
    # The baseline comes first.
    assert ended.events[0]["event"] == "ready"


def test_processors_that_the_system_refuses(job: Job, ten: tuple[str, ...], tmp_path: Path) -> None:
    capacities = dict.fromkeys(range(8), LITTLE) | {1000: BIG, 1001: BIG}
    folder = machine(tmp_path / "cpu", "cpu_capacity", capacities)
    (note,) = notes(trained(job, "--processors", str(folder), command=ten))
    assert note["threads"] == 2 and "processors" not in note
    assert "2 threads, which the system does not keep on the fast processors 1000, 1001" in note["note"]
