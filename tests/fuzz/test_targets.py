"""Each coverage-guided fuzzer for some seconds: pytest -m slow tests/fuzz."""

from pathlib import Path

import pytest

from tests.fuzz.seeds import save_seeds
from tests.fuzz.targets import build, fuzz, save_corpora, targets

SECONDS = 10


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_seeds(tmp_path_factory.mktemp("seeds"))[0]


@pytest.mark.slow
@pytest.mark.parametrize("target", targets())
def test_a_fuzzer_finds_nothing(target: str, seeds: Path, tmp_path: Path) -> None:
    built = build(target)
    save_corpora(tmp_path, seeds)
    done = fuzz(target, built, tmp_path, seeds, SECONDS)
    assert done.returncode == 0, done.stderr[-6000:]
