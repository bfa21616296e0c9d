"""lowpeak-runner generate beside llama.cpp on the same GGUF file: tokens per second, processor time, memory.

    python -m benchmarks.generate ARTIFACT GGUF LLAMA [--tokens 128] [--rounds 5] [--threads 2]

The artifact is compiled from the file with kernels='lowpeak'; LLAMA is the folder of llama.cpp's libraries
that benchmarks/llama_cpp.py names. Both generate greedily on `threads` cores, in turns, whatever the model
says of an end; what is told is the fastest round of each, and the processor time of a token, which a busy
machine changes less. Loading and the prompt are not counted. The artifact's program has an adapter, llama.cpp
none. MB are 10**6 bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowpeak_artifact.artifact import MANIFEST, Artifact
from lowpeak_export.executorch.library import ops_library, runner_program

PROMPT = [1, 4093, 28, 253, 2183, 8113, 288, 665, 338, 11, 198, 260, 2240, 282, 253, 1165]
"""Tokens that any model of some size has."""


@dataclass
class Round:
    """`seconds` and `processor_seconds` are those of `tokens` after the first."""

    tokens: int
    seconds: float
    processor_seconds: float
    peak_rss_bytes: int
    ids: list[int]


def lowpeak(artifact: Path, tokens: int, cores: set[int]) -> Round:
    """Processor time is that of a run less that of one token."""
    _, one = _run(artifact, 1, cores)
    (*said, last), processor_seconds = _run(artifact, tokens, cores)
    ids = [event["id"] for event in said if event["event"] == "token"]
    count = len(ids) - 1
    seconds = count / last["tokens_per_second"]
    return Round(count, seconds, processor_seconds - one, last["peak_rss_bytes"], ids)


def _run(artifact: Path, tokens: int, cores: set[int]) -> tuple[list[dict[str, Any]], float]:
    program = runner_program()
    if program is None:
        raise SystemExit("there is no lowpeak-runner: name one by LOWPEAK_RUNNER")
    with tempfile.TemporaryDirectory() as folder:
        job = {
            **{"artifact": str(artifact), "work": folder, "checkpoint": None, "ids": PROMPT},
            **{"max_tokens": tokens, "temperature": 0, "seed": 0},
        }
        file = Path(folder) / "job.json"
        file.write_text(json.dumps(job))
        command = [str(program), "generate", str(file), "--ops-library", str(ops_library()), "--no-verify"]
        events, seconds = _told(command, cores)
    if events[-1]["event"] != "generated":
        raise SystemExit(f"lowpeak-runner ended with {events[-1]}")
    return events, seconds


def llama(folder: Path, gguf: Path, tokens: int, cores: set[int]) -> Round:
    script = str(Path(__file__).with_name("llama_cpp.py"))
    arguments = [str(folder), str(gguf), json.dumps(PROMPT), str(tokens), str(len(cores))]
    events, _ = _told([sys.executable, script, *arguments], cores)
    told = events[-1]
    return Round(
        len(told["ids"]) - 1, told["seconds"], told["processor_seconds"], told["peak_rss_bytes"], told["ids"]
    )


@contextmanager
def without_ends(artifact: Path) -> Iterator[Path]:
    """The artifact, as links, whose model is not stopped by any token."""
    with tempfile.TemporaryDirectory(dir=artifact.resolve().parent) as folder:
        for file in artifact.iterdir():
            if file.name != MANIFEST:
                os.link(file, Path(folder) / file.name)
        manifest = json.loads((artifact / MANIFEST).read_text())
        manifest["generate"]["ends"] = []
        (Path(folder) / MANIFEST).write_text(json.dumps(manifest))
        yield Path(folder)


def _told(command: list[str], cores: set[int]) -> tuple[list[dict[str, Any]], float]:
    """The lines of a process on these cores, and its processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [json.loads(line) for line in done.stdout.decode().splitlines()], seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifact", type=Path)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("llama", type=Path)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    cores = set(sorted(os.sched_getaffinity(0))[: options.threads])
    rounds: dict[str, list[Round]] = {"lowpeak": [], "llama.cpp": []}
    with without_ends(options.artifact) as artifact:
        for _ in range(options.rounds):
            rounds["lowpeak"].append(lowpeak(artifact, options.tokens, cores))
            rounds["llama.cpp"].append(llama(options.llama, options.gguf, options.tokens, cores))
    record = Artifact.open(options.artifact, verify=False).manifest.generate
    assert record is not None
    print(
        f"{len(cores)} threads, {options.rounds} rounds; "
        f"planned peak {record.planned_peak_bytes / 1e6:.1f} MB"
    )
    for name, seen in rounds.items():
        fastest = min(seen, key=lambda each: each.seconds / each.tokens)
        processor = min(each.processor_seconds / each.tokens for each in seen)
        print(
            f"{name:10} {fastest.tokens / fastest.seconds:7.1f} tokens/s, {processor * 1e3:6.2f} ms of "
            f"processor time a token, peak {fastest.peak_rss_bytes / 1e6:.1f} MB"
        )
    same = [a == b for a, b in zip(*(seen[0].ids for seen in rounds.values()), strict=True)]
    print(f"{[*same, False].index(False)} tokens are the same before the first that is not")


if __name__ == "__main__":
    main()
