"""Steps that put values into a file: foretold and measured, and what reading ahead hides of the disk's time.

    python -m benchmarks.offload [--steps 5] [--folder .]

A small Llama at a long sequence, whose values take about as long to write and read as to compute. The same
step is compiled with room for everything; within a budget that makes it offload (recomputation is made to
look dear for this, which it is not here); and within it without reading ahead, each load just before its use.
lowpeak-runner takes turns with the three; medians are compared. The profile that times are predicted with is
of this machine: the disk's speed from a file in the folder, written and read as the runner does it (piece by
piece, each pushed to the disk and out of the page cache), the processor's from the step with room for
everything. Hidden is the part of the disk's time, bytes by speed, that the offloading step is not longer by.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.measure import measure
from compiler.devices import PROFILES, DeviceProfile
from compiler.plan import decide, planner
from compiler.plan.candidates import Units, find_units
from compiler.plan.program import Program
from export.artifact import Artifact
from lowpeak import compile_for_device
from runtime_py.optimizer import OptimizerOptions

THIS = "this machine"
TOKENS = 1024
ROOM_MB, TIGHT_MB = 4000.0, 80.0
PIECE_BYTES, PIECES = 1 << 20, 256
WRITTEN = 7
"""sync_file_range: starts what is left to write, and waits for it."""
DEAR = 1000.0


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


def disk_speed(folder: Path) -> tuple[float, float]:
    """Bytes a second written to the disk, and read from it: medians of some passes over a file."""
    passes = [disk_pass(folder) for _ in range(5)]
    return (
        PIECES * PIECE_BYTES / statistics.median(write for write, _ in passes),
        PIECES * PIECE_BYTES / statistics.median(read for _, read in passes),
    )


def disk_pass(folder: Path) -> tuple[float, float]:
    """Seconds to write a file and to read it backwards, as native/executorch/offload_file.cpp does."""
    sync_file_range = ctypes.CDLL(None, use_errno=True).sync_file_range
    sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    piece = bytearray(os.urandom(PIECE_BYTES))
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        number = file.fileno()
        places = range(0, PIECES * PIECE_BYTES, PIECE_BYTES)
        os.posix_fallocate(number, 0, len(places) * PIECE_BYTES)
        started = time.perf_counter()
        for place in places:
            os.pwrite(number, piece, place)
            if sync_file_range(number, place, PIECE_BYTES, WRITTEN):
                raise OSError(ctypes.get_errno(), "sync_file_range")
            os.posix_fadvise(number, place, PIECE_BYTES, os.POSIX_FADV_DONTNEED)
        written = time.perf_counter()
        for place in reversed(places):
            os.preadv(number, [piece], place)
            os.posix_fadvise(number, place, PIECE_BYTES, os.POSIX_FADV_DONTNEED)
        return written - started, time.perf_counter() - written


def compiled(budget_mb: float, profile: DeviceProfile, out: Path) -> Artifact:
    with patch.dict(PROFILES, {THIS: profile}), patch.object(decide, "find_units", dear_units):
        return compile_for_device(
            model(), budget_mb, seq_len=TOKENS, kernels="lowpeak", device=THIS, out=out, overwrite=True
        )


def dear_units(program: Program) -> Units:
    found = find_units(program)
    return replace(found, all=[replace(unit, seconds=DEAR * unit.seconds) for unit in found.all])


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
        rough = DeviceProfile(THIS, 16_000_000_000, 70.0, 10e9, read, write)
        roomy = compiled(ROOM_MB, rough, folder / "roomy")
        seconds = timed({"room": roomy}, options.steps, folder)["room"]
        predicted = roomy.manifest.largest.plan.predicted_step_seconds
        factor = predicted / seconds
        profile = DeviceProfile(THIS, rough.ram_bytes, 70.0 * factor, 10e9 * factor, read, write)
        print(
            f"processor: {profile.gflops:.1f} GFLOP/s, from {seconds:.2f} s with {predicted:.2f} s foretold"
        )
        artifacts = {"room": roomy, "offload": compiled(TIGHT_MB, profile, folder / "ahead")}
        with patch.object(planner, "prefetch", not_ahead):
            artifacts["not ahead"] = compiled(TIGHT_MB, profile, folder / "not-ahead")
        measured = timed(artifacts, options.steps, folder)
        for name, artifact in artifacts.items():
            plan = artifact.manifest.largest.plan
            print(
                f"{name:>10}: {measured[name]:.2f} s a step, {plan.predicted_step_seconds:.2f} foretold; "
                f"{plan.offloaded_values} values offloaded, {plan.offload_bytes / 1e6:.0f} MB, "
                f"{plan.recomputed_operations} operations run again"
            )
        plan = artifacts["offload"].manifest.largest.plan
        transfers = plan.offload_bytes / write + plan.offload_bytes / read
        error = artifacts["offload"].manifest.largest.plan.predicted_step_seconds / measured["offload"] - 1
        hidden = 1 - (measured["offload"] - measured["room"]) / transfers
        print(f"foretold with offload: {error:+.0%}; {transfers:.2f} s of transfers, hidden: {hidden:.0%}")


def timed(artifacts: dict[str, Artifact], rounds: int, folder: Path) -> dict[str, float]:
    """Median seconds of a step, in turns; the first step of a run is not counted."""
    found: dict[str, list[float]] = {name: [] for name in artifacts}
    for _ in range(rounds):
        for name, artifact in artifacts.items():
            with tempfile.TemporaryDirectory(dir=folder) as work:
                run = measure(artifact, Path(work), steps=2, limit_bytes=None, optimizer=OptimizerOptions())
            if run.returncode:
                raise SystemExit(f"the runner ended with {run.last}")
            found[name].append(run.steps[1]["seconds"])
    return {name: statistics.median(seconds) for name, seconds in found.items()}


if __name__ == "__main__":
    main()
