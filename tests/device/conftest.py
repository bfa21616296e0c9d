"""Phones, an artifact and a runner for them. Each test has the tools, or fails and says what to install."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import executorch
import pytest
from peft import LoraConfig

from lowpeak import compile_for_device
from lowpeak.phone.adb import Adb
from lowpeak.phone.devices import choose, listed
from lowpeak.phone.shell import Device
from lowpeak_artifact.artifact import Artifact
from lowpeak_export.executorch.library import OPS, OPS_VARIABLE, RUNNER
from tests.device.app import add_stand_ins, install_app
from tests.device.phones import Phone, Phones, phones
from tests.lowpeak.checkpoint import SEQ_LEN, save_checkpoint, save_data
from tests.native.build import build
from tests.native.runner import runner, use_runner

BUDGET_MB = 20


@pytest.fixture(scope="module")
def all_phones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phones]:
    """Adb's server, and phones that a test may start."""
    with phones(tmp_path_factory.mktemp("phones")) as devices, pytest.MonkeyPatch.context() as patch:
        for name, value in devices.environment.items():
            patch.setenv(name, value)
        patch.delenv("ANDROID_SERIAL", raising=False)
        yield devices


@pytest.fixture
def phone(all_phones: Phones) -> Iterator[Phone]:
    """The only one that is plugged in."""
    with all_phones.plugged_in() as made:
        yield made


@pytest.fixture
def device(phone: Phone) -> Device:
    adb = Adb.find()
    return Device(adb, choose(listed(adb), None))


@pytest.fixture(scope="session")
def machine_runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runner of this machine in a folder with its libraries, as one for a phone may be given."""
    folder = tmp_path_factory.mktemp("runner")
    shutil.copy(runner(), folder / RUNNER)
    shutil.copy(build() / OPS, folder)
    for library in (Path(next(iter(executorch.__path__))) / "lib").glob("libexecutorch*.so"):
        shutil.copy(library, folder)
    return folder


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("artifacts")
    checkpoint = save_checkpoint(folder / "tiny")
    lora = LoraConfig(r=4, target_modules="all-linear")
    return compile_for_device(
        str(checkpoint), BUDGET_MB, seq_len=SEQ_LEN, lora=lora, out=folder / "it's an artifact"
    )


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_data(tmp_path_factory.mktemp("data") / "chats.jsonl")


@pytest.fixture
def app_phone(phone: Phone, machine_runner: Path) -> Phone:
    """With what stands in for the demo app."""
    add_stand_ins(phone)
    install_app(phone, machine_runner)
    return phone


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """`train` here is by the same program and kernels."""
    use_runner(monkeypatch)
    monkeypatch.setenv(OPS_VARIABLE, str(build() / OPS))
