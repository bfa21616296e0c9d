"""Some mutations of artifacts in every run of the tests; thousands by `python -m tests.fuzz.artifacts`."""

from pathlib import Path

from tests.fuzz.artifacts import fuzz

MUTATIONS = 250


def test_the_runner_survives_mutated_files(tmp_path: Path) -> None:
    found = fuzz(tmp_path, MUTATIONS)
    assert found.executions == MUTATIONS
    assert not found.problems, (found.problems, found.kept)
    # Neither is all of it refused, nor all read.
    assert MUTATIONS // 4 < found.errors < MUTATIONS
