"""Training, compiling and simulating killed at random moments, and two or three runs at once on one folder.

    python -m tests.kills --kills 200 --at-once 50

After each kill (SIGKILL and the signals that ask, to the process, to its child, or to both): no step is lost
that was told or saved, what lies there is whole, nothing is left that the next run does not remove; and at
the end checkpoint and losses are bit for bit those of a run that was left alone.

The verbs run as `lowpeak` does, each in a process of its own. These are forked from this one, which has
imported torch and computed nothing: in both, signals are handled by what `lowpeak.cli.main` sets up.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open

from lowpeak.api import compile_for_device
from lowpeak.cli import main as lowpeak
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.folder_lock import locked
from lowpeak_export.executorch.library import RUNNER_VARIABLE
from lowpeak_runtime.simulate.simulate import simulate
from lowpeak_runtime.train.checkpoint import CHECKPOINT, newest_whole, read_progress
from lowpeak_runtime.train.run_folder import ADAPTER
from lowpeak_runtime.train.stop import STOPPED
from lowpeak_runtime.train.trainer import train
from tests.lowpeak.checkpoint import SEQ_LEN, save_checkpoint, save_data
from tests.native.runner import runner

EVERY = 5
STEPS = {"native": 600, "python": 120}
ASKING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
OUT_NAMES = {CHECKPOINT, "checkpoint.previous.safetensors", "threads.json", ADAPTER}
NAMES = ("native", "python", "compile", "simulate", "at-once")
LONGEST_SECONDS = 600
IMPORTED = (compile_for_device, simulate, train)
"""By the verbs when they run; here before they are forked."""


@dataclass
class Verb:
    """One that was started; `log` is what it printed on stdout, `errors` on stderr."""

    pid: int
    log: Path
    errors: Path
    code: int | None = None
    """As Popen's: negative for a signal that ended it."""

    @staticmethod
    def start(arguments: Sequence[str], temporary: Path, log: Path, program: Path) -> Verb:
        """`program`: lowpeak-runner."""
        errors = log.with_suffix(".errors")
        pid = os.fork()
        if pid:
            return Verb(pid, log, errors)
        try:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for file, stream in ((os.devnull, 0), (log, 1), (errors, 2)):
                opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
                os.dup2(opened, stream)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
            os.environ[RUNNER_VARIABLE] = str(program)
            code = lowpeak(arguments)
            sys.stdout.flush()
        except KeyboardInterrupt:
            # Before the verb handles signals, or after: Python itself ends by it.
            code = 128 + signal.SIGINT
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            code = 99
        os._exit(code)

    def ended(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None

    def wait(self, seconds: float = LONGEST_SECONDS) -> int:
        """Its code. Raises AssertionError when it hangs."""
        deadline = time.monotonic() + seconds
        while not self.ended():
            assert time.monotonic() < deadline, f"it hangs: {self.errors.read_text()}"
            time.sleep(0.005)
        assert self.code is not None
        return self.code

    def child(self) -> int | None:
        """The newest that does the verb's work; the renderer of chat templates is none."""
        try:
            told = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            working = [
                int(child) for child in told if b"renderer" not in Path(f"/proc/{child}/cmdline").read_bytes()
            ]
        except OSError:
            return None
        return working[-1] if working else None

    def kill(self, target: str, number: int) -> None:
        child = self.child()
        try:
            if target == "group":
                os.killpg(self.pid, number)
            else:
                os.kill(child if target == "child" and child else self.pid, number)
        except ProcessLookupError:
            pass


def temporaries(out: Path) -> set[str]:
    return {name for name in os.listdir(out) if name.startswith(".")} if out.exists() else set()


def wait_for_orphans(out: Path) -> None:
    """Until nobody holds the folder: a child that outlives its parent saves."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while out.is_dir():
        try:
            with locked(out):
                return
        except ArtifactError:
            assert time.monotonic() < deadline, "the child of a killed run does not end"
            time.sleep(0.01)


@dataclass
class Kills:
    """`folder`: for all of it; `strict`: temporary files of killed runs must be gone after the next."""

    folder: Path
    chance: random.Random
    strict: bool = True
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.temporary = self.folder / "temporary"
        self.temporary.mkdir(parents=True)
        self.program = runner()
        self.model = self.folder / "model"
        making = os.fork()
        if not making:
            save_checkpoint(self.model)
            os._exit(0)
        os.waitpid(making, 0)
        self.data = save_data(self.folder / "data.jsonl")
        self.artifact = self.folder / "artifact"
        self.number = 0
        assert self.run(*self.compiling(self.artifact)).code == 0

    def start(self, *arguments: str) -> Verb:
        self.number += 1
        return Verb.start(arguments, self.temporary, self.folder / f"{self.number}.log", self.program)

    def run(self, *arguments: str) -> Verb:
        verb = self.start(*arguments)
        verb.wait()
        return verb

    def compiling(self, out: Path) -> list[str]:
        sizes = ["--budget-mb", "20", "--seq-len", str(SEQ_LEN), "--rank", "4"]
        return ["compile", str(self.model), *sizes, "--out", str(out), "--overwrite", "--json"]

    def training(self, engine: str, out: Path, *more: str) -> list[str]:
        job = ["--data", str(self.data), "--steps", str(STEPS[engine]), "--engine", engine, "--json"]
        every = ["--checkpoint-every", str(EVERY)]
        return ["train", str(self.artifact), *job, *every, "--out", str(out), *more]

    def left_alone(self, *arguments: str) -> float:
        """Seconds of the verb to its end."""
        started = time.monotonic()
        verb = self.run(*arguments)
        assert verb.code == 0, verb.errors.read_text()
        return time.monotonic() - started

    def kill(self, verb: Verb, seconds: float, targets: Sequence[str]) -> tuple[str, int] | None:
        """At a moment within the time that it takes -> whom, and by which signal; None if it ended before."""
        target = self.chance.choice(targets)
        number = self.chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, *ASKING))
        deadline = time.monotonic() + self.chance.uniform(0, seconds)
        while time.monotonic() < deadline and not verb.ended():
            time.sleep(0.001)
        if verb.code is not None:
            return None
        verb.kill(target, number)
        self.counts[f"{signal.Signals(number).name} to {target}"] += 1
        verb.wait()
        if number != signal.SIGKILL:
            # A signal that comes before the handlers are there ends it as any program.
            assert verb.code in (0, 2, STOPPED, 128 + number, -number), (verb.code, verb.errors.read_text())
        return target, number

    def require_nothing_temporary(self) -> None:
        left = sorted(path.name for path in self.temporary.iterdir())
        if left and not self.strict:
            self.counts["left in the folder for temporary files"] += len(left)
            for name in left:
                shutil.rmtree(self.temporary / name, ignore_errors=True)
            return
        assert not left, left

    # Training

    def train(self, engine: str, kills: int) -> None:
        straight, metrics = self.folder / f"straight-{engine}", self.folder / f"{engine}.ndjson"
        seconds = self.left_alone(*self.training(engine, straight, "--metrics", str(metrics)))
        losses = losses_of(metrics)
        done = 0
        while done < kills:
            out, told = self.folder / f"run-{engine}", self.folder / "told.ndjson"
            shutil.rmtree(out, ignore_errors=True)
            told.unlink(missing_ok=True)
            while True:
                # Steps that an earlier kill lost are told again.
                before, lines_before, temporary = step_of(out), len(lines_of(told)), temporaries(out)
                verb = self.start(*self.training(engine, out, "--resume", "--metrics", str(told)))
                killed = None
                if done < kills:
                    killed = self.kill(verb, seconds, ("process", "child", "group"))
                    done += killed is not None
                verb.wait()
                wait_for_orphans(out)
                assert verb.code != 2, verb.errors.read_text()
                if verb.code == 0:
                    break
                assert killed is not None, verb.errors.read_text()
                self.require_kept(out, lines_of(told)[lines_before:], before, verb, *killed)
                if killed[1] != signal.SIGKILL:
                    # What an earlier kill left stays where this run ended before it had the folder.
                    assert temporaries(out) <= temporary, (temporaries(out), killed)
            assert step_of(out) == STEPS[engine]
            assert (out / CHECKPOINT).read_bytes() == (straight / CHECKPOINT).read_bytes()
            for name in ("adapter_config.json", "adapter_model.safetensors"):
                assert (out / ADAPTER / name).read_bytes() == (straight / ADAPTER / name).read_bytes(), name
            found = losses_of(told)
            assert all(losses[step] == loss for step, loss in found.items())
            assert set(os.listdir(out)) <= OUT_NAMES, os.listdir(out)
            self.require_nothing_temporary()

    def require_kept(
        self, out: Path, told: list[str], before: int, verb: Verb, target: str, number: int
    ) -> None:
        """What must hold after a kill."""
        step, known = step_of(out), max((json.loads(line)["step"] + 1 for line in told), default=0)
        lost_at_most = EVERY if number == signal.SIGKILL and target != "process" else 0
        assert step >= before, f"{before} steps were saved, there are {step}"
        assert step >= known - lost_at_most, f"{known} steps were told, {step} are kept ({target}, {number})"
        if (out / ADAPTER).exists():
            with safe_open(out / ADAPTER / "adapter_model.safetensors", "pt") as file:
                assert file.keys()
        if verb.code == STOPPED:
            figures = json.loads(verb.log.read_text())
            assert figures["steps"] == step and figures["stop_reason"]
            assert step == 0 or figures["adapter"]

    # Compiling and simulating

    def compile(self, kills: int) -> None:
        out = self.folder / "compiled"
        seconds = self.left_alone(*self.compiling(out))
        expected = Artifact.open(out).manifest.files
        done = 0
        while done < kills:
            there = self.chance.random() < 0.5
            if not there:
                shutil.rmtree(out, ignore_errors=True)
            elif not out.exists():
                self.left_alone(*self.compiling(out))
            killed = self.kill(self.start(*self.compiling(out)), seconds, ("process", "group"))
            done += killed is not None
            if there or out.exists():
                assert Artifact.open(out).manifest.files == expected
        # What killed ones left is removed by the next that writes.
        self.left_alone(*self.compiling(out))
        hidden = [name for name in os.listdir(self.folder) if name.startswith(".compiled")]
        assert not hidden, hidden
        self.require_nothing_temporary()

    def simulate(self, kills: int) -> None:
        arguments = ("simulate", str(self.artifact), "--json")
        seconds = self.left_alone(*arguments)
        whole = Artifact.open(self.artifact).manifest
        done = 0
        while done < kills:
            done += self.kill(self.start(*arguments), seconds, ("process", "group")) is not None
            assert Artifact.open(self.artifact).manifest == whole
        self.left_alone(*arguments)
        self.require_nothing_temporary()

    # At once

    def at_once(self, engine: str, timings: int) -> None:
        straight = self.folder / "alone"
        seconds = self.left_alone(*self.training(engine, straight))
        for number in range(timings):
            out = self.folder / f"shared-{number}"
            verbs = []
            for _verb in range(self.chance.choice((2, 3))):
                verbs.append(self.start(*self.training(engine, out)))
                time.sleep(self.chance.choice((0, 0.001, 0.01, 0.1, seconds / 2)) * self.chance.random())
            codes = sorted(verb.wait() for verb in verbs)
            assert codes == [0, *[2] * (len(verbs) - 1)], [
                (verb.code, verb.log.read_text()) for verb in verbs
            ]
            for verb in verbs:
                if verb.code == 2:
                    said = json.loads(verb.log.read_text())["message"]
                    late = f"holds a training run of {STEPS[engine]} steps" in said
                    assert late or "still trains into" in said, said
                    self.counts["told that a run is there" if late else "told who trains"] += 1
            assert (out / CHECKPOINT).read_bytes() == (straight / CHECKPOINT).read_bytes()
            adapter = Path(ADAPTER, "adapter_model.safetensors")
            assert (out / adapter).read_bytes() == (straight / adapter).read_bytes()
            assert set(os.listdir(out)) <= OUT_NAMES
            shutil.rmtree(out)


def step_of(out: Path) -> int:
    newest = newest_whole(out) if out.is_dir() else None
    return 0 if newest is None else read_progress(newest).step


def lines_of(metrics: Path) -> list[str]:
    """Whole ones."""
    lines = metrics.read_text().splitlines(keepends=True) if metrics.exists() else []
    return [line for line in lines if line.endswith("\n")]


def losses_of(metrics: Path) -> dict[int, float]:
    """By step; one that was repeated must have had the same loss."""
    losses: dict[int, float] = {}
    for line in lines_of(metrics):
        step: dict[str, Any] = json.loads(line)
        assert losses.setdefault(step["step"], step["loss"]) == step["loss"]
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200, help="of each")
    parser.add_argument("--at-once", type=int, default=50, help="timings of two or three runs")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--tolerate-temporary", action="store_true", help="count temporary files that are left, and go on"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        kills = Kills(
            Path(folder) / "all", random.Random(options.seed), strict=not options.tolerate_temporary
        )
        for name in options.only:
            started = time.monotonic()
            kills.counts.clear()
            if name in STEPS:
                kills.train(name, options.kills)
            elif name == "at-once":
                kills.at_once("native", options.at_once)
            else:
                getattr(kills, name)(options.kills)
            counts = ", ".join(f"{count} {what}" for what, count in sorted(kills.counts.items()))
            print(f"{name}: nothing lost in {time.monotonic() - started:.0f} s; {counts}", flush=True)


if __name__ == "__main__":
    main()
