"""The devices that adb knows, and the choice of one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from lowpeak.phone.adb import Adb
from lowpeak_artifact.errors import EnvironmentProblem

READY = "device"
SERIAL_VARIABLE = "ANDROID_SERIAL"

_NOT_READY = {
    "unauthorized": "does not trust this computer: unlock it and accept the question about USB debugging (to "
    "be asked again, plug it in again, or revoke USB debugging authorizations in its developer options)",
    "offline": "is offline: plug it in again, or run `adb reconnect offline`",
    "authorizing": "is being asked whether it trusts this computer: unlock it, and try again",
    "connecting": "is still being connected: try again in some seconds",
    "no permissions": "may not be opened by this user: install udev's rules for Android (Debian: `apt "
    "install android-sdk-platform-tools-common`), join the group plugdev, and plug it in again",
}


@dataclass(frozen=True)
class Listed:
    """A line of `adb devices -l`."""

    serial: str
    state: str
    """`device` if it is ready."""
    model: str
    """As it names itself; empty if it was not asked yet."""

    def __str__(self) -> str:
        said = [self.model] if self.model else []
        said += [self.state] if self.state != READY else []
        return f"{self.serial} ({', '.join(said)})" if said else self.serial


def listed(adb: Adb) -> list[Listed]:
    return parse(adb.run("devices", "-l"))


def parse(text: str) -> list[Listed]:
    """The devices in what `adb devices -l` prints."""
    lines = text.partition("List of devices attached")[2].splitlines()
    return [_device(line) for line in lines if line.strip()]


def _device(line: str) -> Listed:
    serial, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    # The one state of two words; adb then explains it in a sentence.
    state = "no permissions" if rest.startswith("no permissions") else rest.partition(" ")[0]
    facts = dict(word.split(":", 1) for word in rest.split() if ":" in word)
    return Listed(serial, state, facts.get("model", "").replace("_", " "))


def choose(devices: Sequence[Listed], serial: str | None) -> Listed:
    """That of the serial number, or of ANDROID_SERIAL, or the only one.

    Raises EnvironmentProblem when there is none, there are several, or it is not ready.
    """
    serial = serial or os.environ.get(SERIAL_VARIABLE) or None
    names = ", ".join(map(str, devices))
    if serial is not None:
        chosen = next((device for device in devices if device.serial == serial), None)
        if chosen is None:
            raise EnvironmentProblem(
                f"there is no device {serial}; adb sees {names or 'none'}. Plug it in, or `adb connect` it"
            )
    elif not devices:
        raise EnvironmentProblem(
            "adb sees no device: switch on USB debugging in the phone's developer options and plug it in, or "
            "`adb connect HOST:PORT` for one in the network"
        )
    elif len(devices) > 1:
        raise EnvironmentProblem(
            f"there are {len(devices)} devices: {names}. Choose one with --device, or {SERIAL_VARIABLE}",
            devices=len(devices),
        )
    else:
        chosen = devices[0]
    if chosen.state != READY:
        remedy = _NOT_READY.get(
            chosen.state, f"is in the state {chosen.state}, not in Android: start it, and try again"
        )
        raise EnvironmentProblem(f"the device {chosen.serial} {remedy}", state=chosen.state)
    return chosen
