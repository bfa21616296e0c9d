"""Where a run's temporary files go, and what is said of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from lowpeak_artifact import disk
from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_runtime.train.work_folder import work_folder
from tests.disks import mounted

MOUNTS = "22 1 254:0 / / rw - ext4 /dev/vda rw\n"


def in_memory(patch: pytest.MonkeyPatch, mounts: Path, *folders: Path) -> None:
    """As the system would tell of them."""
    lines = (f"30 22 0:26 / {folder} rw - tmpfs tmpfs rw\n" for folder in folders)
    mounts.write_text(MOUNTS + "".join(lines))
    patch.setattr(disk.Mount.of, "__defaults__", (mounts,))


def test_temporary_files_in_memory_go_to_a_folder_on_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, artifact, cache = tmp_path / "runs" / "out", tmp_path / "models" / "artifact", tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    mounts, system = tmp_path / "mountinfo", Path(tempfile.gettempdir())
    told: list[str] = []

    def taken() -> Path:
        with work_folder(out, artifact, told.append) as folder:
            return Path(folder).parent

    in_memory(monkeypatch, mounts, tmp_path / "else")
    assert taken() == system and told == []
    others = [out, artifact.parent, cache / "lowpeak"]
    for number, place in enumerate(others):
        in_memory(monkeypatch, mounts, system, *others[:number])
        with mounts.open("a") as file:
            file.writelines(f"31 30 254:1 / {each} rw - ext4 /dev/vdb rw\n" for each in others[number:])
        assert taken() == place
        assert told[-1].startswith(
            f"temporary files go to {place}: {system} is in memory (tmpfs at {system})"
        )
        assert os.listdir(place) == []
    in_memory(monkeypatch, mounts, system, *others)
    with pytest.raises(EnvironmentProblem, match=r"no folder on a disk for temporary files.* by TMPDIR"):
        taken()


@pytest.mark.disk
def test_a_real_tmpfs_is_left_for_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    with mounted(tmp_path / "memory", 1 << 20, "tmpfs") as memory:
        monkeypatch.setenv("TMPDIR", str(memory))
        monkeypatch.setattr(tempfile, "tempdir", None)
        with work_folder(memory / "out", tmp_path / "artifact", told.append) as folder:
            assert Path(folder).parent == tmp_path
    assert len(told) == 1 and f"tmpfs at {memory}" in told[0]
