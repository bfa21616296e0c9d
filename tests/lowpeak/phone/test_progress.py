"""Of the checkpoints on a phone the newest whole one is brought; its shell is played by this machine's."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import pytest
import torch

from lowpeak.phone.progress import PhoneCheckpoint
from lowpeak_artifact.errors import ArtifactError
from lowpeak_runtime.train.checkpoint import CHECKPOINT, PREVIOUS, Progress, read_progress
from lowpeak_runtime.train.checkpoint_tensors import save_checkpoint

PROGRESS = Progress(artifact="a", step=3, seed=5, fingerprint="f", options={}, data="d", position=7)


class Shell:
    """What of a Device is used, by `sh` here."""

    def __str__(self) -> str:
        return "the phone"

    def run(self, script: str, *arguments: Any, **options: Any) -> str:
        return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout

    def fetch(self, script: str, file: BinaryIO, nbytes: int = 0) -> str:
        done = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
        file.write(done.stdout)
        return done.stderr.decode()


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "phone"
    folder.mkdir()
    for step in (50, 100):
        progress = dataclasses.replace(PROGRESS, step=step)
        save_checkpoint(folder / CHECKPOINT, progress, {"x": torch.full((9,), step / 2)}, {})
    return folder


def found(there: Path) -> PhoneCheckpoint:
    newest = PhoneCheckpoint.find(Shell(), PurePosixPath(there))  # type: ignore[arg-type]
    assert newest is not None
    return newest


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_the_newest_comes_and_what_was_here_is_kept(there: Path, tmp_path: Path) -> None:
    here, told = tmp_path / CHECKPOINT, list[str]()
    save_checkpoint(here, dataclasses.replace(PROGRESS, step=20), {}, {})
    assert found(there).progress.step == 100
    found(there).fetch(here, told.append, 20)
    assert here.read_bytes() == (there / CHECKPOINT).read_bytes() and told == []
    assert read_progress(tmp_path / PREVIOUS).step == 20


@pytest.mark.parametrize(("at", "words"), [(-2, "its bytes do not give"), (12, "has no type and shape")])
def test_of_a_damaged_one_the_one_before_comes(at: int, words: str, there: Path, tmp_path: Path) -> None:
    here, told = tmp_path / CHECKPOINT, list[str]()
    flip(there / CHECKPOINT, at)
    found(there).fetch(here, told.append)
    assert here.read_bytes() == (there / PREVIOUS).read_bytes()
    assert len(told) == 1 and words in told[0]
    assert told[0].endswith(f": {PREVIOUS} is used, with 50 steps")


def test_none_that_goes_back_is_brought(there: Path, tmp_path: Path) -> None:
    here = tmp_path / CHECKPOINT
    save_checkpoint(here, dataclasses.replace(PROGRESS, step=70), {}, {})
    flip(there / CHECKPOINT, -2)
    with pytest.raises(ArtifactError, match="and none before it has more than 70 steps"):
        found(there).fetch(here, lambda _: None, 70)
    assert read_progress(here).step == 70


def test_a_link_in_place_of_what_has_arrived(there: Path, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.write_text("private")
    (tmp_path / f".{CHECKPOINT}.phone").symlink_to(private)
    found(there).fetch(tmp_path / CHECKPOINT, lambda _: None)
    assert private.read_text() == "private" and not (tmp_path / CHECKPOINT).is_symlink()


def test_all_damaged(there: Path) -> None:
    for name in (CHECKPOINT, PREVIOUS):
        flip(there / name, 12)
    with pytest.raises(ArtifactError, match=rf"{PREVIOUS} on the phone .* and .*{CHECKPOINT} on the phone"):
        found(there)
