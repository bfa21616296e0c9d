"""Folders tried for writing and room: what is refused, in which words, and that nothing is left."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lowpeak_artifact import disk
from lowpeak_artifact.disk import Mount, Need, require_room, temporary_folder
from lowpeak_artifact.errors import EnvironmentProblem
from tests.disks import fill, mounted

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /tmp rw,nosuid - tmpfs tmpfs rw,size=1g
31 30 254:1 / /tmp/disk rw shared:4 master:2 - ext4 /dev/vdb rw
32 22 254:2 / /a\\040b rw - ext4 /dev/zram0 rw
"""
HUGE = 1 << 60


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    places = {"/tmp/a/b": True, "/tmp": True, "/tmp/disk/a": False, "/home/a": False, "/a b/c": True}
    assert {place: Mount.of(Path(place), mounts).in_memory for place in places} == places
    assert str(Mount.of(Path("/tmp/disk/a"), mounts)) == "ext4 at /tmp/disk"
    assert not Mount.of(Path("/tmp"), tmp_path / "nothing").in_memory


def test_a_folder_with_room_is_left_as_it_was(tmp_path: Path) -> None:
    require_room(Need(tmp_path / "a" / "b", (1 << 20, 5000), "a run"), Need(tmp_path, (), "files"))
    assert os.listdir(tmp_path) == []


def test_more_than_the_disk_has_is_refused_with_figures(tmp_path: Path) -> None:
    needs = Need(tmp_path / "out", (HUGE,), "the run", "give another --out"), Need(tmp_path, (5000,), "files")
    with pytest.raises(
        EnvironmentProblem, match=rf"{HUGE} bytes are needed in {tmp_path}/out for the run"
    ) as refused:
        require_room(*needs)
    assert refused.value.numbers["needed_bytes"] == HUGE + 5000
    assert 0 < refused.value.numbers["free_bytes"] < HUGE
    assert "are free there" in str(refused.value) and str(refused.value).endswith("give another --out")
    assert f"and {HUGE + 5000} on that disk in all" in str(refused.value)
    with pytest.raises(EnvironmentProblem, match=rf"needed in {tmp_path}/many"):
        require_room(Need(tmp_path / "many", (1 << 20,), "batches", times=1 << 40))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("file", "there is a file of that name"),
        ("file/below", "a part of the path is a file, not a folder"),
        ("n" * 300, "the name is too long"),
    ],
)
def test_what_can_be_no_folder(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem) as refused:
        require_room(Need(tmp_path / name, (5,), "the run"))
    assert str(tmp_path / name) in str(refused.value) and words in str(refused.value)
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_nobody_may_write_to() -> None:
    with pytest.raises(
        EnvironmentProblem, match=r"/sys/lowpeak .*, the place for the run, cannot be written"
    ):
        require_room(Need(Path("/sys/lowpeak"), (5,), "the run"))


def test_a_limit_of_the_size_of_files(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        require_room(Need(tmp_path, (100_000, 100_000), "the run"))
        with pytest.raises(EnvironmentProblem, match="a file may not become so large"):
            require_room(Need(tmp_path, (100_001,), "the run"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_tmpdir_that_is_none_is_not_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for name, words in (("missing", "which is missing"), ("file", "which is a file")):
        monkeypatch.setenv("TMPDIR", str(tmp_path / name))
        with pytest.raises(EnvironmentProblem, match=words):
            temporary_folder()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert temporary_folder() == tmp_path


def test_too_many_open_files_are_told() -> None:
    program = f"""
import resource, sys
from pathlib import Path
from lowpeak_artifact.disk import Need, require_room
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
try:
    require_room(Need(Path({str(disk.__file__)!r}).parent, (5,), "the run"))
except Exception as error:
    sys.stdout.write(f"{{type(error).__name__}}: {{error}}")
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
    assert told.startswith("EnvironmentProblem: ") and "raise the limit (ulimit -n)" in told


@pytest.mark.disk
def test_a_full_disk(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 8 << 20) as folder:
        require_room(Need(folder / "out", (2 << 20, 3 << 20), "the run"))
        fill(folder, but=3 << 20)
        require_room(Need(folder / "out", (1 << 20,), "the run"), Need(tmp_path, (HUGE >> 30,), "files"))
        with pytest.raises(EnvironmentProblem, match=rf"are free there \(ext4 at {folder}\)"):
            require_room(Need(folder / "out", (2 << 20, 2 << 20), "the run"))
        with pytest.raises(EnvironmentProblem, match="and 4194304 on that disk in all"):
            require_room(Need(folder / "out", (2 << 20,), "the run"), Need(folder, (2 << 20,), "files"))
        assert sorted(os.listdir(folder)) == ["filler", "lost+found"]


@pytest.mark.disk
def test_a_file_system_without_more_files(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 8 << 20, "tmpfs", "nr_inodes=3") as folder:
        for name in ("a", "b"):
            (folder / name).write_text("")
        with pytest.raises(EnvironmentProblem, match="but no more files can be made"):
            require_room(Need(folder, (5,), "the run"))


@pytest.mark.disk
def test_a_file_system_that_is_read_only(tmp_path: Path) -> None:
    with (
        mounted(tmp_path / "disk", 8 << 20, options="ro") as folder,
        pytest.raises(
            EnvironmentProblem, match=rf"{folder} .* cannot be written.*the file system is read-only"
        ),
    ):
        require_room(Need(folder, (5,), "the run"))


@pytest.mark.disk
def test_in_memory_no_page_is_taken_for_the_answer(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 8 << 20, "tmpfs") as folder:
        assert Mount.of(folder).in_memory and Mount.of(folder / "a").in_memory
        require_room(Need(folder, (7 << 20,), "the run"))
        with pytest.raises(EnvironmentProblem, match=r"are free there \(tmpfs at"):
            require_room(Need(folder, (9 << 20,), "the run"))


def test_room_is_looked_for_while_others_look(tmp_path: Path) -> None:
    """Each removes, as an empty one, a folder that it made for that; the last of several may stay."""
    needs = [Need(tmp_path / "new" / name, (5000,), "a run") for name in ("one", "two", ".")]

    def often(need: Need) -> None:
        for _ in range(200):
            require_room(need)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(often, needs[number % 3]) for number in range(4)]:
            done.result()
    assert not [path for path in tmp_path.rglob("*") if not path.is_dir()]
