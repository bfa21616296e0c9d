"""Temporary folders of private data: gone with their process, or removed by the next that makes one."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lowpeak_artifact.private_folder import SUFFIX, private_folder, remove_leftovers

KIND = "lowpeak-test-"

HOLDER = """
import sys, time
from pathlib import Path
from lowpeak_artifact.private_folder import private_folder
with private_folder(sys.argv[1], Path(sys.argv[2])) as folder:
    (Path(folder) / "batches").mkdir()
    (Path(folder) / "batches" / "0-1.safetensors").write_text("private")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process with such a folder."""
    command = [sys.executable, "-c", HOLDER, KIND, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        yield child
        child.kill()


def folder_of(holder: subprocess.Popen[str]) -> Path:
    assert holder.stdout is not None
    return Path(holder.stdout.readline().strip())


def test_a_folder_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with private_folder(KIND, tmp_path) as folder:
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        (Path(folder) / "file").write_text("private")
        remove_leftovers(KIND, SUFFIX, tmp_path)
        assert (Path(folder) / "file").exists()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_killed_process_is_removed_by_the_next(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    left = folder_of(holder)
    with private_folder(KIND, tmp_path):
        assert left.exists()
    holder.kill()
    holder.wait()
    assert (left / "batches" / "0-1.safetensors").exists()
    with private_folder("lowpeak-other-", tmp_path):
        assert left.exists()
    with private_folder(KIND, tmp_path):
        assert not left.exists()


def test_what_is_nobody_s_leftover_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link, a file, a folder without the mark; then one of another user."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / f"{KIND}link{SUFFIX}").symlink_to(kept)
    (tmp_path / f"{KIND}file{SUFFIX}").write_text("")
    (tmp_path / f"{KIND}unmarked").mkdir()
    left = tmp_path / f"{KIND}left{SUFFIX}"
    left.mkdir()
    (left / "link").symlink_to(kept)
    names = {path.name for path in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        remove_leftovers(KIND, SUFFIX, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == names
    remove_leftovers(KIND, SUFFIX, tmp_path)
    assert names - {path.name for path in tmp_path.iterdir()} == {left.name}
    assert kept.exists()


def test_a_folder_that_was_taken_for_a_leftover_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process sweeps between the folder and its lock."""
    made = tempfile.mkdtemp
    swept: list[str] = []

    def sweeping(**options: Any) -> str:
        folder = made(**options)
        if not swept:
            swept.append(folder)
            remove_leftovers(KIND, SUFFIX, tmp_path)
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", sweeping)
    with private_folder(KIND, tmp_path) as folder:
        assert Path(folder).is_dir() and folder not in swept
    assert list(tmp_path.iterdir()) == []
