"""`fsck` says of every file what it is, changes nothing unless asked, and saves what can be saved."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lowpeak.cli import main
from lowpeak_artifact.artifact import MANIFEST, Artifact
from lowpeak_artifact.errors import ArtifactError
from lowpeak_runtime.fsck.fsck import fsck
from lowpeak_runtime.fsck.fsck_report import FsckReport
from lowpeak_runtime.train.checkpoint import CHECKPOINT, PREVIOUS, artifact_id
from lowpeak_runtime.train.checkpoint_format import Progress
from lowpeak_runtime.train.checkpoint_tensors import save_checkpoint
from lowpeak_runtime.train.trainer import save_adapter
from tests.tiny import planned_step, tiny_llama, write_artifact


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact, and a run of it under the default name with two checkpoints and an adapter."""
    folder = tmp_path_factory.mktemp("made")
    write_artifact(folder / "artifact", planned_step(tiny_llama()))
    artifact, run = Artifact.open(folder / "artifact"), folder / "artifact-trained"
    run.mkdir()
    for step in (50, 100):
        progress = Progress(artifact_id(artifact.manifest), step, 0, "f", {}, "d", step)
        adapter = {name: torch.full_like(tensor, step) for name, tensor in artifact.adapter().items()}
        save_checkpoint(run / CHECKPOINT, progress, adapter, {})
    save_adapter(run, artifact, lambda _: None)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def states(report: FsckReport) -> dict[str, str]:
    return {each.file: each.state for each in report.findings}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(each): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def flip(path: Path, at: int = -3) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_what_is_whole(folder: Path) -> None:
    before = contents(folder)
    artifact, run = fsck(folder / "artifact"), fsck(folder / "artifact-trained")
    assert (artifact.kind, run.kind) == ("artifact", "run")
    assert artifact.whole and set(states(artifact).values()) == {"whole"} and len(states(artifact)) > 5
    assert states(run) == {
        CHECKPOINT: "whole",
        PREVIOUS: "whole",
        "adapter/adapter_config.json": "whole",
        "adapter/adapter_model.safetensors": "whole",
    }
    assert [each.detail for each in run.findings[:2]] == ["100 steps", "50 steps"]
    assert fsck(folder / "artifact-trained" / "adapter").kind == "adapter"
    assert contents(folder) == before


def test_files_of_an_artifact(folder: Path) -> None:
    artifact = folder / "artifact"
    names = sorted(set(os.listdir(artifact)) - {MANIFEST})
    flip(artifact / names[0])
    (artifact / names[1]).write_bytes((artifact / names[1]).read_bytes()[:-1])
    (artifact / names[2]).unlink()
    (artifact / "chat_template.jinja").write_text("x")
    dead = folder / ".artifact.x1.writing"
    dead.mkdir()
    report = fsck(artifact)
    by_file = {each.file: each for each in report.findings}
    assert "its sha256 is " in by_file[names[0]].detail and "it has " in by_file[names[1]].detail
    assert [by_file[name].state for name in names[:4]] == ["damaged", "damaged", "missing", "whole"]
    assert "copy this one file again" in by_file[names[0]].remedy
    assert by_file["chat_template.jinja"].state == "foreign" and not report.whole
    assert by_file[f"../{dead.name}"].state == "leftover" and dead.exists()
    repaired = fsck(artifact, repair=True)
    assert repaired.repaired == [f"../{dead.name} was removed"] and not dead.exists() and not repaired.whole
    (artifact / MANIFEST).write_text("{")
    assert states(fsck(artifact)) == {MANIFEST: "damaged"}
    (artifact / MANIFEST).unlink()
    assert states(fsck(artifact)) == {MANIFEST: "missing"}


def test_a_writer_that_lives_is_no_leftover(folder: Path) -> None:
    working = folder / ".artifact.x1.writing"
    working.mkdir()
    descriptor = os.open(working, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert f"../{working.name}" not in states(fsck(folder / "artifact", repair=True)) and working.exists()
    finally:
        os.close(descriptor)


def test_a_damaged_checkpoint(folder: Path) -> None:
    run = folder / "artifact-trained"
    flip(run / CHECKPOINT)
    before = contents(run)
    report = fsck(run)
    by_file = {each.file: each for each in report.findings}
    assert not report.whole and by_file[CHECKPOINT].detail == "its bytes do not give its checksum"
    assert f"goes on from {PREVIOUS}, with 50 steps" in by_file[CHECKPOINT].remedy
    assert contents(run) == before
    repaired = fsck(run, repair=True)
    assert repaired.repaired == [f"{PREVIOUS} is {CHECKPOINT} now, with 50 steps"] and repaired.whole
    assert (run / CHECKPOINT).read_bytes() == before[str(run / PREVIOUS)] and not (run / PREVIOUS).exists()


def test_a_kill_between_the_renames(folder: Path) -> None:
    run = folder / "artifact-trained"
    (run / CHECKPOINT).replace(run / PREVIOUS)
    report = fsck(run)
    assert states(report)[CHECKPOINT] == "missing" and states(report)[PREVIOUS] == "whole"
    assert fsck(run, repair=True).whole and (run / CHECKPOINT).exists()


def test_both_checkpoints_damaged(folder: Path) -> None:
    run = folder / "artifact-trained"
    for name in (CHECKPOINT, PREVIOUS):
        flip(run / name)
    report = fsck(run, repair=True)
    assert not report.whole and report.repaired == []
    assert all("the steps are lost" in each.remedy for each in report.findings if each.state == "damaged")


def test_the_adapter_is_made_from_the_newest_whole_checkpoint(folder: Path) -> None:
    run = folder / "artifact-trained"
    weights = run / "adapter" / "adapter_model.safetensors"
    # Not mapped: the file is cut below.
    whole = {name: tensor.clone() for name, tensor in load_file(weights).items()}
    weights.write_bytes(weights.read_bytes()[:-4])
    flip(run / CHECKPOINT)
    report = fsck(run)
    (finding,) = (each for each in report.findings if each.file == "adapter/adapter_model.safetensors")
    assert finding.state == "damaged" and finding.remedy == "--repair makes it again from the checkpoint"
    repaired = fsck(run, repair=True)
    assert repaired.whole and repaired.repaired[-1] == f"adapter was made from {CHECKPOINT}"
    for name, tensor in load_file(weights).items():
        assert (whole[name] - tensor).eq(50).all()
    shutil.rmtree(run / "adapter")
    assert states(fsck(run))["adapter"] == "not made" and fsck(run).whole
    elsewhere = run.rename(folder / "elsewhere")
    with pytest.raises(ArtifactError, match="name it by --artifact"):
        fsck(elsewhere, repair=True)
    assert "adapter/adapter_config.json" in states(fsck(elsewhere, repair=True, artifact=folder / "artifact"))


def test_an_artifact_that_is_not_the_runs(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_artifact(other, planned_step(tiny_llama()), model_name="other")
    shutil.rmtree(folder / "artifact-trained" / "adapter")
    with pytest.raises(ArtifactError, match="is a run of another artifact"):
        fsck(folder / "artifact-trained", repair=True, artifact=other)


LEFT = (f".{CHECKPOINT}.tmp", f".{CHECKPOINT}.phone", "lowpeak-train-x", ".adapter.x", ".deploy.x")


def test_leftovers(folder: Path) -> None:
    run = folder / "artifact-trained"
    for name in LEFT:
        (run / name).mkdir() if name[-1] == "x" else (run / name).write_text("half")
    (run / "notes.txt").write_text("mine")
    report = fsck(run)
    assert [states(report)[name] for name in LEFT] == ["leftover"] * 5 and report.whole
    assert states(report)["notes.txt"] == "foreign"
    repaired = fsck(run, repair=True)
    assert sorted(repaired.repaired) == sorted(f"{name} was removed" for name in LEFT)
    assert sorted(os.listdir(run)) == ["adapter", PREVIOUS, CHECKPOINT, "notes.txt"]


def test_a_run_that_is_at_work(folder: Path) -> None:
    run = folder / "artifact-trained"
    (run / f".{CHECKPOINT}.tmp").write_text("half")
    descriptor = os.open(run, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        report = fsck(run)
        assert report.in_use and states(report)[f".{CHECKPOINT}.tmp"] == "not judged"
        with pytest.raises(ArtifactError, match="wait for its end, and repair then"):
            fsck(run, repair=True)
        assert (run / f".{CHECKPOINT}.tmp").exists()
    finally:
        os.close(descriptor)


def test_what_was_prepared(folder: Path) -> None:
    run = folder / "artifact-trained"
    (run / "job.json").write_text('{"steps": 1')
    (run / "batches").mkdir()
    shutil.copy(run / "adapter" / "adapter_model.safetensors", run / "batches" / "0-4.safetensors")
    (run / "batches" / "4-8.safetensors").write_bytes(b"\1\0\0\0")
    seen = states(fsck(run))
    assert (seen["job.json"], seen["batches/0-4.safetensors"]) == ("damaged", "whole")
    assert seen["batches/4-8.safetensors"] == "damaged"


def test_no_folder_of_ours(tmp_path: Path) -> None:
    for wrong, words in ((tmp_path, "is no artifact, run or adapter"), (tmp_path / "no", "is not there")):
        with pytest.raises(ArtifactError, match=words):
            fsck(wrong)


def test_the_verb(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder / "artifact-trained"
    assert main(["fsck", str(run)]) == 0
    assert "whole" in capsys.readouterr().out
    flip(run / CHECKPOINT)
    assert main(["fsck", str(run), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["whole"], told["in_use"]) == ("run", False, False)
    assert told["findings"][0]["file"] == CHECKPOINT and told["findings"][0]["state"] == "damaged"
    assert main(["fsck", str(run), "--repair"]) == 0
    assert f"{PREVIOUS} is {CHECKPOINT} now" in capsys.readouterr().err
    assert main(["fsck", str(folder), "--json"]) == 2


def test_a_run_is_looked_at_without_torch(folder: Path) -> None:
    code = "import sys; from lowpeak.cli import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    command = [sys.executable, "-c", code, "fsck", str(folder / "artifact-trained"), "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == "0 False"


@pytest.mark.parametrize("name", [CHECKPOINT, "adapter/adapter_model.safetensors", "job.json"])
def test_what_is_no_regular_file_is_not_waited_for(folder: Path, name: str) -> None:
    path = folder / "artifact-trained" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    (finding,) = [each for each in fsck(folder / "artifact-trained").findings if each.file == name]
    assert finding.state == "damaged" and "it is no regular file" in finding.detail


def test_a_link_in_an_artifact_is_damage(folder: Path) -> None:
    weights = folder / "artifact" / "weights.ptd"
    weights.symlink_to(weights.rename(folder / "weights"))
    (finding,) = [each for each in fsck(folder / "artifact").findings if each.file == weights.name]
    assert finding.state == "damaged" and "links are not followed" in finding.detail


def test_a_repair_that_needs_the_artifact_says_so(folder: Path) -> None:
    run = (folder / "artifact-trained").rename(folder / "elsewhere")
    shutil.rmtree(run / "adapter")
    (run / "job.json").write_text(json.dumps({"artifact": "x" * 5000}))
    with pytest.raises(ArtifactError, match="name it by --artifact"):
        fsck(run, repair=True)
