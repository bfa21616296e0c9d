"""Training on a phone by the command line, and home again: the same bits as on this machine."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lowpeak import compile_for_device, deploy, pull
from lowpeak.cli import INTERRUPTED, main
from lowpeak.phone.layout import run_folder
from lowpeak.phone.progress import PhoneCheckpoint
from lowpeak.phone.shell import Device
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_runtime.train.checkpoint import CHECKPOINT, PREVIOUS, read_progress
from lowpeak_runtime.train.supervisor import StepReport
from lowpeak_runtime.train.trainer import train
from tests.device.phones import DATA, Phone, Phones
from tests.lowpeak.checkpoint import SEQ_LEN, save_data

pytestmark = [pytest.mark.device, pytest.mark.usefixtures("native")]

STEPS = 8
LONG_STEPS = 2000
"""More than a second."""
MANY_STEPS = 20_000
WAIT_SECONDS = 120.0
"""A process that imports torch on a busy machine."""
NAME = 'my run\'s "first" $HOME'


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def printed(capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(capfd.readouterr().out)
    return told


def on_phone(phone: Phone, name: str) -> list[str]:
    return sorted(path.name for path in (phone.lowpeak / "runs" / name).iterdir())


def waits_for(phone: Phone, program: str, running: bool) -> None:
    ends = time.monotonic() + WAIT_SECONDS
    while bool(phone.processes(program)) is not running:
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_deploy_and_pull_give_the_adapter_of_train_bit_for_bit(
    artifact: Artifact,
    data: Path,
    machine_runner: Path,
    phone: Phone,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    here = train(artifact, data, steps=STEPS, out=tmp_path / "here", engine="native")
    run = tmp_path / NAME
    options = ["--runner", str(machine_runner), "--data", str(data), "--steps", str(STEPS), "--out", str(run)]
    assert main(["deploy", str(artifact.path), "--no-app", "--run", *options, "--json"]) == 0
    told = printed(capfd)
    assert told["losses"] == list(here.losses)
    assert (told["steps"], told["stop_reason"], told["device"]) == (STEPS, None, phone.serial)
    assert told["app_version"] is None
    assert told["run_folder"] == f"/data/local/tmp/lowpeak/runs/{NAME}"
    # Of the process on the phone, as that says: all of it.
    assert 0 < told["peak_rss_bytes"] <= told["budget_bytes"]
    assert on_phone(phone, NAME) == [CHECKPOINT, "events.ndjson", "pid", "status", "stderr"]

    assert main(["pull", str(artifact.path), "--out", str(run), "--json"]) == 0
    home = printed(capfd)
    assert (home["steps"], home["losses"]) == (STEPS, list(here.losses))
    assert files_of(run / "adapter") == files_of(tmp_path / "here" / "adapter")
    assert (run / CHECKPOINT).read_bytes() == (tmp_path / "here" / CHECKPOINT).read_bytes()
    lines = [json.loads(line) for line in (run / "metrics.ndjson").read_text().splitlines()]
    assert [line["loss"] for line in lines] == list(here.losses)
    assert all(line["peak_held_bytes"] <= line["budget_bytes"] for line in lines)

    # What is there is not sent again, and a run that has its steps is not begun again.
    assert deploy(artifact, runner=machine_runner).sent_bytes == 0
    with pytest.raises(ArtifactError, match=f"the run has its {STEPS} steps already: `lowpeak pull`"):
        deploy(artifact, data, steps=STEPS, out=run, runner=machine_runner, resume=True)


def test_what_is_left_out_of_the_data_is_told(
    artifact: Artifact, machine_runner: Path, phone: Phone, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    examples = [{"prompt": "x" * size, "completion": "y"} for size in (1, 2, 2 * SEQ_LEN)]
    data = save_data(tmp_path / "data.jsonl", "\n".join(map(json.dumps, examples)))
    command = ["deploy", str(artifact.path), "--run", "--data", str(data), "--steps", "4"]
    assert main([*command, "--runner", str(machine_runner), "--out", str(tmp_path / "run"), "--json"]) == 0
    out, err = capfd.readouterr()
    told = json.loads(out)["data"]
    assert (told["examples"], told["seen"], told["dropped"]) == (3, 3, 1)
    assert "left out: 1 of 3 examples seen have no token to train on" in err
    here = train(artifact, data, steps=4, out=tmp_path / "here", engine="native")
    assert here.data is not None and told == json.loads(json.dumps(dataclasses.asdict(here.data)))


def test_each_goes_on_with_the_others_run(
    artifact: Artifact, data: Path, machine_runner: Path, phone: Phone, tmp_path: Path
) -> None:
    straight = train(artifact, data, steps=STEPS, out=tmp_path / "straight")
    run = tmp_path / "run"
    first = train(artifact, data, steps=2, out=run)
    second = deploy(artifact, data, steps=4, out=run, runner=machine_runner, resume=True)
    # The phone's is ahead, and is fetched to go on from it.
    third = deploy(artifact, data, steps=6, out=run, runner=machine_runner, resume=True)
    assert read_progress(run / CHECKPOINT).step == 4
    pull(artifact, out=run)
    fourth = train(artifact, data, steps=STEPS, out=run, resume=True)
    assert [report.start_step for report in (second, third, fourth)] == [2, 4, 6]
    assert first.losses + second.losses + third.losses + fourth.losses == straight.losses
    assert files_of(run / "adapter") == files_of(tmp_path / "straight" / "adapter")
    with pytest.raises(ArtifactError, match=f"has {STEPS} steps, the run on .* 6: `lowpeak deploy --resume`"):
        pull(artifact, out=run)


def test_the_kernels_of_ours_and_two_phones(
    data: Path, machine_runner: Path, all_phones: Phones, phone: Phone, artifact: Artifact, tmp_path: Path
) -> None:
    ours = compile_for_device(
        str(artifact.path.with_name("tiny")), 20, seq_len=16, kernels="lowpeak", out=tmp_path / "artifact"
    )
    here = train(ours, data, steps=2, out=tmp_path / "here", engine="native")
    with all_phones.plugged_in() as second:
        for each in (phone, second):
            there = deploy(
                ours, data, steps=2, out=tmp_path / "run", runner=machine_runner, device=each.serial
            )
            assert (there.device, there.losses) == (each.serial, here.losses)
        with pytest.raises(EnvironmentProblem, match="there are 2 devices"):
            pull(ours, out=tmp_path / "run")
        pull(ours, out=tmp_path / "run", device=second.serial)
    assert files_of(tmp_path / "run" / "adapter") == files_of(tmp_path / "here" / "adapter")


def test_a_build_for_linux_brings_its_own_loader_and_c_library(
    artifact: Artifact, data: Path, machine_runner: Path, phone: Phone, tmp_path: Path
) -> None:
    folder = shutil.copytree(machine_runner, tmp_path / "runner")
    told = subprocess.run(["ldd", str(folder / "lowpeak-runner")], capture_output=True, text=True, check=True)
    for place in re.findall(r"(/\S+) \(0x", told.stdout):
        if not (folder / Path(place).name).exists():
            shutil.copy(place, folder)
    (loader,) = (path.name for path in folder.glob("ld-linux*"))
    libraries: set[str] = set()

    def look(step: StepReport) -> None:
        for pid in [] if libraries else phone.processes(loader):
            maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
            libraries.update(line.split()[-1] for line in maps if ".so" in line)

    here = train(artifact, data, steps=LONG_STEPS, out=tmp_path / "here", engine="native")
    there = deploy(artifact, data, steps=LONG_STEPS, out=tmp_path / "run", runner=folder, on_step=look)
    assert there.losses == here.losses
    assert {path.rpartition("/")[0] for path in libraries} == {f"{phone.folder}/{DATA}/lowpeak/bin"}
    assert any(path.endswith("/libc.so.6") for path in libraries)
    # Another runner's libraries do not stay.
    deploy(artifact, runner=machine_runner)
    there_now = {path.name for path in (phone.lowpeak / "bin").iterdir()}
    assert there_now == {path.name for path in machine_runner.iterdir()}


def test_a_cable_that_is_pulled_while_it_trains_and_plugged_in_again(
    artifact: Artifact, data: Path, machine_runner: Path, phone: Phone, tmp_path: Path
) -> None:
    straight = train(artifact, data, steps=40, out=tmp_path / "straight", engine="native")
    seen: list[float] = []

    def cut(step: StepReport) -> None:
        seen.append(step.loss)
        if len(seen) == 5:
            phone.cut()

    run = tmp_path / "run"
    with pytest.raises(
        EnvironmentProblem, match=r"broke after \d+ steps; the run there stops and keeps them"
    ):
        deploy(artifact, data, steps=MANY_STEPS, out=run, runner=machine_runner, on_step=cut)
    waits_for(phone, "lowpeak-runner", running=False)
    phone.plug_in()
    kept = pull(artifact, out=run)
    assert 5 <= kept.steps < MANY_STEPS
    goal = kept.steps + 3
    deploy(artifact, data, steps=goal, out=run, runner=machine_runner, resume=True)
    assert pull(artifact, out=run).steps == goal
    assert seen == list(straight.losses[: len(seen)])


def test_a_pull_that_breaks_goes_on_where_it_broke(
    artifact: Artifact, data: Path, machine_runner: Path, phone: Phone, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    deploy(artifact, data, steps=2, out=run, runner=machine_runner)
    whole = (phone.lowpeak / "runs" / "run" / CHECKPOINT).read_bytes()
    partial, half = run / f".{CHECKPOINT}.phone", len(whole) // 2
    # What is sent is the beginning, and then the connection breaks.
    beginning = f"toybox tail -c +1 | head -c {half}; sleep 20"
    phone.replace_tool("tail", beginning)
    timer = threading.Timer(2.0, phone.cut)
    timer.start()
    with pytest.raises(EnvironmentProblem, match=r"the connection to .* broke"):
        pull(artifact, out=run)
    timer.join()
    assert partial.read_bytes() == whole[:half] and not (run / CHECKPOINT).exists()
    phone.plug_in()
    sent = "/data/local/tmp/sent"
    phone.replace_tool("tail", f'echo "$2" > {sent}; toybox tail "$@"')
    assert pull(artifact, out=run).steps == 2
    assert (phone.root / sent[1:]).read_text() == f"+{half + 1}\n"
    assert (run / CHECKPOINT).read_bytes() == whole and not partial.exists()
    # The beginning of another file is of no use.
    for spoiled in (b"x" * half, b"x" * len(whole), b"x" * (2 * len(whole))):
        partial.write_bytes(spoiled)
        pull(artifact, out=run)
        assert (phone.root / sent[1:]).read_text() == "+1\n"
        assert (run / CHECKPOINT).read_bytes() == whole
    phone.replace_tool("tail", 'toybox tail "$@"; echo more')
    with pytest.raises(EnvironmentProblem, match=r"arrives from .* as another file, sent twice"):
        pull(artifact, out=run)
    assert (run / CHECKPOINT).read_bytes() == whole and not partial.exists()


def test_a_checkpoint_that_is_damaged_there_stays_there(
    artifact: Artifact, data: Path, machine_runner: Path, phone: Phone, tmp_path: Path
) -> None:
    run, told = tmp_path / "run", list[str]()
    deploy(artifact, data, steps=4, out=run, runner=machine_runner, checkpoint_every=2)
    there = phone.lowpeak / "runs" / "run"
    before = (there / PREVIOUS).read_bytes()
    content = bytearray((there / CHECKPOINT).read_bytes())
    content[-2] ^= 8
    (there / CHECKPOINT).write_bytes(content)
    private = tmp_path / "private"
    private.write_text("x")
    run.mkdir(exist_ok=True)
    (run / f".{CHECKPOINT}.phone").symlink_to(private)
    assert pull(artifact, out=run, tell=told.append).steps == 2
    assert "is damaged (its bytes do not give its checksum): " in told[0]
    assert told[0].endswith(f"{PREVIOUS} is used, with 2 steps")
    assert (run / CHECKPOINT).read_bytes() == before and private.read_text() == "x"
    (there / PREVIOUS).unlink()
    with pytest.raises(ArtifactError, match="and none before it has more than 2 steps"):
        pull(artifact, out=run)
    assert (run / CHECKPOINT).read_bytes() == before


def test_an_interrupt_stops_the_phones_run_with_a_checkpoint(
    artifact: Artifact, data: Path, machine_runner: Path, phone: Phone, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "lowpeak.cli", "deploy", str(artifact.path), "--run"]
    command += ["--data", str(data), "--steps", str(MANY_STEPS), "--out", str(tmp_path / "run")]
    with subprocess.Popen(
        [*command, "--runner", str(machine_runner)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        waits_for(phone, "lowpeak-runner", running=True)
        events = phone.lowpeak / "runs" / "run" / "events.ndjson"
        while not events.exists() or b'"step"' not in events.read_bytes():
            assert child.poll() is None
        with pytest.raises(
            ArtifactError, match=rf"another process \(process {child.pid}\) still trains into"
        ):
            deploy(artifact, data, steps=2, out=tmp_path / "run", runner=machine_runner)
        elsewhere = tmp_path / "other" / "run"
        with pytest.raises(ArtifactError, match=r"is being trained by process \d+: wait for its end"):
            deploy(artifact, data, steps=2, out=elsewhere, runner=machine_runner)
        # As a terminal does: to adb as well.
        os.killpg(child.pid, signal.SIGINT)
        _, err = child.communicate()
    assert child.returncode == INTERRUPTED
    assert "interrupted: the device keeps what was sent and the steps that were made" in err
    assert not phone.processes("lowpeak-runner")
    assert b'"stopped"' in events.read_bytes()
    assert pull(artifact, out=tmp_path / "run").steps > 0


def test_a_run_that_is_killed_says_why(
    artifact: Artifact, data: Path, machine_runner: Path, phone: Phone, tmp_path: Path
) -> None:
    def kill(step: StepReport) -> None:
        # Steps that it told of before come after it.
        for pid in phone.processes("lowpeak-runner"):
            others, its = f"Kill 'other' ({pid + 1})", f"Kill 'runner' ({pid}), oom_score 900"
            phone.prints("log", f"I lowmemorykiller: {others}\nI lowmemorykiller: {its}\n")
            os.kill(pid, signal.SIGKILL)

    run = tmp_path / "run"
    with pytest.raises(EnvironmentProblem) as caught:
        deploy(
            artifact,
            data,
            steps=MANY_STEPS,
            out=run,
            runner=machine_runner,
            on_step=kill,
            checkpoint_every=MANY_STEPS,
        )
    assert "was killed after " in str(caught.value)
    assert "the device says: I lowmemorykiller: Kill 'runner'" in str(caught.value)
    phone.prints("log", "")
    # Nothing was kept, so nothing is told of it later.
    assert b'"step"' in (phone.lowpeak / "runs" / "run" / "events.ndjson").read_bytes()
    here = train(artifact, data, steps=3, out=tmp_path / "here", engine="native")
    deploy(artifact, data, steps=3, out=run, runner=machine_runner)
    assert pull(artifact, out=run).losses == here.losses

    def kill_silently(step: StepReport) -> None:
        for pid in phone.processes("lowpeak-runner"):
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(
        EnvironmentProblem, match=r"its logs do not say why; .* bytes of memory are free there"
    ):
        deploy(
            artifact,
            data,
            steps=MANY_STEPS,
            out=run,
            runner=machine_runner,
            on_step=kill_silently,
            resume=True,
        )


def test_what_the_runner_says_is_told(
    artifact: Artifact, data: Path, machine_runner: Path, phone: Phone, tmp_path: Path
) -> None:
    without = shutil.copytree(machine_runner, tmp_path / "runner")
    (without / "libexecutorch.so").unlink()
    with pytest.raises(EnvironmentProblem, match=r"ended with exit code 127: .*libexecutorch.so.*; resume"):
        deploy(artifact, data, steps=2, out=tmp_path / "run", runner=without)


def test_the_folder_of_another_run(
    artifact: Artifact, data: Path, machine_runner: Path, phone: Phone, device: Device, tmp_path: Path
) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    with pytest.raises(ArtifactError, match=r"there is no run 'run' in .*; there: none"):
        pull(artifact, out=run)
    deploy(artifact, data, steps=1, out=run, runner=machine_runner)
    with pytest.raises(ArtifactError, match=r"runs/run on .* holds a training run of 1 steps: resume it"):
        deploy(artifact, data, steps=2, out=run, runner=machine_runner)
    with pytest.raises(ArtifactError, match="checkpoint of a run with seed 0, now it is 7"):
        deploy(artifact, data, steps=2, out=run, runner=machine_runner, resume=True, seed=7)
    train(artifact, data, steps=1, out=other, seed=7)
    with pytest.raises(ArtifactError, match=r"lowpeak/runs/run/.* a run with seed 0, now it is 7"):
        pull(artifact, out=other, name="run")
    with pytest.raises(ArtifactError, match=r"lowpeak/runs/run/.* a run with seed 0, now it is 7"):
        deploy(artifact, data, steps=2, out=other, name="run", runner=machine_runner, resume=True, seed=7)
    with pytest.raises(ArtifactError, match=r"there is no run 'none' in .*; there: 'run'"):
        pull(artifact, out=other, name="none")
    with pytest.raises(ArtifactError, match="'a/b' cannot be the name of a run"):
        pull(artifact, out=other, name="a/b")
    found = PhoneCheckpoint.find(device, run_folder("run"))
    assert found is not None and found.progress.step == 1
