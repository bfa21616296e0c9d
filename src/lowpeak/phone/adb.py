"""The adb program of this computer: where it is, and one command of it at a time."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lowpeak_artifact.errors import EnvironmentProblem

NAME = "adb.exe" if os.name == "nt" else "adb"
SDK_VARIABLES = ("ANDROID_HOME", "ANDROID_SDK_ROOT")
START_SECONDS = 30.0
"""Enough to start adb's server, which the first command does."""


@dataclass(frozen=True)
class Adb:
    """The client, of any version that knows `shell -T` (2016)."""

    program: Path

    @staticmethod
    def find() -> Adb:
        """On the PATH, in the Android SDK, or in the package adbutils; EnvironmentProblem if nowhere."""
        for place in _places():
            if place.is_file() and os.access(place, os.X_OK):
                return Adb(place)
        raise EnvironmentProblem(
            "there is no adb: it is neither on the PATH, nor in the folder platform-tools of "
            f"{' or '.join(SDK_VARIABLES)}, nor in the Python package adbutils. Install Android's platform "
            "tools (Debian: `apt install adb`), or `pip install 'lowpeak[android]'`"
        )

    def command(self, *arguments: str) -> list[str]:
        return [str(self.program), *arguments]

    def run(self, *arguments: str, timeout: float = START_SECONDS) -> str:
        """What a command on this computer prints, such as `devices`. Raises EnvironmentProblem."""
        try:
            done = subprocess.run(
                self.command(*arguments),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise EnvironmentProblem(f"{self.program} cannot be started: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise EnvironmentProblem(
                f"`adb {arguments[0]}` has not ended after {timeout:.0f} s: run `adb kill-server`, and this "
                "again"
            ) from error
        if done.returncode:
            raise EnvironmentProblem(
                f"`adb {arguments[0]}` failed with {done.returncode}: "
                f"{_last_line(done.stderr or done.stdout)}"
            )
        return done.stdout


def _places() -> Iterator[Path]:
    on_path = shutil.which(NAME)
    if on_path is not None:
        yield Path(on_path)
    for variable in SDK_VARIABLES:
        if os.environ.get(variable):
            yield Path(os.environ[variable]) / "platform-tools" / NAME
    package = find_spec("adbutils")
    for folder in (package.submodule_search_locations or []) if package else []:
        yield Path(folder) / "binaries" / NAME


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
