"""tests/kills.py in short; the long run is `python -m tests.kills`."""

from __future__ import annotations

import subprocess
import sys

import pytest

TOLERANT = "--tolerate-temporary"


def run(*arguments: str) -> list[str]:
    command = [sys.executable, "-m", "tests.kills", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.thorough
def test_kills_and_runs_at_once() -> None:
    lines = run("--only", "native", "simulate", "at-once", "--kills", "4", "--at-once", "3", TOLERANT)
    assert [line.partition(":")[0] for line in lines] == ["native", "simulate", "at-once"]
    assert all("nothing lost" in line for line in lines) and "told" in lines[2]


@pytest.mark.slow
def test_200_kills_of_each() -> None:
    assert len(run("--kills", "200", "--at-once", "50")) == 5
