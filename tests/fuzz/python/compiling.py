"""`python -m tests.fuzz.python.compiling`: models with mutated files through lowpeak's own compile.

Each case is opened in a copy of this process with a limit of time and memory. A config that is accepted and
was not seen before is compiled as a whole. What comes out must be a LowpeakError or an artifact.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
import transformers

from lowpeak.api import compile_for_device
from lowpeak_artifact.errors import LowpeakError
from lowpeak_compiler.frontend.model.source import open_model
from tests.fuzz.python import model_mutations
from tests.fuzz.python.models import checkpoint, copy_of, gguf_file, read_model, work
from tests.small_models import small_model

SECONDS = 20
"""Of the processor, for opening; compiling has its own limit."""
COMPILE_SECONDS = 120
BUSY = 10
"""On a busy machine a second takes so long."""
MEMORY = 3 << 30
"""Bytes of address space beside what the process has when it is copied."""
FLOOR = 512 << 20
"""Bytes that opening may take beside twice the files."""


@dataclass(frozen=True)
class Result:
    outcome: str
    """accepted, compiled, refused, crashed, hung or killed."""
    told: str
    seconds: float
    grown: int = 0
    """Bytes that the process grew."""


@dataclass
class Tally:
    outcomes: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[str, Result]] = field(default_factory=list)
    slowest: float = 0.0
    largest: int = 0


def in_a_child(path: Path, whole: bool) -> Result:
    reader, writer = os.pipe()
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        os.close(reader)
        limit = COMPILE_SECONDS if whole else SECONDS
        signal.setitimer(signal.ITIMER_PROF, limit)
        # What waits takes no time of the processor.
        signal.alarm(limit * BUSY)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        before = _resident()
        outcome, told = _outcome(path, whole)
        os.write(writer, json.dumps([outcome, told, _resident() - before]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(process, 0)
    seconds = time.monotonic() - started
    if said:
        outcome, told, grown = json.loads(said)
        return Result(outcome, told, seconds, grown)
    hung = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGPROF)
    return Result("hung" if hung else "killed", f"status {status}", seconds)


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _outcome(path: Path, whole: bool) -> tuple[str, str]:
    try:
        if whole:
            out = work() / "artifact"
            compile_for_device(
                path, 200, seq_len=16, quantization="none", generate=False, out=out, overwrite=True
            )
            return "compiled", ""
        read_model(path)
        config = json.dumps(open_model(path).config.to_dict(), sort_keys=True, default=str)
        return "accepted", hashlib.sha256(config.encode()).hexdigest()
    except LowpeakError as error:
        return "refused", f"{type(error).__name__}: {error}"[:1500]
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "crashed", f"{type(error).__name__}: {str(error)[:300]} ({place.filename}:{place.lineno})"


def bases(kinds: list[str]) -> list[Path]:
    """Folders of tiny models of these types; the llama has a tokenizer."""
    made = [checkpoint()]
    for kind in kinds:
        folder = work() / f"base-{kind}"
        small_model(kind).save_pretrained(folder)
        made.append(folder)
    return made


def cases(mutations: int, seed: int, kinds: list[str], gguf: float):
    """Names and paths, one at a time: the next replaces the last."""
    random = Random(seed)
    folders = bases(kinds)
    for number in range(mutations):
        if random.random() < gguf:
            path = work() / "case.gguf"
            path.write_bytes(model_mutations.mutated_bytes(gguf_file(), random, 6000))
            yield f"{number} gguf", path
            continue
        base = random.choice(folders)
        folder = copy_of(base, "case")
        config = folder / "config.json"
        config.write_bytes(model_mutations.mutated_json(config.read_bytes(), random))
        yield f"{number} {base.name}", folder


def run(mutations: int, whole: int, seed: int, kinds: list[str], gguf: float, keep: Path | None) -> Tally:
    tally, seen = Tally(), set()
    for name, path in cases(mutations, seed, kinds, gguf):
        result = in_a_child(path, whole=False)
        size = sum(f.stat().st_size for f in ([path] if path.is_file() else path.iterdir()) if f.is_file())
        tally.slowest, tally.largest = max(tally.slowest, result.seconds), max(tally.largest, result.grown)
        if result.outcome == "accepted" and result.told not in seen and len(seen) < whole:
            seen.add(result.told)
            result = in_a_child(path, whole=True)
        elif result.grown > 2 * size + FLOOR:
            result = Result("grew", f"{result.grown} bytes", result.seconds, result.grown)
        tally.outcomes[result.outcome] += 1
        if result.outcome in ("crashed", "hung", "killed", "grew"):
            tally.bad.append((name, result))
            print(name, result, flush=True)
            if keep is not None:
                target = keep / name.replace(" ", "-")
                (shutil.copy if path.is_file() else shutil.copytree)(path, target)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--whole", type=int, default=50, help="at most so many are compiled to the end")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="", help="more model types of transformers, with commas")
    parser.add_argument("--gguf", type=float, default=0.3, help="part of the cases that are GGUF files")
    parser.add_argument("--keep", type=Path, help="folder for the files of bad cases")
    options = parser.parse_args()
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    warnings.simplefilter("ignore")
    # The threads of a pool do not live on in a copied process.
    torch.set_num_threads(1)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    kinds = [kind for kind in options.kinds.split(",") if kind]
    tally = run(options.mutations, options.whole, options.seed, kinds, options.gguf, options.keep)
    print(dict(tally.outcomes), f"slowest {tally.slowest:.1f} s, grown by at most {tally.largest} bytes")
    return 1 if tally.bad else 0


if __name__ == "__main__":
    sys.exit(main())
