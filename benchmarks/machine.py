"""The device profile of this machine, measured: what step times are predicted from."""

from __future__ import annotations

import mmap
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from lowpeak_artifact.quantize import quantize
from lowpeak_artifact.quantized import QuantFormat
from lowpeak_compiler.budget.devices import DeviceProfile
from tests.native.linear import Linear, library

NAME = "this machine"
PASSES = 5
WARM_SECONDS = 10.0
ROWS, WIDTH = 1024, 3072
COPIED_BYTES = 256 << 20
PIECE_BYTES, PIECES = 1 << 20, 256


def this_machine(folder: Path) -> DeviceProfile:
    """`folder`: on the disk that values are offloaded to."""
    write, read = disk_speed(folder)
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return DeviceProfile(NAME, ram, matrix_gflops(), memory_speed(), read, write)


def matrix_gflops() -> float:
    """Of our int4 products, forward and input gradient, on every core that the process may use."""
    native = Linear(len(os.sched_getaffinity(0)), library().lowpeak_best_isa())
    weight = quantize(torch.randn(WIDTH, WIDTH), QuantFormat(4, 32, zero_point=False))
    x, y, dx = torch.randn(ROWS, WIDTH), torch.empty(ROWS, WIDTH), torch.empty(ROWS, WIDTH)

    def products() -> None:
        native.forward(x, weight, None, y, False)
        native.input_gradient(y, weight, dx, False)

    seconds = median_seconds(products)
    native.close()
    return 4e-9 * ROWS * WIDTH * WIDTH / seconds


def memory_speed() -> float:
    """Bytes a second that a copy reads and writes."""
    source = torch.ones(COPIED_BYTES // 4)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / median_seconds(lambda: target.copy_(source))


def median_seconds(run: Callable[[], object]) -> float:
    """Of runs for as long as a processor may be faster than it stays, and as long again, which count."""
    seconds = []
    begun = time.perf_counter()
    while (started := time.perf_counter()) < begun + 2 * WARM_SECONDS:
        run()
        if started > begun + WARM_SECONDS:
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def disk_speed(folder: Path) -> tuple[float, float]:
    """Bytes a second written to the disk, and read from it: medians of some passes over a file."""
    passes = [disk_pass(folder) for _ in range(PASSES)]
    return (
        PIECES * PIECE_BYTES / statistics.median(write for write, _ in passes),
        PIECES * PIECE_BYTES / statistics.median(read for _, read in passes),
    )


def disk_pass(folder: Path) -> tuple[float, float]:
    """Seconds to write a file and to read it backwards, as native/executorch/offload_file.cpp does."""
    piece = mmap.mmap(-1, PIECE_BYTES)
    piece.write(os.urandom(PIECE_BYTES))
    with tempfile.NamedTemporaryFile(dir=folder) as named:
        file = os.open(named.name, os.O_RDWR | os.O_DIRECT)
        places = range(0, PIECES * PIECE_BYTES, PIECE_BYTES)
        try:
            os.posix_fallocate(file, 0, len(places) * PIECE_BYTES)
            started = time.perf_counter()
            for place in places:
                os.pwrite(file, piece, place)
            written = time.perf_counter()
            for place in reversed(places):
                os.preadv(file, [piece], place)
            return written - started, time.perf_counter() - written
        finally:
            os.close(file)
