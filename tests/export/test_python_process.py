"""A module in a process of its own: its arguments, and whose files it imports."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lowpeak_artifact.python_process import python_process

SHOWS = """
import json, sys
if __name__ == "__main__":
    print(json.dumps([json.__name__, *sys.argv[1:]]))
"""


def test_it_is_given_the_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shows.py").write_text(SHOWS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = subprocess.run([*python_process("shows"), "-a", "b c"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, '["json", "-a", "b c"]\n'), done.stderr


def test_no_file_of_the_working_folder_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in place of Python's own, nor in place of the module that was asked for."""
    work, place = tmp_path / "work", tmp_path / "place"
    for folder in (work, place):
        folder.mkdir()
    (place / "shows.py").write_text(SHOWS)
    for name in ("json", "shows", "runpy"):
        (work / f"{name}.py").write_text(f"raise SystemExit('the {name} of the working folder')\n")
    monkeypatch.setenv("PYTHONPATH", str(place))
    done = subprocess.run(python_process("shows"), cwd=work, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, '["json"]\n'), done.stderr
