"""Predicted seconds of an operation: which resource bounds it, and what a call adds."""

from __future__ import annotations

import pytest

from lowpeak_compiler.plan.cost import Rates

RATES = Rates(flops=100.0, memory_bytes=10.0, disk_read_bytes=4.0, disk_write_bytes=2.0, seconds_per_op=0.5)


@pytest.mark.parametrize(
    ("flops", "nbytes", "seconds"), [(400, 10, 4.5), (100, 30, 3.5), (0, 0, 0.5), (200, 20, 2.5)]
)
def test_the_slower_of_arithmetic_and_memory_and_a_call(flops: float, nbytes: float, seconds: float) -> None:
    assert RATES.compute_seconds(flops, nbytes) == seconds


def test_an_offloaded_value_is_written_and_read() -> None:
    assert RATES.offload_seconds(8) == 4 + 2
