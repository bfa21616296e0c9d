"""Whose a folder is: told to the second, shared with a child, gone with its holder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lowpeak import compile_for_device
from lowpeak_artifact import folder_lock
from lowpeak_artifact.disk import Need, require_room
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.folder_lock import COMPILES, in_use, joined, locked, reserved, reserving
from lowpeak_runtime.train.run_folder import run_folder

HOLD = """
import sys
from pathlib import Path
from lowpeak_artifact.folder_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the folder."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        yield child
        child.kill()


def test_the_second_is_told_who_has_it(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="still trains into") as told, locked(tmp_path):
        pass
    assert told.value.numbers == {"process": holder.pid} and f"(process {holder.pid})" in str(told.value)
    holder.kill()
    holder.wait()
    with locked(tmp_path):
        pass


def test_where_the_system_does_not_tell(
    holder: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_lock, "LOCKS", tmp_path / "nothing")
    with pytest.raises(ArtifactError, match=r"^another process still trains into"), locked(tmp_path):
        pass


def test_a_child_holds_it_with_its_parent(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from lowpeak_artifact.folder_lock import joined
with joined(Path(sys.argv[1]), int(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""
    with locked(tmp_path) as descriptor:
        command = [sys.executable, "-c", script, str(tmp_path), str(descriptor)]
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[descriptor]
        )
        assert child.stdout is not None and child.stdout.readline() == b"held\n"
    with pytest.raises(ArtifactError), locked(tmp_path):
        pass
    child.communicate()
    with locked(tmp_path):
        pass


def test_what_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be opened: No such file"), locked(tmp_path / "no"):
        pass
    descriptor = os.open("/", os.O_RDONLY)
    with pytest.raises(EnvironmentProblem, match="is not of the folder"), joined(tmp_path, descriptor):
        pass
    os.close(descriptor)


def test_what_is_to_be_made_is_reserved(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "artifact"
    # Left by one that was killed.
    (tmp_path / "deep" / ".artifact.lock").mkdir(parents=True)
    with reserved(out, COMPILES):
        with pytest.raises(ArtifactError, match=r"another process.* compiles into"), reserved(out, COMPILES):
            pass
        assert not out.exists()
    assert list((tmp_path / "deep").iterdir()) == []
    with reserved(tmp_path / "new" / "one", COMPILES):
        pass
    assert not (tmp_path / "new").exists()


def test_one_of_many_makes_it_at_a_time(tmp_path: Path) -> None:
    inside, most, told = 0, 0, 0

    @reserving(COMPILES)
    def make(*, out: Path | None = None) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        inside -= 1

    def often() -> None:
        nonlocal told
        for _ in range(200):
            try:
                make(out=tmp_path / "one")
            except ArtifactError:
                told += 1

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(often) for _ in range(4)]:
            done.result()
    assert most == 1 and not list(tmp_path.iterdir())
    make()


def test_a_runs_folder_is_none_that_another_can_remove(tmp_path: Path) -> None:
    """As whoever made it to look for room does."""
    out = tmp_path / "run"
    with run_folder(out):
        with pytest.raises(OSError, match="not empty"):
            out.rmdir()
        require_room(Need(out, (1,), "a file"))
        assert out.is_dir()
    assert not out.exists()


def test_what_is_in_use_is_not_compiled_anew(tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    words = rf"another process \(process {os.getpid()}\) still uses {artifact}: wait for its end"
    with in_use(artifact), in_use(artifact):
        with pytest.raises(ArtifactError, match=words):
            compile_for_device("config:llama-3.2-1b", 1, seq_len=16, out=artifact, overwrite=True)
        assert list(tmp_path.iterdir()) == [artifact]
    with (
        reserved(artifact, COMPILES),
        pytest.raises(ArtifactError, match=r"compiles into .* or give a new artifact"),
        in_use(artifact),
    ):
        pass
