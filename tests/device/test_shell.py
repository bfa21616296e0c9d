"""Commands on a device: how they end, what they say, what a broken connection does to them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lowpeak.phone.adb import Adb
from lowpeak.phone.shell import Device, join
from lowpeak_artifact.errors import EnvironmentProblem
from tests.device.phones import SHELL_USER, Phone

pytestmark = pytest.mark.device

ODD = """it's "a" $HOME `b` \\ * ü"""


def test_a_command_runs_as_the_shell_user_with_both_streams_and_its_status(device: Device) -> None:
    ended, out = device.attempt("id -u; cat; echo said >&2; sh -c 'exit 7'", bytes(range(256)))
    assert (ended.status, ended.stderr) == (7, "said")
    assert out == f"{SHELL_USER}\n".encode() + bytes(range(256))
    with pytest.raises(
        EnvironmentProblem, match=r"a command on 127.0.0.1:\d+ .*failed with 1: ls: /nowhere: "
    ):
        device.run("ls /nowhere")


def test_a_word_stays_one_whatever_is_in_it(device: Device) -> None:
    assert device.run(join(["printf", "%s", ODD])) == ODD


def test_the_data_folder_of_apps_is_closed(device: Device, phone: Phone) -> None:
    folder = phone.folder / "data" / "data"
    folder.mkdir(mode=0o771)
    with pytest.raises(EnvironmentProblem, match="Permission denied"):
        device.run("echo > /data/data/file")


def test_a_broken_connection_is_no_success(device: Device, phone: Phone) -> None:
    timer = threading.Timer(0.5, phone.cut)
    timer.start()
    with pytest.raises(
        EnvironmentProblem, match=r"the connection to 127.0.0.1.* broke; it is gone now"
    ) as caught:
        device.run("sleep 20")
    timer.join()
    assert caught.value.numbers == {"state": "gone"}


def test_a_command_that_does_not_end(device: Device) -> None:
    with pytest.raises(EnvironmentProblem, match="has not answered for 1 s"):
        device.run("sleep 20", timeout=1)


def test_adb_is_looked_for_on_the_path_in_the_sdk_and_in_adbutils(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Adb.find().run("version").startswith("Android Debug Bridge")
    packaged = Adb.find().program
    for folder, variable in ((tmp_path / "sdk" / "platform-tools", "ANDROID_HOME"), (tmp_path, "PATH")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "adb").symlink_to(packaged)
        monkeypatch.setenv(variable, str(tmp_path / "sdk") if variable == "ANDROID_HOME" else str(tmp_path))
        assert Adb.find().program == folder / "adb"
    assert os.environ["PATH"] == str(tmp_path)
