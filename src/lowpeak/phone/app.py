"""The demo app on a device: whether it can be trained in, and commands that run as its user.

`run-as` starts a program as the user of an installed app that is debuggable, in the app's data folder. What
is sent goes straight to the app's own files: no other app can read it, and no second copy needs room.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lowpeak.phone.shell import Device, join, transfer_seconds
from lowpeak_artifact.errors import EnvironmentProblem

PACKAGE = "dev.lowpeak.demo"
ACTIVITY = f"{PACKAGE}/.MainActivity"
TRAIN = f"{PACKAGE}.action.TRAIN"
STOP = f"{PACKAGE}.action.STOP"
RUNNER = "liblowpeak_runner.so"
"""The program that trains, as the app calls it."""
FILES = PurePosixPath("files")
"""Within the app's data folder, where commands run."""
_VERSION = re.compile(r"versionName=(\S+)")


@dataclass(frozen=True)
class AppDevice(Device):
    """A device whose commands run as the app, in its data folder."""

    def wrapped(self, script: str) -> str:
        return join(["run-as", PACKAGE, "sh", "-c", super().wrapped(script)])


def is_installed(device: Device) -> bool:
    ended, told = device.attempt(f"pm path {PACKAGE}")
    return not ended.status and told.startswith(b"package:")


def require_app(device: Device) -> AppDevice:
    """Raises EnvironmentProblem unless the app is there and its files can be reached."""
    if not is_installed(device):
        raise EnvironmentProblem(
            f"the app {PACKAGE} is not installed on {device}: give its APK with --install (docs/android.md "
            "says how it is built), or train under adb's shell with --no-app"
        )
    ended, told = device.attempt(f"run-as {PACKAGE} mkdir -p {FILES}")
    if ended.status:
        said = ended.stderr or told.decode(errors="replace").strip()
        if "debuggable" in said:
            why = "is not debuggable: install the debug build, --install APK"
        else:
            why = f"cannot be reached by run-as on {device} ({said}): some makers' Androids forbid it"
        raise EnvironmentProblem(f"the app {PACKAGE} {why}; or train under adb's shell with --no-app")
    return AppDevice(device.adb, device.listed)


def app_version(device: Device) -> str | None:
    """The app's own; None if the device does not say."""
    match = _VERSION.search(device.run(f"dumpsys package {PACKAGE} || true"))
    return match[1] if match else None


def install(device: Device, apk: Path) -> None:
    """Raises EnvironmentProblem when there is no such file, or the device refuses it."""
    if not apk.is_file():
        raise EnvironmentProblem(f"there is no {apk}: --install takes the app's APK")
    said = ""
    # Streaming is what devices before Android 9 and some others cannot do.
    for options in ([], ["--no-streaming"]):
        command = device.adb.command("-s", device.serial, "install", "-r", *options, str(apk))
        timeout = transfer_seconds(apk.stat().st_size)
        done = subprocess.run(command, capture_output=True, timeout=timeout, text=True, errors="replace")
        said = (done.stderr + done.stdout).strip()
        if done.returncode == 0 and "Failure" not in said:
            return
    if "INSTALL_FAILED_UPDATE_INCOMPATIBLE" in said:
        said = (
            f"it is signed by another key than the one that is there: `adb uninstall {PACKAGE}` removes that"
        )
    raise EnvironmentProblem(
        f"{apk} cannot be installed on {device}: {said.splitlines()[-1] if said else ''}"
    )
