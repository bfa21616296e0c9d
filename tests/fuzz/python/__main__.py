"""Mutated files to our readers: only a LowpeakError may come out, in bounded time and memory.

    python -m tests.fuzz.python --target NAME --seconds 60      one target, some (A,B), or `all`
    python -m tests.fuzz.python --mutations 2000                so many of each
    python -m tests.fuzz.python --target NAME --input FILE      one that was kept, again

Inputs that fail are kept in --keep. Every module of this folder that has TARGETS brings some; one that has
`seeds`, `target` and perhaps `mutate` is one.
"""

from __future__ import annotations

import argparse
import os
import pkgutil
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from random import Random
from types import ModuleType

import tests.fuzz.python as folder
from tests.fuzz.python.target import Target, run_one

Targets = dict[str, Callable[[], Target]]
SECONDS_AN_INPUT = 600
"""Of the clock, for what target.py cannot interrupt."""
LONGEST_INPUT = 1 << 22
INSTRUMENTED = [
    "lowpeak_export",
    "lowpeak_runtime",
    "lowpeak_artifact.batch",
    "lowpeak_artifact.batch_input",
    "lowpeak_compiler.frontend.model",
]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.python", description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="all")
    parser.add_argument("--seconds", type=int, default=0, help="for each target")
    parser.add_argument("--mutations", type=int, default=0, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder of failing inputs; by default a temporary one")
    parser.add_argument("--input", type=Path, help="only this one")
    options = parser.parse_args()
    keep = options.keep or Path(tempfile.mkdtemp(prefix="lowpeak-fuzz-"))
    keep.mkdir(parents=True, exist_ok=True)
    targets = known_targets()
    chosen = sorted(targets) if options.target == "all" else options.target.split(",")
    if unknown := set(chosen) - targets.keys():
        parser.error(f"no target {min(unknown)}; there are {', '.join(sorted(targets))}")
    failed = []
    for name in chosen:
        # libFuzzer ends its process.
        child = os.fork()
        if not child:
            target = targets[name]()
            if options.input is not None:
                run_one(target, options.input.read_bytes())
                os._exit(0)
            fuzz(target, name, options.seconds, options.mutations, options.seed, keep)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(f"{name}: {'passed' if code == 0 else f'failed with {code}, input in {keep}'}", flush=True)
        failed += [name] * (code != 0)
    return 1 if failed else 0


def known_targets() -> Targets:
    import atheris

    # Imported by what is instrumented: theirs is not.
    import torch
    import transformers  # noqa: F401

    torch.set_num_threads(1)
    made: Targets = {}
    with atheris.instrument_imports(include=INSTRUMENTED):
        for module in pkgutil.iter_modules(folder.__path__, folder.__name__ + "."):
            if not module.name.endswith((".__main__", ".test_fuzz")):
                made.update(_of(import_module(module.name)))
    return made


def _of(module: ModuleType) -> Targets:
    """The module's TARGETS; or one of its own name, of its functions `seeds`, `target` and `mutate`."""
    if hasattr(module, "seeds") and hasattr(module, "target"):
        name = module.__name__.rpartition(".")[2]
        return {name: lambda: Target(module.seeds(), module.target, getattr(module, "mutate", None))}
    return getattr(module, "TARGETS", {})


def fuzz(target: Target, name: str, seconds: int, mutations: int, seed: int, keep: Path) -> None:
    """Does not return."""
    import atheris

    corpus = Path(tempfile.mkdtemp(prefix=f"lowpeak-fuzz-{name}-"))
    for index, data in enumerate(target.seeds):
        (corpus / f"seed-{index}").write_bytes(data)

    def mutated(data: bytes, most: int, chance: int) -> bytes:
        random = Random(chance)
        if target.mutate is None or random.random() < 0.2:
            return atheris.Mutate(data, most)
        made = target.mutate(data, random)
        return made if len(made) <= most else data

    arguments = [
        sys.argv[0],
        f"-timeout={SECONDS_AN_INPUT}",
        f"-max_len={LONGEST_INPUT}",
        "-len_control=0",
        "-rss_limit_mb=0",
        f"-seed={seed}",
        f"-artifact_prefix={keep}/{name}-",
        "-print_final_stats=1",
        *([f"-max_total_time={seconds}"] if seconds else []),
        *([f"-runs={mutations + len(target.seeds) + 1}"] if mutations or not seconds else []),
        str(corpus),
    ]
    atheris.Setup(arguments, lambda data: run_one(target, data), custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
