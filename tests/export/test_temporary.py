"""What a process that cannot unwind removes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lowpeak_artifact import temporary
from lowpeak_artifact.temporary import list_temporary, remove_temporary, temporary_if_empty


def test_what_is_listed_goes_with_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parent, used, other = (tmp_path / name for name in ("whole", "parent", "used", "other"))
    for folder in (whole, parent, used, other):
        folder.mkdir()
    for folder in (whole, used):
        (folder / "file").touch()
    monkeypatch.setattr(temporary, "_listed", {other: (os.getppid(), True)})
    list_temporary(whole)
    with temporary_if_empty(parent, parent / "lock", used):
        (parent / "lock").mkdir()
        remove_temporary()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "used"]
    list_temporary(used)
    assert set(temporary._listed) == {other, used}


def test_an_empty_folder_is_temporary_during_the_block_only(tmp_path: Path) -> None:
    with temporary_if_empty(tmp_path):
        pass
    remove_temporary()
    assert tmp_path.is_dir()
