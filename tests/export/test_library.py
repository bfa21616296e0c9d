"""Where the native parts are looked for, and what is said when they are nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_export.executorch import library


@pytest.fixture(autouse=True)
def nothing_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_INSTALLED", tmp_path / "installed")
    monkeypatch.setattr(library, "_BUILT", tmp_path / "built")
    monkeypatch.delenv(library.OPS_VARIABLE, raising=False)
    monkeypatch.delenv(library.RUNNER_VARIABLE, raising=False)


def made(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return file


def test_the_variable_then_the_package_then_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert library.runner_program() is None
    for place in ("built/trainer/lowpeak-runner", "installed/bin/lowpeak-runner"):
        made(tmp_path / place)
        assert library.runner_program() == tmp_path / place
    for place in ("built/liblowpeak_ops.so", "installed/lib/liblowpeak_ops.so"):
        made(tmp_path / place)
        assert library.ops_library() == tmp_path / place
    monkeypatch.setenv(library.OPS_VARIABLE, str(made(tmp_path / "own.so")))
    assert library.ops_library() == tmp_path / "own.so"


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match=r"has none: install a C\+\+17 compiler .* then run `pip"):
        library.ops_library()
    made(tmp_path / "c++").chmod(0o755)
    with pytest.raises(EnvironmentProblem, match="has none: run `pip install"):
        library.ops_library()
    monkeypatch.setenv(library.OPS_VARIABLE, "nothing.so")
    with pytest.raises(EnvironmentProblem, match=r"nothing\.so, which LOWPEAK_OPS_LIBRARY names"):
        library.ops_library()
