"""How long it takes to name the smallest budget of a model.

    python -m benchmarks.smallest_budget [--models smollm2-135m:512 llama-3.2-3b:1024] [--kernels lowpeak]
        [--tree CLONE]

No weights are read. Capturing the model comes before the clock starts; lowering it and planning come after.
`--tree` takes the compiler of another clone, in a process of its own, for a comparison in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

MODELS = ("smollm2-135m:512", "llama-3.2-3b:1024")
ASK = """
import json, sys, time
from lowpeak_compiler.config import TargetOptions, TrainingOptions
from lowpeak_compiler.pipeline import budget_search
from lowpeak.api import open_intake
name, tokens, kernels = sys.argv[1:]
training = TrainingOptions(int(tokens))
planning = budget_search(open_intake(f"config:{name}", training), training, TargetOptions(kernels=kernels))
wall, processor = time.monotonic(), time.process_time()
smallest = planning.minimum()
answer = {
    "budget": getattr(smallest, "budget", smallest),
    "seconds": time.monotonic() - wall,
    "processor_seconds": time.process_time() - processor,
}
print(json.dumps(answer))
"""
"""Also understood by clones in which the smallest budget is a number alone."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME:TOKENS")
    parser.add_argument("--kernels", default="lowpeak")
    parser.add_argument("--tree", type=Path, help="another clone to compare with")
    options = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    for model in options.models:
        for tree in filter(None, (here, options.tree)):
            answer = ask(tree.resolve(), model, options.kernels)
            print(
                f"{model:>24} {tree.name:>12}: {answer['budget'] / 1e6:.0f} MB in {answer['seconds']:.1f} s, "
                f"{answer['processor_seconds']:.1f} s of processor time",
                flush=True,
            )


def ask(tree: Path, model: str, kernels: str) -> dict[str, float]:
    """The smallest budget in bytes and the seconds that it took to name it."""
    name, tokens = model.rsplit(":", 1)
    path = os.pathsep.join(filter(None, (str(tree), os.environ.get("PYTHONPATH"))))
    finished = subprocess.run(
        [sys.executable, "-c", ASK, name, tokens, kernels],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return answer


if __name__ == "__main__":
    main()
