"""Mutations of what lowpeak-runner reads: artifact, job, batches, checkpoint, data. One file at a time is
changed, the manifest's hash of it made right, and a verb run that reads it.

    LOWPEAK_SANITIZE=1 python -m tests.fuzz.artifacts --mutations 10000

tells what ended otherwise than done or with an error: a signal, a sanitizer's report, a run of more than
20 seconds, more memory than the untouched run and twice the file. Inputs that do are kept in a folder, which
is named.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz import mutate
from tests.fuzz.mutate import Mutator
from tests.fuzz.seeds import ARTIFACT, BATCHES, CHECKPOINT, DATA, environment, operators, save_seeds
from tests.native.runner import runner

SERVER = Path(__file__).with_name("native") / "fork_server.c"
SECONDS = 20.0
SLACK = 48 << 20
"""Bytes by which two runs of the same differ: threads, and what a sanitizer holds back."""
EXITS = (0, 1, 3)
REPORTS = ("Sanitizer", "runtime error:", "terminate called", "Assertion")
MANIFEST = f"{ARTIFACT}/manifest.json"

TRAIN = ("train.json", "--no-verify")
RESUME = ("train.json", "--resume")
EVAL = ("eval", "eval.json")
GENERATE = ("generate", "generate.json")
ENCODE = ("encode", "encode.json")


@dataclass(frozen=True)
class Subject:
    """A file that is mutated, how, and what then reads it."""

    file: str
    mutator: Mutator
    runs: tuple[tuple[str, ...], ...]
    weight: int = 1

    def is_in(self, folder: Path) -> bool:
        return (folder / self.file).exists()


SUBJECTS = [
    Subject(MANIFEST, mutate.of_json, (TRAIN, EVAL, GENERATE, ENCODE), 4),
    Subject(f"{ARTIFACT}/program.pte", mutate.of_program, (EVAL, TRAIN), 6),
    Subject(f"{ARTIFACT}/generate.pte", mutate.of_program, (GENERATE,), 3),
    Subject(f"{ARTIFACT}/weights.ptd", mutate.of_weights, (EVAL, TRAIN), 3),
    Subject(f"{ARTIFACT}/adapter.safetensors", mutate.of_safetensors, (GENERATE, EVAL)),
    Subject(f"{ARTIFACT}/tokenizer.json", mutate.of_json, (ENCODE, GENERATE), 3),
    Subject(f"{ARTIFACT}/chat.json", mutate.of_json, (ENCODE, GENERATE), 2),
    Subject(DATA, mutate.of_lines, (ENCODE,), 2),
    Subject(CHECKPOINT, mutate.of_safetensors, (RESUME, EVAL, GENERATE), 2),
    Subject(BATCHES, mutate.of_safetensors, (TRAIN, EVAL), 2),
    Subject("train.json", mutate.of_json, (("train.json",), RESUME), 2),
    Subject("eval.json", mutate.of_json, (EVAL,)),
    Subject("generate.json", mutate.of_json, (GENERATE,)),
    Subject("encode.json", mutate.of_json, (ENCODE,)),
]


class Server:
    """lowpeak-runner, forked for each run in the folder; the library that makes it so is compiled there."""

    def __init__(self, folder: Path) -> None:
        library = folder / "fork_server.so"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-o", library, SERVER, "-ldl"], check=True, env=environment()
        )
        self.folder = folder
        options = "verify_asan_link_order=0:detect_leaks=0:quarantine_size_mb=1:malloc_context_size=8"
        self.child = subprocess.Popen(
            [str(runner())],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment(), "LD_PRELOAD": str(library), "ASAN_OPTIONS": options},
        )

    def run(self, arguments: tuple[str, ...]) -> Ended:
        assert self.child.stdin is not None and self.child.stdout is not None
        parts = [str(SECONDS), "out.txt", "err.txt", *arguments, *operators()]
        self.child.stdin.write("\x1f".join(parts) + "\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline().split()
        if not answer:
            raise RuntimeError("the fork server has ended")
        status, kilobytes, milliseconds = map(int, answer)
        return Ended(
            status,
            kilobytes * 1024,
            milliseconds / 1000,
            (self.folder / "out.txt").read_bytes(),
            (self.folder / "err.txt").read_bytes().decode(errors="replace"),
        )

    def close(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()
        self.child.wait()


@dataclass(frozen=True)
class Ended:
    status: int
    """As of waitpid."""
    held: int
    """The most bytes at a time."""
    seconds: float
    out: bytes
    err: str

    @property
    def error(self) -> str | None:
        lines = self.out.splitlines()
        last = json.loads(lines[-1]) if lines else {}
        return last["message"] if last.get("event") == "error" else None

    def problem(self, allowed: int) -> str | None:
        """What no run may do; `allowed`: bytes that it may hold."""
        if self.seconds > SECONDS:
            return "hang"
        if any(word in self.err for word in REPORTS):
            return "report"
        if os.WIFSIGNALED(self.status):
            return f"signal {signal.Signals(os.WTERMSIG(self.status)).name}"
        if os.WEXITSTATUS(self.status) not in EXITS:
            return f"exit code {os.WEXITSTATUS(self.status)}"
        if os.WEXITSTATUS(self.status) == 1 and not self.error:
            return "no message"
        return "memory" if self.held > allowed else None


@dataclass
class Found:
    """What came of the mutations."""

    executions: int = 0
    errors: int = 0
    """Refused with a message."""
    problems: Counter[str] = field(default_factory=Counter)
    kept: list[Path] = field(default_factory=list)


class Campaign:
    """Mutations of a folder of seeds; what they change is put back after each."""

    def __init__(self, seeds: Path, keep: Path) -> None:
        self.folder = seeds
        self.keep = keep
        self.server = Server(seeds)
        self.batches = {path: path.read_bytes() for path in (seeds / BATCHES).iterdir()}
        self._prepare(RESUME)
        self.subjects = [each for each in SUBJECTS if each.is_in(seeds)]
        self.names = sorted(path.name for path in seeds.parent.iterdir())
        self.untouched = {
            run: self._untouched(run) for each in self.subjects for run in each.runs if self._has(run)
        }
        self.found = Found()

    def _has(self, run: tuple[str, ...]) -> bool:
        return any((self.folder / argument).exists() for argument in run)

    def _prepare(self, run: tuple[str, ...]) -> None:
        """A run that begins finds no checkpoint, others one of a step."""
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        (self.folder / "run").mkdir()
        if run[0] != "train.json" or "--resume" in run:
            shutil.copytree(self.folder / "kept", self.folder / "run", dirs_exist_ok=True)

    def _untouched(self, run: tuple[str, ...]) -> int:
        """Bytes that the run holds when nothing is changed."""
        self._prepare(run)
        ended = self.server.run(run)
        self._tidy()
        if ended.status:
            raise RuntimeError(
                f"the untouched run {run} ended with {ended.status}: {ended.out!r} {ended.err}"
            )
        return ended.held

    def step(self, chance: Random, only: str = "") -> None:
        subjects = [each for each in self.subjects if only in each.file]
        subject = chance.choices(subjects, [each.weight for each in subjects])[0]
        run = chance.choice([run for run in subject.runs if self._has(run)])
        self._prepare(run)
        path = self.folder / subject.file
        if path.is_dir():
            path = chance.choice(sorted(path.iterdir()))
        before = path.read_bytes()
        after = subject.mutator(chance, before)
        while _asks_for_long(after):
            after = subject.mutator(chance, before)
        with self._changed(path, before, after):
            ended = self.server.run(run)
            self.found.executions += 1
            self.found.errors += ended.error is not None
            problem = ended.problem(self.untouched[run] + 2 * max(len(before), len(after)) + SLACK)
            if sorted(each.name for each in self.folder.parent.iterdir()) != self.names:
                problem = "a file outside"
            if problem:
                self._keep(problem, subject, run, ended)
        self._tidy()

    def _changed(self, path: Path, before: bytes, after: bytes) -> _Changed:
        manifest = self.folder / MANIFEST
        files: dict[Path, tuple[bytes, bytes]] = {path: (before, after)}
        if path.parent.name == ARTIFACT and path != manifest:
            text = manifest.read_bytes()
            document = json.loads(text)
            document["files"][path.name] = {
                "sha256": hashlib.sha256(after).hexdigest(),
                "bytes": len(after),
            }
            files[manifest] = (text, json.dumps(document).encode())
        return _Changed(files)

    def _tidy(self) -> None:
        # Those of a job that says they are streamed are gone once they are opened.
        for path, content in self.batches.items():
            if not path.exists():
                path.write_bytes(content)
        shutil.rmtree(self.folder / "encoded", ignore_errors=True)
        shutil.rmtree(self.folder / "run", ignore_errors=True)

    def _keep(self, problem: str, subject: Subject, run: tuple[str, ...], ended: Ended) -> None:
        self.found.problems[f"{problem}: {subject.file}"] += 1
        kept = self.keep / f"{len(list(self.keep.iterdir()))}-{problem.replace(' ', '-')}"
        ignored = shutil.ignore_patterns("*.so", "run", "kept")
        shutil.copytree(self.folder, kept, ignore=ignored)
        (kept / "told.txt").write_text(
            f"{' '.join(run)}\n{ended.status} {ended.held}\n{ended.out!r}\n{ended.err}"
        )
        self.found.kept.append(kept)


def _asks_for_long(content: bytes) -> bool:
    """Whether it is a job of so many steps that a run of 20 seconds is none that hangs."""
    try:
        job = json.loads(content)
        steps = int(job.get("total_steps", job.get("count", 0))) * int(job.get("accumulate", 1))
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        return False
    return 2000 < steps <= 1 << 40


class _Changed:
    """Files with other contents for a while."""

    def __init__(self, files: dict[Path, tuple[bytes, bytes]]) -> None:
        self.files = files

    def __enter__(self) -> None:
        for path, (_, after) in self.files.items():
            path.write_bytes(after)

    def __exit__(self, *_: object) -> None:
        for path, (before, _) in self.files.items():
            path.write_bytes(before)


def fuzz(
    folder: Path, mutations: int, seed: int = 0, only: str = "", said: Callable[[str], None] = lambda _: None
) -> Found:
    """`folder`: an empty one, on a disk; `only`: a part of the names of the files that are mutated. Raises
    RuntimeError when a seed is no good.
    """
    (folder / "kept").mkdir()
    campaigns = [Campaign(seeds, folder / "kept") for seeds in save_seeds(folder / "seeds")]
    chance = Random(seed)
    campaign = Found()
    started = time.monotonic()
    for number in range(1, mutations + 1):
        chance.choices(campaigns, [3, 1])[0].step(chance, only)
        if number % 500 == 0 or number == mutations:
            campaign = _joined(campaigns)
            rate = number / (time.monotonic() - started)
            said(
                f"{number} mutations, {rate:.0f} a second, {campaign.errors} refused, "
                f"{dict(campaign.problems)}"
            )
    for each in campaigns:
        each.server.close()
    return campaign


def _joined(campaigns: list[Campaign]) -> Found:
    campaign = Found()
    for found in (each.found for each in campaigns):
        campaign.executions += found.executions
        campaign.errors += found.errors
        campaign.problems += found.problems
        campaign.kept += found.kept
    return campaign


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a part of the names of the files that are mutated")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lowpeak-fuzz-"))
    found = fuzz(folder, options.mutations, options.seed, options.only, lambda line: print(line, flush=True))
    if found.problems:
        print(f"what led to them is in {folder / 'kept'}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
