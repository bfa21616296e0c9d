"""Steps that put values into a file: predicted and measured, and what reading ahead hides of the disk's time.

    python -m benchmarks.offload [--steps 5] [--folder .]

A small Llama at a long sequence, whose values take about as long to write and read as to compute. The same
step is compiled with room for everything; within a budget that makes it offload (recomputation is made to
look dear for this, which it is not here); and within it without reading ahead, each load just before its use.
lowpeak-runner takes turns with the three, and with the second while its file is in memory (/dev/shm), a disk
that takes no time; medians are compared. The profile that times are predicted with is of this machine:
the disk's speed from a file in the folder, written and read as the runner does it (piece by piece, past the
page cache), the processor's from the step with room for everything. Hidden is the part of the disk's time,
bytes by speed, that the offloading step is not longer by than the one whose file is in memory.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.machine import NAME, disk_speed
from benchmarks.measure import measure
from lowpeak import compile_for_device
from lowpeak_artifact.artifact import Artifact
from lowpeak_compiler.budget.devices import PROFILES, DeviceProfile
from lowpeak_compiler.plan import measure as plans
from lowpeak_compiler.plan.decide import decide
from lowpeak_compiler.plan.decide.candidates import Units, find_units
from lowpeak_compiler.plan.program import Program
from lowpeak_runtime.train.optimizer import OptimizerOptions

TOKENS = 1024
ROOM_MB, TIGHT_MB = 4000.0, 80.0
DEAR = 1000.0
MEMORY = Path("/dev/shm")


def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=2048,
            hidden_size=256,
            intermediate_size=512,
            num_hidden_layers=24,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=TOKENS,
            tie_word_embeddings=True,
        )
    )


def compiled(budget_mb: float, profile: DeviceProfile, out: Path) -> Artifact:
    with patch.dict(PROFILES, {NAME: profile}), patch.object(decide, "find_units", dear_units):
        return compile_for_device(
            model(), budget_mb, seq_len=TOKENS, kernels="lowpeak", device=NAME, out=out, overwrite=True
        )


def dear_units(program: Program) -> Units:
    units = find_units(program)
    return replace(units, all=[replace(unit, seconds=DEAR * unit.seconds) for unit in units.all])


def not_ahead(program: Program, budget: int, alignment: int) -> Program:
    return program


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        write, read = disk_speed(folder)
        print(f"disk: {write / 1e6:.0f} MB/s written, {read / 1e6:.0f} MB/s read")
        rough = DeviceProfile(NAME, 16_000_000_000, 70.0, 10e9, read, write)
        roomy = compiled(ROOM_MB, rough, folder / "roomy")
        seconds = timed({"room": (roomy, folder)}, options.steps)["room"]
        predicted = roomy.manifest.largest.plan.predicted_step_seconds
        factor = predicted / seconds
        profile = DeviceProfile(NAME, rough.ram_bytes, 70.0 * factor, 10e9 * factor, read, write)
        print(
            f"processor: {profile.gflops:.1f} GFLOP/s, from {seconds:.2f} s with {predicted:.2f} s predicted"
        )
        ahead = compiled(TIGHT_MB, profile, folder / "ahead")
        with patch.object(plans, "prefetch", not_ahead):
            behind = compiled(TIGHT_MB, profile, folder / "not-ahead")
        runs = {
            "room": (roomy, folder),
            "offload": (ahead, folder),
            "not ahead": (behind, folder),
            "in memory": (ahead, MEMORY),
        }
        measured = timed(runs, options.steps)
        for name, (artifact, _) in runs.items():
            plan = artifact.manifest.largest.plan
            print(
                f"{name:>10}: {measured[name]:.2f} s a step, {plan.predicted_step_seconds:.2f} predicted; "
                f"{plan.offloaded_values} values offloaded, {plan.offload_bytes / 1e6:.0f} MB, "
                f"{plan.recomputed_operations} operations run again"
            )
        plan = ahead.manifest.largest.plan
        transfers = plan.offload_bytes / write + plan.offload_bytes / read
        error = plan.predicted_step_seconds / measured["offload"] - 1
        hidden = 1 - (measured["offload"] - measured["in memory"]) / transfers
        print(f"predicted with offload: {error:+.0%}; {transfers:.2f} s of transfers, hidden: {hidden:.0%}")


def timed(runs: dict[str, tuple[Artifact, Path]], rounds: int) -> dict[str, float]:
    """Median seconds of a step of each artifact with its files in the folder beside it, in turns.

    The first step of a run is not counted.
    """
    measured: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, (artifact, folder) in runs.items():
            with tempfile.TemporaryDirectory(dir=folder) as work:
                run = measure(artifact, Path(work), steps=2, limit_bytes=None, optimizer=OptimizerOptions())
            if run.returncode:
                raise SystemExit(f"the runner ended with {run.last}")
            measured[name].append(run.steps[1]["seconds"])
    return {name: statistics.median(seconds) for name, seconds in measured.items()}


if __name__ == "__main__":
    main()
