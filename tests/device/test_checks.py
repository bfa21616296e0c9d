"""What a phone is asked before anything is pushed, and what is said where it does not fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lowpeak import deploy
from lowpeak.phone.adb import Adb
from lowpeak.phone.checks import DeviceFacts, read_facts
from lowpeak.phone.shell import Device
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from tests.device.phones import Phone, Phones

pytestmark = pytest.mark.device

UNPLUGGED = "Current Battery Service state:\n  AC powered: false\n  USB powered: false\n  level: {}\n"


def refused(artifact: Artifact, runner: Path | None, match: str, **options: object) -> None:
    """The push is refused, and nothing was sent."""
    with pytest.raises(EnvironmentProblem, match=match):
        deploy(artifact, runner=runner, **options)  # type: ignore[arg-type]


def test_the_facts_of_a_device(device: Device) -> None:
    facts = read_facts(device)
    assert facts.available_bytes > 0
    known = DeviceFacts("Loopback", ("x86_64", "x86"), "15", 35, 4096, facts.available_bytes, 80, True)
    assert facts == known


@pytest.mark.parametrize(
    "property, value, match",
    [
        (
            "ro.product.cpu.abilist",
            "arm64-v8a,armeabi-v7a",
            "is built for x86_64, .* runs arm64-v8a, armeabi-v7a",
        ),
        ("ro.build.version.sdk", "26", r"has Android 15 \(API 26\), the runner needs API 28"),
        ("ro.build.version.sdk", "", "does not answer as Android does"),
    ],
)
def test_a_device_that_the_runner_is_not_for(
    artifact: Artifact, machine_runner: Path, phone: Phone, property: str, value: str, match: str
) -> None:
    phone.says(property, value)
    refused(artifact, machine_runner, match)
    assert not phone.lowpeak.exists()


def test_pages_larger_than_the_runner_is_built_for(
    artifact: Artifact, machine_runner: Path, phone: Phone
) -> None:
    phone.replace_tool("getconf", "echo 16384")
    refused(
        artifact, machine_runner, "is built for pages of 4096 bytes, those of .* have 16384: link it with"
    )
    assert not phone.lowpeak.exists()


def test_a_budget_over_the_free_memory(artifact: Artifact, machine_runner: Path, phone: Phone) -> None:
    plenty = 10**13
    plans = [dataclasses.replace(bucket.plan, budget_bytes=plenty) for bucket in artifact.manifest.buckets]
    buckets = [dataclasses.replace(b, plan=p) for b, p in zip(artifact.manifest.buckets, plans, strict=True)]
    manifest = dataclasses.replace(artifact.manifest, buckets=buckets)
    refused(
        Artifact(artifact.path, manifest),
        machine_runner,
        r"the artifact may hold 10000000.0 MB, .* has \d+.\d MB of memory free",
    )
    assert not phone.lowpeak.exists()


def test_an_empty_battery_is_refused_and_one_that_is_not_charged_is_told(
    artifact: Artifact, machine_runner: Path, phone: Phone
) -> None:
    phone.prints("dumpsys-battery", UNPLUGGED.format(9))
    refused(artifact, machine_runner, "battery of .* is at 9 % and is not charged")
    phone.prints("dumpsys-battery", UNPLUGGED.format(60))
    told: list[str] = []
    deploy(artifact, runner=machine_runner, tell=told.append)
    assert told == [f"{phone.serial} is not charging, its battery is at 60 %"]


def test_a_storage_that_is_too_small(artifact: Artifact, machine_runner: Path, all_phones: Phones) -> None:
    with all_phones.plugged_in(data_bytes=1_000_000) as phone:
        refused(artifact, machine_runner, r"has 1.0 MB free in /data/local/tmp: \d+.\d MB are to be sent")
        assert not phone.lowpeak.exists()


def test_what_is_missing_on_this_computer(
    artifact: Artifact, machine_runner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOWPEAK_ANDROID_RUNNER", raising=False)
    refused(artifact, None, "no lowpeak-runner for the device is named. None is shipped", app=False)
    refused(artifact, tmp_path, "there is no .*/lowpeak-runner: --runner takes")
    (tmp_path / "lowpeak-runner").write_text("#!/bin/sh\n")
    refused(artifact, tmp_path, "is no 64-bit program for Linux or Android")
    monkeypatch.setattr("lowpeak.phone.adb._places", lambda: iter([tmp_path / "adb"]))
    refused(artifact, machine_runner, "there is no adb: it is neither on the PATH, nor in")
    with pytest.raises(EnvironmentProblem):
        Adb.find()
    with pytest.raises(ArtifactError, match="no artifact at"):
        deploy(tmp_path / "none", runner=machine_runner)
