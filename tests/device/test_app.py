"""Training in the demo app, which is a stand-in (app.py): its files by run-as, start and stop by intents."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from lowpeak import deploy, pull
from lowpeak.cli import main
from lowpeak.phone import app_run
from lowpeak.phone.app import FILES, PACKAGE, require_app
from lowpeak.phone.shell import Device
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_runtime.train.checkpoint import CHECKPOINT
from lowpeak_runtime.train.supervisor import StepReport
from lowpeak_runtime.train.trainer import train
from tests.device.app import APP_USER, VERSION, add_stand_ins, files_of_app, install_app
from tests.device.phones import Phone, Phones
from tests.device.test_train import MANY_STEPS, STEPS, files_of, printed, waits_for

pytestmark = [pytest.mark.device, pytest.mark.usefixtures("native")]

RUNNER = "liblowpeak_runner.so"
EXIT_INFO = """  package: dev.lowpeak.demo
    Historical Process Exit for uid=10123
        ApplicationExitInfo #0:
          timestamp=2026-12-01 02:00:00.000 pid={pid} realUid=10123 packageUid=10123 definingUid=10123 user=0
          process=dev.lowpeak.demo reason={reason} subreason=0 (UNKNOWN) status={status}
          importance=125 pss=0.00 rss=210MB description={description} state=empty trace=null
        ApplicationExitInfo #1:
          timestamp=2026-11-30 02:00:00.000 pid=1 realUid=10123 packageUid=10123 definingUid=10123 user=0
          process=dev.lowpeak.demo reason=10 (USER REQUESTED) subreason=0 (UNKNOWN) status=0
          importance=125 pss=0.00 rss=0.00 description=null state=empty trace=null
"""


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_run, "POLL_SECONDS", 0.05)


def test_deploy_and_pull_give_the_adapter_of_train_bit_for_bit(
    artifact: Artifact, data: Path, app_phone: Phone, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    here = train(artifact, data, steps=STEPS, out=tmp_path / "here", engine="native")
    run = tmp_path / 'my run\'s "first" $HOME'
    options = ["--data", str(data), "--steps", str(STEPS), "--out", str(run), "--json"]
    # The app is installed: nothing needs to say so.
    assert main(["deploy", str(artifact.path), "--run", *options]) == 0
    told = printed(capfd)
    assert (told["losses"], told["steps"], told["stop_reason"]) == (list(here.losses), STEPS, None)
    assert (told["app_version"], told["run_folder"]) == (VERSION, f"files/runs/{run.name}")
    assert 0 < told["peak_rss_bytes"] <= told["budget_bytes"]
    assert told["data"]["examples"] == 2
    files = files_of_app(app_phone)
    names = sorted(path.name for path in (files / "runs" / run.name).iterdir())
    assert names == [CHECKPOINT, "metrics.ndjson"]
    # The app's own, and nobody else's; nothing is left where others could read it.
    assert not app_phone.lowpeak.exists()
    for path in files.rglob("*"):
        assert (path.stat().st_uid, path.stat().st_mode & 0o077) == (APP_USER, 0)

    assert main(["pull", str(artifact.path), "--out", str(run), "--json"]) == 0
    home = printed(capfd)
    assert (home["steps"], home["losses"]) == (STEPS, list(here.losses))
    assert files_of(run / "adapter") == files_of(tmp_path / "here" / "adapter")
    assert (run / CHECKPOINT).read_bytes() == (tmp_path / "here" / CHECKPOINT).read_bytes()
    assert len((run / "metrics.ndjson").read_text().splitlines()) == STEPS
    assert deploy(artifact).sent_bytes == 0


def test_a_run_goes_on_and_one_elsewhere_is_told_apart(
    artifact: Artifact, data: Path, machine_runner: Path, app_phone: Phone, device: Device, tmp_path: Path
) -> None:
    straight = train(artifact, data, steps=6, out=tmp_path / "straight", engine="native")
    run = tmp_path / "run"
    first = deploy(artifact, data, steps=2, out=run)
    with pytest.raises(ArtifactError, match=r"files/runs/run on .* holds a training run of 2 steps"):
        deploy(artifact, data, steps=4, out=run, app=True)
    # Half a line that a killed app left, which the app cuts off: the stand-in does not.
    metrics = files_of_app(app_phone) / "runs" / "run" / "metrics.ndjson"
    whole = metrics.read_bytes()
    metrics.write_bytes(whole + b'{"event":"st')
    place = app_run.AppRun(require_app(device), device, FILES / "runs" / "run")._metrics_bytes()
    assert place == len(whole) > 0
    os.truncate(metrics, len(whole))
    second = deploy(artifact, data, steps=4, out=run, resume=True)
    pull(artifact, out=run, app=True)
    third = train(artifact, data, steps=6, out=run, resume=True)
    assert first.losses + second.losses + third.losses == straight.losses
    with pytest.raises(ArtifactError, match=r"no run 'run' in /data/local/tmp/lowpeak on .*; there: none"):
        pull(artifact, out=run, app=False)
    # With a runner that is given it is adb's shell; pull finds the run there.
    deploy(artifact, data, steps=1, out=tmp_path / "shell", runner=machine_runner)
    assert pull(artifact, out=tmp_path / "shell").steps == 1
    with pytest.raises(
        ArtifactError, match=r"no run 'none' in the app and in /data/.*; there: 'run', 'shell'"
    ):
        pull(artifact, out=tmp_path / "none")


def test_an_interrupt_has_the_app_stop_with_a_checkpoint(
    artifact: Artifact, data: Path, app_phone: Phone, tmp_path: Path
) -> None:
    def interrupt(step: StepReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy(artifact, data, steps=MANY_STEPS, out=tmp_path / "run", on_step=interrupt)
    assert not app_phone.processes(RUNNER)
    assert pull(artifact, out=tmp_path / "run").steps > 0


def test_the_app_is_busy_and_goes_on_without_the_cable(
    artifact: Artifact, data: Path, app_phone: Phone, tmp_path: Path
) -> None:
    def cut(step: StepReport) -> None:
        app_phone.cut()

    with pytest.raises(EnvironmentProblem, match=r"the connection to .* broke"):
        deploy(artifact, data, steps=MANY_STEPS, out=tmp_path / "run", on_step=cut)
    assert app_phone.processes(RUNNER)
    app_phone.plug_in()
    with pytest.raises(ArtifactError, match=r"the app on .* is training: wait for its end, or stop it there"):
        deploy(artifact, data, steps=2, out=tmp_path / "other")


@pytest.mark.parametrize(
    "reason, status, description, says",
    [
        (
            "3 (LOW_MEMORY)",
            "0",
            "null",
            "ended after .*: Android ended it because memory was low: close other",
        ),
        ("2 (SIGNALED)", "9", "null", "it was killed by signal 9, which is how low memory looks"),
        (
            "13 (OTHER KILLS BY SYSTEM)",
            "0",
            "too much cpu",
            r"says OTHER KILLS BY SYSTEM \(too much cpu\); with",
        ),
        (
            None,
            "",
            "",
            r"the device does not say why \(it can from Android 11 on\); with --resume it goes on",
        ),
    ],
)
def test_an_app_that_is_killed_says_why(
    artifact: Artifact,
    data: Path,
    app_phone: Phone,
    tmp_path: Path,
    reason: str | None,
    status: str,
    description: str,
    says: str,
) -> None:
    def kill(step: StepReport) -> None:
        (app,) = app_phone.processes(PACKAGE)
        info = "" if reason is None else EXIT_INFO
        told = info.format(pid=app, reason=reason, status=status, description=description)
        app_phone.prints("dumpsys-activity", told)
        for pid in [app, *app_phone.processes(RUNNER)]:
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(EnvironmentProblem, match=says):
        deploy(artifact, data, steps=MANY_STEPS, out=tmp_path / "run", on_step=once(kill))


def once(call: Any) -> Any:
    calls = [call]
    return lambda step: calls.pop()(step) if calls else None


def test_an_app_that_stops_or_does_not_begin(
    artifact: Artifact, data: Path, app_phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(step: StepReport) -> None:
        for pid in app_phone.processes(RUNNER):
            os.kill(pid, signal.SIGTERM)

    report = deploy(artifact, data, steps=MANY_STEPS, out=tmp_path / "run", on_step=once(stop))
    assert report.stop_reason == "stopped in the app, which says why"
    assert 0 < report.steps < MANY_STEPS
    monkeypatch.setattr(app_run, "BEGIN_SECONDS", 1.0)
    app_phone.replace_tool("am", "echo 'Starting: Intent { }'")
    with pytest.raises(EnvironmentProblem, match="has not begun to train within 1 s: unlock the device"):
        deploy(artifact, data, steps=2, out=tmp_path / "second")
    app_phone.replace_tool("am", "echo 'Error type 3'; echo 'Error: Activity class {x/y} does not exist.'")
    with pytest.raises(EnvironmentProblem, match=r"cannot be started: Error: Activity class {x/y} does not"):
        deploy(artifact, data, steps=2, out=tmp_path / "second")
    assert waits_for(app_phone, RUNNER, running=False) is None


def test_no_app_and_one_that_cannot_be_reached(
    artifact: Artifact, machine_runner: Path, phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_stand_ins(phone)
    with pytest.raises(
        EnvironmentProblem, match=f"{PACKAGE} is not installed on .*: give its APK with --inst"
    ):
        deploy(artifact, app=True)
    install_app(phone, machine_runner, debuggable=False)
    with pytest.raises(EnvironmentProblem, match="is not debuggable: install the debug build, --install APK"):
        deploy(artifact, app=True)
    # Without --app it is told, and adb's shell is taken.
    monkeypatch.setenv("LOWPEAK_ANDROID_RUNNER", str(machine_runner))
    told: list[str] = []
    assert deploy(artifact, tell=told.append).app_version is None
    assert len(told) == 1 and "is not debuggable" in told[0]
    phone.replace_tool("run-as", "echo 'run-as: Could not set capabilities' >&2; exit 1")
    with pytest.raises(
        EnvironmentProblem, match=r"cannot be reached by run-as on .*Could not set capabilities"
    ):
        deploy(artifact, app=True)


def test_an_apk_is_installed(artifact: Artifact, app_phone: Phone, tmp_path: Path) -> None:
    apk = tmp_path / "the app.apk"
    with pytest.raises(EnvironmentProblem, match=r"there is no .*the app.apk: --install takes the app's APK"):
        deploy(artifact, app=True, apk=apk)
    apk.write_bytes(b"PK" * 1000)
    assert deploy(artifact, app=True, apk=apk).app_version == VERSION
    refusal = f"Failure [INSTALL_FAILED_UPDATE_INCOMPATIBLE: Package {PACKAGE} signatures do not match]\n"
    app_phone.prints("refuses", refusal)
    with pytest.raises(EnvironmentProblem, match=f"signed by another key .*: `adb uninstall {PACKAGE}` rem"):
        deploy(artifact, app=True, apk=apk)


def test_a_storage_of_the_app_that_is_too_small(
    artifact: Artifact, machine_runner: Path, all_phones: Phones, monkeypatch: pytest.MonkeyPatch
) -> None:
    with all_phones.plugged_in() as phone:
        add_stand_ins(phone)
        install_app(phone, machine_runner)
        phone.replace_tool("stat", 'case "$1" in -f) echo 20 4096 ;; *) toybox stat "$@" ;; esac')
        with pytest.raises(EnvironmentProblem, match=r"has 0.1 MB free in files: \d+.\d MB are to be sent"):
            deploy(artifact, app=True)
        assert not list(files_of_app(phone).iterdir())


def test_metrics_of_a_step_are_those_of_train(
    artifact: Artifact, data: Path, app_phone: Phone, tmp_path: Path
) -> None:
    deploy(artifact, data, steps=2, out=tmp_path / "run")
    pull(artifact, out=tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.ndjson").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1]
    assert all(0 < line["peak_held_bytes"] <= line["budget_bytes"] for line in lines)
