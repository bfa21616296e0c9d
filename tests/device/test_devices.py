"""The choice of a device, by what the real adb says of real daemons."""

from __future__ import annotations

import signal

import pytest

from lowpeak.phone.adb import Adb
from lowpeak.phone.devices import choose, listed
from lowpeak_artifact.errors import EnvironmentProblem
from tests.device.phones import Phone, Phones

pytestmark = pytest.mark.device


def chosen(serial: str | None = None) -> str:
    return choose(listed(Adb.find()), serial).serial


def test_the_only_device_is_taken(phone: Phone) -> None:
    assert chosen() == phone.serial
    assert chosen(phone.serial) == phone.serial


def test_no_device(all_phones: Phones) -> None:
    with pytest.raises(EnvironmentProblem, match="adb sees no device: switch on USB debugging"):
        chosen()


def test_two_devices(all_phones: Phones, phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    with all_phones.plugged_in() as second:
        with pytest.raises(EnvironmentProblem, match=f"there are 2 devices: {phone.serial}.*{second.serial}"):
            chosen()
        assert chosen(second.serial) == second.serial
        monkeypatch.setenv("ANDROID_SERIAL", phone.serial)
        assert chosen() == phone.serial


def test_another_device_than_those_there_are(phone: Phone) -> None:
    with pytest.raises(EnvironmentProblem, match=f"there is no device ABC; adb sees {phone.serial}"):
        chosen("ABC")


def test_a_device_that_does_not_trust_this_computer(all_phones: Phones) -> None:
    with (
        all_phones.plugged_in(locked=True) as locked,
        pytest.raises(EnvironmentProblem, match=f"{locked.serial} does not trust this computer") as caught,
    ):
        chosen()
    assert caught.value.numbers == {"state": "unauthorized"}


def test_a_device_that_is_offline(all_phones: Phones) -> None:
    phone = all_phones.start()
    try:
        phone.plug_in()
        phone.cut()
        # It takes the connection and says nothing.
        phone.process.send_signal(signal.SIGSTOP)
        all_phones.adb("connect", phone.serial)
        all_phones.wait(phone.serial, {"offline", "connecting"})
        with pytest.raises(EnvironmentProblem, match=r"is (offline|still being connected)"):
            chosen()
    finally:
        phone.process.send_signal(signal.SIGCONT)
        phone.stop()
