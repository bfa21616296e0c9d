"""Eager PEFT with gradient checkpointing, as a process that is told a job: benchmarks/native_step.py."""

from __future__ import annotations

import sys
from functools import partial

from lowpeak_runtime.train.eager import run
from lowpeak_runtime.train.worker import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], partial(run, checkpointing=True)))
