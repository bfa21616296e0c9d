"""Artifact folders: opened whole or not at all, written whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lowpeak_artifact.artifact import MANIFEST, Artifact
from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.layout import ADAPTER, PLAN
from lowpeak_artifact.manifest import TensorRecord
from lowpeak_export.bundle import writing
from tests.export.blank import WEIGHTS, blank_manifest, fill, write_blank
from tests.tiny import TinyStep, planned_step, tiny_batch, tiny_llama, write_artifact

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return planned_step(tiny_llama(num_hidden_layers=1))


def test_what_is_written_is_read(tiny: TinyStep, tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "artifact", tiny)
    seen: list[tuple[int, int]] = []
    artifact = Artifact.open(folder, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == sum(each.bytes for each in artifact.manifest.files.values())
    for record in artifact.manifest.weights:
        assert torch.equal(artifact.tensor(record.name), tiny.values[record.name])
    adapter = artifact.adapter()
    assert list(adapter) == list(tiny.graph.gradients)
    assert all(torch.equal(adapter[name], tiny.values[name]) for name in adapter)
    sample = artifact.sample()
    assert sample is not None
    assert all(torch.equal(tensor, sample[name]) for name, tensor in tiny_batch(tiny.spec).items())
    assert artifact.graph().arena_bytes == tiny.step.arena_bytes
    assert "program.pte" not in artifact.manifest.files
    with pytest.raises(ArtifactError, match=r"program\.pte"):
        artifact.file("program.pte")
    with pytest.raises(ArtifactError, match=r"no frozen tensor nothing"):
        artifact.tensor("nothing")
    assert sorted(os.listdir(folder)) == sorted([MANIFEST, *artifact.manifest.files])
    assert os.listdir(tmp_path) == ["artifact"]


def test_mapped_weights_are_private(tiny: TinyStep, tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "artifact", tiny)
    artifact = Artifact.open(folder)
    artifact.tensor(artifact.manifest.weights[0].name).zero_()
    Artifact.open(folder)


def _change_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def _rename_listed(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        _change_manifest(folder, lambda m: m["files"].update({name: m["files"][WEIGHTS]}))

    return damage


def _link(target: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder.parent / "outside").write_bytes((folder / WEIGHTS).read_bytes())
        (folder / WEIGHTS).unlink()
        (folder / WEIGHTS).symlink_to(target)

    return damage


def _flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(data)


DAMAGE: list[tuple[str, Callable[[Path], Any]]] = [
    (r"weights\.ptd is missing", lambda f: (f / WEIGHTS).unlink()),
    (r"weights\.ptd .* truncated: 3 bytes instead of 7", lambda f: (f / WEIGHTS).write_bytes(b"pay")),
    (r"weights\.ptd .* too long: 8 bytes", lambda f: (f / WEIGHTS).write_bytes(b"payload!")),
    (r"weights\.ptd .* sha256", _flip_a_bit),
    (r"has no manifest", lambda f: (f / MANIFEST).unlink()),
    (r"not JSON", lambda f: (f / MANIFEST).write_text("{")),
    (r"cannot be read", lambda f: (f / MANIFEST).write_bytes(b"\xff\xfe")),
    (r"schema version 99", lambda f: _change_manifest(f, lambda m: m.update(schema_version=99))),
    (r"should have the fields", lambda f: _change_manifest(f, lambda m: m.pop("buckets"))),
    (r"should have the fields", lambda f: _change_manifest(f, lambda m: m["buckets"][0].pop("plan"))),
    (r"there is no bucket", lambda f: _change_manifest(f, lambda m: m.update(buckets=[]))),
    (
        r"buckets\[0\]\.plan\.arena_bytes",
        lambda f: _change_manifest(f, lambda m: m["buckets"][0]["plan"].update(arena_bytes="1")),
    ),
    (r"does not list plan\.csv", lambda f: _change_manifest(f, lambda m: m["files"].pop(PLAN))),
    (
        r"does not list sample\.safetensors",
        lambda f: _change_manifest(f, lambda m: m.update(sample={"loss": 1.0})),
    ),
    (r"'\.\./outside'", _rename_listed("../outside")),
    (r"'/etc/passwd'", _rename_listed("/etc/passwd")),
    (r"'\.\.'", _rename_listed("..")),
    (r"'sub/file'", _rename_listed("sub/file")),
    (r"'sub\\\\file'", _rename_listed("sub\\file")),
    (r"'manifest\.json'", _rename_listed(MANIFEST)),
    (r"link to .*outside", _link("../outside")),
    (r"does not list", lambda f: _change_manifest(f, lambda m: m.update(weights_file="other"))),
]


@pytest.mark.parametrize(("fault", "damage"), DAMAGE, ids=[fault for fault, _ in DAMAGE])
def test_damaged_folders_are_refused(fault: str, damage: Callable[[Path], Any], tmp_path: Path) -> None:
    folder = write_blank(tmp_path / "artifact")
    Artifact.open(folder)
    damage(folder)
    with pytest.raises(ArtifactError, match=fault):
        Artifact.open(folder)


def _in_its_place(make: Callable[[Path], object], name: str = WEIGHTS) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return damage


@pytest.mark.parametrize("name", [WEIGHTS, MANIFEST])
@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (os.mkfifo, "is no regular file"),
        (lambda path: os.mknod(path, 0o644 | stat.S_IFCHR, os.makedev(1, 5)), "is no regular file"),
        (os.mkdir, "is no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a link to /dev/zero; links are not followed"),
        (lambda path: path.symlink_to("plan.csv"), r"is a link to plan\.csv; links are not followed"),
        (lambda path: path.symlink_to(path.name), "is a link to"),
        (lambda path: socket.socket(socket.AF_UNIX).bind(str(path)), r"is no regular file|cannot be read"),
    ],
    ids=["fifo", "device", "folder", "link to a device", "link within", "link to itself", "socket"],
)
def test_only_regular_files_are_opened(
    make: Callable[[Path], object], fault: str, name: str, tmp_path: Path
) -> None:
    folder = write_blank(tmp_path / "artifact")
    _in_its_place(make, name)(folder)
    with pytest.raises(ArtifactError, match=fault):
        Artifact.open(folder)


def test_files_that_nobody_listed_are_left_alone(tmp_path: Path) -> None:
    folder = write_blank(tmp_path / "artifact")
    os.mkfifo(folder / "more")
    (folder / "config.json").symlink_to("/dev/zero")
    Artifact.open(folder)


def test_a_manifest_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    folder = write_blank(tmp_path / "artifact")
    os.truncate(folder / MANIFEST, 1 << 40)
    with pytest.raises(ArtifactError, match=r"has 1099511627776 bytes, the most that is read is 16777216"):
        Artifact.open(folder)


def test_an_artifact_is_known_by_the_hash_of_its_manifest(tmp_path: Path) -> None:
    folder = write_blank(tmp_path / "artifact")
    artifact = Artifact.open(folder)
    assert artifact.sha256 == hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    assert Artifact.open(folder, expect=artifact.sha256.upper()).sha256 == artifact.sha256
    other = Artifact.open(write_blank(tmp_path / "other", b"another")).sha256
    with pytest.raises(ArtifactError, match=f"the sha256 of its manifest.json is .*, expected is {other}"):
        Artifact.open(folder, expect=other)
    for short in ("", artifact.sha256[:16], artifact.sha256 + "0", "x" * 64):
        with pytest.raises(ArtifactError, match="is no SHA-256: give all 64"):
            Artifact.open(folder, expect=short)
    (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes() + b"\n")
    Artifact.open(folder)
    with pytest.raises(ArtifactError, match="is not the artifact that was expected"):
        Artifact.open(folder, expect=artifact.sha256)


def test_what_is_read_is_what_was_checked(tiny: TinyStep, tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "artifact", tiny)
    artifact = Artifact.open(folder)
    for name, read in ((ADAPTER, artifact.adapter), ("graph.json", artifact.graph)):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(ArtifactError, match="is not the file that was compiled"):
            read()


def test_sizes_are_checked_without_hashes(tmp_path: Path) -> None:
    folder = write_blank(tmp_path / "artifact")
    _flip_a_bit(folder)
    Artifact.open(folder, verify=False)
    (folder / WEIGHTS).write_bytes(b"")
    with pytest.raises(ArtifactError, match="truncated"):
        Artifact.open(folder, verify=False)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="it is a file"):
        Artifact.open(tmp_path / "file")
    with pytest.raises(ArtifactError, match="it is missing"):
        Artifact.open(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("shape", "offset"), [([2], 0), ([1], 4), ([1], -4), ([1], 1), ([1], None), ([-1], 0)]
)
def test_weights_outside_of_their_file_are_refused(
    shape: list[int], offset: int | None, tmp_path: Path
) -> None:
    manifest = dataclasses.replace(
        blank_manifest(), weights=[TensorRecord("w", shape, "float32", offset)], parameters=[]
    )
    with writing(tmp_path / "artifact") as bundle:
        fill(bundle, b"7 bytes")
        bundle.finish(manifest)
    with pytest.raises(ArtifactError, match=r"manifest\.json: (manifest\.weights|w is)"):
        Artifact.open(tmp_path / "artifact").tensor("w")


def test_adapters_are_as_the_manifest_says(tiny: TinyStep, tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "artifact", tiny)
    _change_manifest(folder, lambda m: m["parameters"][0]["shape"].append(1))
    with pytest.raises(ArtifactError, match=rf"{ADAPTER} has no .* of shape"):
        Artifact.open(folder).adapter()
