from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from runtime_py import work_folder as module
from runtime_py.work_folder import in_memory, work_folder

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /tmp rw,nosuid - tmpfs tmpfs rw,size=1g
31 30 254:1 / /tmp/disk rw shared:4 master:2 - ext4 /dev/vdb rw
"""


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    places = {"/tmp/a/b": True, "/tmp": True, "/tmp/disk/a": False, "/home/a": False}
    assert {place: in_memory(Path(place), mounts) for place in places} == places
    assert not in_memory(Path("/tmp"), tmp_path / "nothing")


def test_temporary_files_in_memory_go_to_the_run_s_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with work_folder(out) as folder:
        assert Path(folder).parent == Path(tempfile.gettempdir())
    monkeypatch.setattr(module, "in_memory", lambda place: place != out)
    with work_folder(out) as folder:
        assert Path(folder).parent == out
    assert list(out.iterdir()) == []
    with work_folder(None) as folder:
        assert Path(folder).parent == Path(tempfile.gettempdir())
