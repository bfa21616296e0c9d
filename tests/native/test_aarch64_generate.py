"""lowpeak-runner generate as a Cortex-A53 runs it gives this machine's tokens. Slow, as test_aarch64.py."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from lowpeak import compile_for_device
from lowpeak_export.executorch import library
from tests.native.build import build
from tests.native.test_aarch64 import EMULATOR, cross  # noqa: F401  a fixture
from tests.native.test_generate import ANSWER, PROMPT, without_end

pytestmark = pytest.mark.slow


def test_generates_the_tokens_of_this_machine(cross: Path, tmp_path: Path) -> None:  # noqa: F811
    artifact = compile_for_device(
        without_end(), budget_mb=60, seq_len=100, kernels="lowpeak", out=tmp_path / "artifact"
    )

    def tokens(folder: Path, temperature: float, emulator: Sequence[str] = ()) -> list[int]:
        job = {
            **{"artifact": str(artifact.path), "work": str(tmp_path), "checkpoint": None, "ids": PROMPT},
            **{"max_tokens": ANSWER, "temperature": temperature, "seed": 7},
        }
        (tmp_path / "job.json").write_text(json.dumps(job))
        program = [str(folder / "trainer" / library.RUNNER), "generate", str(tmp_path / "job.json")]
        command = [*emulator, *program, "--ops-library", str(folder / library.OPS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return [event["id"] for event in events if event["event"] == "token"]

    for temperature in (0.0, 0.8):
        expected = tokens(build(), temperature)
        assert len(expected) == ANSWER
        assert tokens(cross, temperature, EMULATOR) == expected
