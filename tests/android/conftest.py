"""The APK, built once a session from sources. A test has the tools, or fails and says what to install."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.android import dex
from tests.android.tools import Tools, tools
from tests.debian_source import run
from tests.native.runner import runner

BUILD = Path(__file__).parents[2] / "android_demo" / "build.py"


@dataclass(frozen=True)
class Apk:
    path: Path
    runner: Path
    """What it carries: lowpeak-runner of this machine, a program for x86-64 Linux. It starts on no phone."""
    classes: dict[str, dex.DexClass]
    tools: Tools

    def aapt2(self, *arguments: str) -> str:
        return run(self.path.parent, str(self.tools.aapt2), "dump", *arguments, str(self.path))


def build(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs build.py as a developer does."""
    whole = {**os.environ, **tools().environment, **environment}
    command = [sys.executable, str(BUILD), *options]
    return subprocess.run(command, env=whole, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def android_tools() -> Tools:
    return tools()


@pytest.fixture(scope="session")
def apk(tmp_path_factory: pytest.TempPathFactory) -> Apk:
    folder = tmp_path_factory.mktemp("apk")
    program = runner()
    done = build("--out", str(folder), "--linux-runner", "--runner", f"x86_64={program}")
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    with zipfile.ZipFile(path) as archive:
        archive.extract("classes.dex", folder)
    return Apk(path, program, dex.read(folder / "classes.dex"), tools())
