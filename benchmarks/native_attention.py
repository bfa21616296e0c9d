"""Attention kernels against torch's flash attention for CPU: ratios of median seconds, bytes of scratch.

Reproduce with `python -m benchmarks.native_attention` from the root of the repository. Each repetition runs
both, one after the other. torch gets repeated keys and values or enable_gqa, whichever is faster.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from statistics import median

import torch
from torch.nn.functional import scaled_dot_product_attention

from tests.native.attention import Attention, attention
from tests.native.linear import library

HEADS, KEY_HEADS, DIM = 24, 8, 128


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _torch_work(query, key, value, grad, gqa: bool):  # type: ignore[no-untyped-def]
    """Forward and backward as two callables; the forward's graph serves the next backward."""
    groups = query.shape[0] // key.shape[0]
    leaves = [x.clone()[None].requires_grad_() for x in (query, key, value)]
    out: list[torch.Tensor] = []

    def forward() -> None:
        q, k, v = leaves
        if not gqa:
            k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        out[:] = [scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=gqa)]

    def backward() -> None:
        for leaf in leaves:
            leaf.grad = None
        out[0].backward(grad[None])

    return forward, backward


def compare(ours: Attention, tokens: int, repetitions: int) -> str:
    """One line of the table."""
    # As a projection leaves them: [tokens, heads, dim].
    query, grad, out, grad_query = (torch.randn(tokens, HEADS, DIM).transpose(0, 1) for _ in range(4))
    key, value, grad_key, grad_value = (torch.randn(tokens, KEY_HEADS, DIM).transpose(0, 1) for _ in range(4))
    logsumexp = torch.empty(HEADS, tokens)
    scratch = {direction: ours.scratch(direction, query, key) for direction in ("forward", "backward")}
    steps = {
        "ours": (
            lambda: ours.forward(query, key, value, out, logsumexp, scratch["forward"]),
            lambda: ours.backward(
                (grad, query, key, value, out, logsumexp),
                (grad_query, grad_key, grad_value),
                scratch["backward"],
            ),
        ),
        "repeated": _torch_work(query, key, value, grad, gqa=False),
        "gqa": _torch_work(query, key, value, grad, gqa=True),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for _ in range(repetitions + 1):
        for name, (forward, backward) in steps.items():
            seconds[name].append((_seconds(forward), _seconds(backward)))
    medians = {
        name: (
            median(f for f, _ in runs[1:]),
            median(b for _, b in runs[1:]),
            median(f + b for f, b in runs[1:]),
        )
        for name, runs in seconds.items()
    }
    best = min("repeated", "gqa", key=lambda name: medians[name][2])
    ratios = "  ".join(
        f"{theirs / mine:7.2f}" for mine, theirs in zip(medians["ours"], medians[best], strict=True)
    )
    # Half of the pairs, two products forward and five backward, two operations each.
    gflops = 7 * HEADS * DIM * tokens**2 / medians["ours"][2] / 1e9
    sizes = "  ".join(f"{scratch[direction].nbytes / 2**20:8.2f}" for direction in scratch)
    return (
        f"{tokens:6}  {ours.workers:7}  {ratios}  {medians['ours'][2] * 1e3:8.1f}  "
        f"{medians[best][2] * 1e3:8.1f}  {gflops:8.1f}  {sizes}  {best}"
    )


def main() -> None:
    """Print machine and versions, then one line for each number of tokens and threads."""
    isa = library().lowpeak_best_isa()
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, torch {torch.__version__}")
    print(f"{HEADS} heads, {KEY_HEADS} key heads of {DIM}; torch's seconds / ours: above 1 we are faster")
    print(
        "tokens  threads  forward  backward   both     ours ms  torch ms  GFLOP/s   "
        "forward  backward MiB  torch by"
    )
    for tokens, repetitions in ((1024, 9), (4096, 3)):
        for workers in (1, 2):
            torch.set_num_threads(workers)
            with attention(workers, isa, DIM**-0.5) as ours:
                print(compare(ours, tokens, repetitions), flush=True)


if __name__ == "__main__":
    main()
