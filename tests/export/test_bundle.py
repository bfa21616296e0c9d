"""Artifact folders are written whole or not at all, whatever happens on the way."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lowpeak_artifact.artifact import MANIFEST, Artifact, sha256_of
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.layout import SIGNATURE
from lowpeak_export.bundle import writing
from tests.export.blank import WEIGHTS, blank_manifest, fill, write_blank

ROOT = Path(__file__).parents[2]


def test_the_manifest_lists_what_was_written(tmp_path: Path) -> None:
    """Whatever the given one lists; it comes last, and back."""
    with writing(tmp_path / "artifact") as bundle:
        fill(bundle, b"payload")
        bundle.path("more").write_bytes(b"")
        complete = bundle.finish(blank_manifest())
        assert not (tmp_path / "artifact").exists()
    written = json.loads((tmp_path / "artifact" / MANIFEST).read_text())["files"]
    names = set(os.listdir(tmp_path / "artifact")) - {MANIFEST}
    assert written.keys() == complete.files.keys() == names
    for name, record in complete.files.items():
        file = tmp_path / "artifact" / name
        assert (record.sha256, record.bytes) == (sha256_of(file), file.stat().st_size)


@pytest.mark.parametrize("name", [MANIFEST, SIGNATURE, "../more", "a/b", ""])
def test_names_that_no_file_of_an_artifact_has(name: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError), writing(tmp_path / "artifact") as bundle:
        bundle.path(name)
    assert os.listdir(tmp_path) == []


def test_without_a_manifest_there_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="has no manifest"), writing(tmp_path / "artifact") as bundle:
        fill(bundle, b"payload")
    assert os.listdir(tmp_path) == []


def test_a_name_that_is_taken_meanwhile(tmp_path: Path) -> None:
    """By somebody who does not lock: what is there stays."""
    with pytest.raises(ArtifactError, match="in use"), writing(tmp_path / "artifact") as bundle:
        fill(bundle, b"payload")
        bundle.finish(blank_manifest())
        (tmp_path / "artifact").write_text("hours of work")
    assert os.listdir(tmp_path) == ["artifact"]
    assert (tmp_path / "artifact").read_text() == "hours of work"


def test_others_may_read_it_as_the_users_mask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        folder = write_blank(tmp_path / "artifact")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


def test_folders_in_use_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    with pytest.raises(ArtifactError, match=r"in use: it holds thesis\.tex"):
        write_blank(tmp_path / "thesis", overwrite=True)
    with pytest.raises(ArtifactError, match="is a file"):
        write_blank(tmp_path / "thesis" / "thesis.tex", overwrite=True)
    folder = write_blank(tmp_path / "artifact")
    with pytest.raises(ArtifactError, match="in use by an artifact; give another folder or overwrite"):
        write_blank(folder)
    (folder / "trained.safetensors").write_text("hours of work")
    with pytest.raises(ArtifactError, match=r"trained\.safetensors"):
        write_blank(folder, overwrite=True)
    (tmp_path / "empty").mkdir()
    Artifact.open(write_blank(tmp_path / "empty"))


@pytest.mark.parametrize("exchange", [True, False])
def test_overwriting_replaces_the_whole_artifact(
    exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_blank(tmp_path / "artifact")
    if not exchange:
        monkeypatch.setattr("lowpeak_export.bundle.exchange", lambda one, other: False)
    write_blank(folder, b"new", overwrite=True)
    assert (Artifact.open(folder).path / WEIGHTS).read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["artifact"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (RuntimeError("bug"), RuntimeError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (PermissionError(13, "denied"), EnvironmentProblem),
    ],
)
def test_a_failed_write_leaves_the_earlier_artifact(
    error: BaseException, raised: type[BaseException], tmp_path: Path
) -> None:
    folder = write_blank(tmp_path / "artifact")
    with pytest.raises(raised), writing(folder, overwrite=True) as bundle:
        fill(bundle, b"half")
        raise error
    assert (Artifact.open(folder).path / WEIGHTS).read_bytes() == b"payload"
    assert os.listdir(tmp_path) == ["artifact"]


def _child(code: str) -> subprocess.Popen[str]:
    imports = (
        "import sys, time, resource, pathlib\n"
        "import lowpeak_export.bundle as b\nfrom tests.export.blank import *\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", imports + code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


HANG = "def hang(*_, **__):\n    print('here', flush=True)\n    time.sleep(600)\n"
WRITE = "write_blank(pathlib.Path({!r}), b'new', overwrite=True)\n"


@pytest.mark.parametrize(
    ("stage", "remains"),
    [("b.sync", b"payload"), ("b.publish", b"payload"), ("b.shutil.rmtree", b"new")],
)
def test_a_killed_writer_leaves_a_whole_artifact(stage: str, remains: bytes, tmp_path: Path) -> None:
    folder = write_blank(tmp_path / "artifact")
    child = _child(f"{HANG}{stage} = hang\n" + WRITE.format(str(folder)))
    assert child.stdout is not None
    assert child.stdout.readline() == "here\n"
    with writing(tmp_path / "other") as bundle:
        fill(bundle, b"other")
        bundle.finish(blank_manifest())
    if remains == b"payload":
        half_made = [name for name in os.listdir(tmp_path) if name.startswith(".artifact.")]
        write_blank(folder, overwrite=True)
        assert [n for n in os.listdir(tmp_path) if n.startswith(".artifact.")] == half_made
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert (Artifact.open(folder).path / WEIGHTS).read_bytes() == remains
    assert len(os.listdir(tmp_path)) == 3
    write_blank(folder, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["artifact", "other"]


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("how", ["write", "safetensors"])
def test_a_full_disk_is_reported_with_numbers(existing: bool, how: str, tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    if existing:
        write_blank(folder)
    write = {
        "write": "fill(bundle, b'x' * 5000)",
        "safetensors": "from safetensors.torch import save_file; import torch\n"
        "        save_file({'x': torch.zeros(5000)}, bundle.path('adapter.safetensors'))",
    }[how]
    child = _child(
        f"""
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
from lowpeak_artifact.errors import EnvironmentProblem
try:
    with b.writing(pathlib.Path({str(folder)!r}), overwrite=True, expected_bytes=3000) as bundle:
        {write}
except EnvironmentProblem as error:
    print(error.numbers["needed_bytes"], error.numbers["free_bytes"] > 0, "become so large" in str(error))
"""
    )
    out, err = child.communicate()
    assert re.fullmatch(r"(4096|3000) True True\n", out), err
    assert os.listdir(tmp_path) == (["artifact"] if existing else [])
    if existing:
        Artifact.open(folder)


def test_room_is_asked_for_beforehand(tmp_path: Path) -> None:
    with (
        pytest.raises(EnvironmentProblem, match="are free there") as caught,
        writing(tmp_path / "artifact", expected_bytes=1 << 60),
    ):
        raise AssertionError("the block is not entered")
    assert caught.value.numbers["needed_bytes"] == 1 << 60
    assert os.listdir(tmp_path) == []
