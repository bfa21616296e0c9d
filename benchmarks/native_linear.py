"""GFLOP/s of the quantized products of native/ against torch's float32 ones, in one process, interleaved.

    python -m benchmarks.native_linear [--repeats 15]

Reproduce from the root of the repository; needs cmake, ninja and a C++17 compiler. Weights are int4
in groups of 32. A ratio is the native median over torch's; its numerator includes the decoding of weights.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch

from lowpeak_artifact.quantize import quantize
from lowpeak_artifact.quantized import QuantFormat
from tests.native.linear import Linear, library


def interleaved(functions: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each, measured by turns."""
    seconds: list[list[float]] = [[] for _ in functions]
    for turn in range(repeats + 1):
        for function, taken in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function()
            if turn:  # the first one warms up
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]


def report(
    name: str, flops: float, native: Callable[[], object], dense: Callable[[], object], repeats: int
) -> None:
    """One line: GFLOP/s of both and their ratio."""
    ours, theirs = (flops / seconds / 1e9 for seconds in interleaved([native, dense], repeats))
    print(f"{name:52} {ours:9.1f} {theirs:9.1f} {ours / theirs:7.2f}", flush=True)


def main() -> None:
    """Print a line per product, shape and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    isa = library().lowpeak_best_isa()
    print(f"{platform.platform()}, torch {torch.__version__}, isa {isa}, {repeats} repeats")
    print(f"{'product':52} {'native':>9} {'torch':>9} {'ratio':>7}   GFLOP/s")
    torch.manual_seed(0)
    for workers in (1, 2):
        torch.set_num_threads(workers)
        native = Linear(workers, isa)
        print(f"{workers} threads, {native.scratch_bytes} bytes of scratch")
        for inputs, outputs in ((3072, 3072), (3072, 8192), (8192, 3072)):
            dense = torch.randn(outputs, inputs) * 0.02
            weight = quantize(dense, QuantFormat(4, 32, zero_point=False))
            for tokens in (256, 1024):
                x, y = torch.randn(tokens, inputs), torch.empty(tokens, outputs)
                dx = torch.empty(tokens, inputs)
                flops = 2 * tokens * inputs * outputs
                shape = f"{tokens} x {inputs} -> {outputs}"
                report(
                    f"forward {shape}",
                    flops,
                    lambda x=x, w=weight, y=y, n=native: n.forward(x, w, None, y, False),
                    lambda x=x, w=dense, y=y: torch.mm(x, w.T, out=y),
                    repeats,
                )
                report(
                    f"input gradient {shape}",
                    flops,
                    lambda y=y, w=weight, dx=dx, n=native: n.input_gradient(y, w, dx, False),
                    lambda y=y, w=dense, dx=dx: torch.mm(y, w, out=dx),
                    repeats,
                )
        lora(native, repeats)
        native.close()


def lora(native: Linear, repeats: int, tokens: int = 256, width: int = 3072, rank: int = 16) -> None:
    """The dense products of a LoRA branch."""
    x, dy, out = torch.randn(tokens, width), torch.randn(tokens, width), torch.zeros(tokens, width)
    low = torch.randn(tokens, rank)
    a, b = torch.randn(rank, width), torch.randn(width, rank)
    flops = 2 * tokens * width * rank
    for name, left, left_t, right, right_t, result in (
        ("x @ A^T", x, False, a, True, low),
        ("low @ B^T", low, False, b, True, out),
        ("dy @ B", dy, False, b, False, low),
        ("dA = dlow^T @ x", low, True, x, False, torch.zeros_like(a)),
        ("dB = dy^T @ low", dy, True, low, False, torch.zeros_like(b)),
    ):
        report(
            f"LoRA {name}, {tokens} x {width}, rank {rank}",
            flops,
            lambda a=left, at=left_t, b=right, bt=right_t, c=result: native.matmul(
                a, at, b, bt, 1.0, c, False
            ),
            lambda a=left, at=left_t, b=right, bt=right_t, c=result: torch.mm(
                a.T if at else a, b.T if bt else b, out=c
            ),
            repeats * 4,
        )


if __name__ == "__main__":
    main()
