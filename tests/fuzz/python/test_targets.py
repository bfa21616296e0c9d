"""Some hundred mutations of each target, and of whole compiles; longer: docs/security.md."""

from __future__ import annotations

import time
from random import Random
from types import ModuleType

import pytest

from tests.fuzz.python import compiling, config, gguf, safetensors_shards

MUTATIONS = 60


@pytest.mark.parametrize("module", [gguf, safetensors_shards, config], ids=lambda each: each.__name__)
def test_only_lowpeak_errors_come_out(module: ModuleType) -> None:
    random, seeds = Random(0), module.seeds()
    for seed in seeds:
        module.target(seed)
    for _ in range(MUTATIONS):
        data = module.mutate(random.choice(seeds), random)
        started = time.process_time()
        module.target(data)
        assert time.process_time() - started < compiling.SECONDS


@pytest.mark.slow
def test_compiles_end_in_time_and_memory() -> None:
    tally = compiling.run(1000, whole=20, seed=7, kinds=["qwen2", "gpt2", "gemma3_text"], gguf=0.3, keep=None)
    assert tally.bad == []
    assert tally.outcomes["compiled"] > 0 and tally.outcomes["refused"] > 100
