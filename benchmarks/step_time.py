"""The time of a step predicted from a profile of this machine, beside the measured one.

    python -m benchmarks.step_time MODEL --budget-mb 256 --seq-len 1024 [--trainable-ratio 0.3] [--steps 2]
        [--folder .]

The profile is benchmarks/machine.py's: our int4 products, copies in memory, transfers of a file there.
The model is compiled for it, with our kernels, and lowpeak-runner trains it under a hard limit of the budget
on the artifact's own sample; the median step is compared, without the first if there are others.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from unittest.mock import patch

from benchmarks.machine import NAME, this_machine
from benchmarks.measure import measure, report
from lowpeak import compile_for_device
from lowpeak_compiler.budget.devices import PROFILES
from lowpeak_runtime.train.optimizer import OptimizerOptions


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--budget-mb", type=float, required=True)
    parser.add_argument("--seq-len", type=int, required=True)
    parser.add_argument("--trainable-ratio", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        profile = this_machine(folder)
        print(
            f"{profile.gflops:.0f} GFLOP/s, {profile.memory_bytes_per_second / 1e9:.1f} GB/s in memory, "
            f"{profile.disk_write_bytes_per_second / 1e6:.0f} MB/s written, "
            f"{profile.disk_read_bytes_per_second / 1e6:.0f} MB/s read",
            flush=True,
        )
        with patch.dict(PROFILES, {NAME: profile}):
            artifact = compile_for_device(
                options.model,
                options.budget_mb,
                seq_len=options.seq_len,
                trainable_ratio=options.trainable_ratio,
                kernels="lowpeak",
                device=NAME,
                out=folder / "artifact",
            )
        run = measure(
            artifact,
            folder,
            steps=options.steps,
            limit_bytes=artifact.manifest.budget_bytes,
            optimizer=OptimizerOptions(),
        )
        print(report(artifact, run, artifact.manifest.budget_bytes), flush=True)
        if run.returncode:
            raise SystemExit(f"the runner ended with {run.last}")
        predicted = artifact.manifest.largest.plan.predicted_step_seconds
        print(
            f"{artifact.manifest.model_name}: {run.seconds:.2f} s a step, {predicted:.2f} s predicted, "
            f"{predicted / run.seconds - 1:+.0%}"
        )


if __name__ == "__main__":
    main()
