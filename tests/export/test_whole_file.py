"""Under a name is the old file or the new one, whole; what lies in the way is never written through."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from lowpeak_artifact.whole_file import temporary_of, writing_beside
from lowpeak_runtime.data.batch_file import PreparedBatch, write_batch_file


def write(path: Path, content: bytes) -> None:
    with writing_beside(path) as file:
        file.write(content)


def test_it_replaces_the_old_one(tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        write(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert os.listdir(tmp_path) == ["file"]


def test_a_failure_leaves_the_old_one(tmp_path: Path) -> None:
    write(tmp_path / "file", b"old")
    with pytest.raises(ValueError, match="half"), writing_beside(tmp_path / "file") as file:
        file.write(b"ne")
        raise ValueError("half")
    assert (tmp_path / "file").read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_what_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    temporary_of(tmp_path / "file").write_bytes(b"half of something long")
    write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new" and os.listdir(tmp_path) == ["file"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither the temporary name nor the last one."""
    private = tmp_path / "private"
    private.write_bytes(b"private")
    for name in (temporary_of(tmp_path / "file"), tmp_path / "file"):
        name.symlink_to(private)
        write(tmp_path / "file", b"new")
        assert private.read_bytes() == b"private" and not (tmp_path / "file").is_symlink()
        (tmp_path / "file").unlink()


def test_a_folder_in_the_way_is_an_error(tmp_path: Path) -> None:
    temporary_of(tmp_path / "file").mkdir()
    with pytest.raises(OSError, match=r"Is a directory|not permitted"):
        write(tmp_path / "file", b"new")
    assert not (tmp_path / "file").exists()


def test_batches_are_written_so(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.write_bytes(b"private")
    (tmp_path / ".0-1.safetensors.tmp").symlink_to(private)
    path = write_batch_file(tmp_path, 0, [PreparedBatch(0, {"x": torch.zeros(2)}, 1)])
    assert private.read_bytes() == b"private" and path.name == "0-1.safetensors" and not path.is_symlink()
