"""The tools that an APK is built with: named by options or variables, or ANDROID_HOME's, or the PATH's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COMPILE_SDK, COMPILE_NAME = 35, "15"
SDK_PACKAGES = f"'platforms;android-{COMPILE_SDK}' 'build-tools;35.0.1'"


class BuildError(Exception):
    """What is wrong and what to do about it, in words for the user."""


@dataclass(frozen=True)
class Sdk:
    """Paths of the tools."""

    javac: Path
    java: Path
    keytool: Path
    framework: Path
    """A jar with the framework's classes: android.jar."""
    resources: Path
    """A jar with the framework's resources: android.jar, too."""
    d8: Path
    """A jar with com.android.tools.r8.D8."""
    aapt2: Path
    zipalign: Path
    apksigner: Path
    jdk: Path
    """The folder of the JDK: the classes of java.* for D8."""


def find_sdk(named: Mapping[str, str | None]) -> tuple[Sdk, list[str]]:
    """`named`: what options and variables say, by the names of Sdk's fields.

    Also returns everything that is missing, with where it comes from: its paths in Sdk are of no use. Raises
    BuildError.
    """
    home = _android_home()
    build_tools = _newest_build_tools(home)
    android_jar = home / "platforms" / f"android-{COMPILE_SDK}" / "android.jar" if home else None
    jdk = Path(os.environ["JAVA_HOME"]) if os.environ.get("JAVA_HOME") else None
    sdk_hint = (
        f"install Android's SDK and set ANDROID_HOME (sdkmanager {SDK_PACKAGES}), or name it by"
        if home is None
        else f"sdkmanager {SDK_PACKAGES}, or name it by"
    )
    jdk_hint = "install a JDK of version 11 or later and set JAVA_HOME (Debian: openjdk-17-jdk-headless), or"
    missing: list[str] = []

    def find(what: str, default: Path | None, hint: str, program: bool) -> Path:
        given = named.get(what)
        on_path = shutil.which(what) if program else None
        candidates = [Path(given)] if given else [default, Path(on_path) if on_path else None]
        for candidate in candidates:
            if candidate is not None and candidate.is_file():
                return candidate.absolute()
        option = f"--{what} or {variable(what)}"
        missing.append(f"{what}: {given} is not there" if given else f"{what}: {hint} {option}")
        return Path()

    def jdk_program(what: str) -> Path:
        return find(what, jdk / "bin" / what if jdk else None, jdk_hint, program=True)

    def tool(what: str, within: str) -> Path:
        return find(
            what, build_tools / within if build_tools else None, sdk_hint, program="lib/" not in within
        )

    javac = jdk_program("javac")
    made = Sdk(
        javac=javac,
        java=jdk_program("java"),
        keytool=jdk_program("keytool"),
        framework=find("framework", android_jar, sdk_hint, program=False),
        resources=find("resources", android_jar, sdk_hint, program=False),
        d8=tool("d8", "lib/d8.jar"),
        aapt2=tool("aapt2", "aapt2"),
        zipalign=tool("zipalign", "zipalign"),
        apksigner=tool("apksigner", "apksigner"),
        # javac on the PATH is a link into the JDK.
        jdk=javac.resolve().parents[1] if javac != Path() else Path(),
    )
    return made, missing


def variable(what: str) -> str:
    """The environment variable that names a tool."""
    return f"LOWPEAK_ANDROID_{what.upper()}"


def _android_home() -> Path | None:
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        if os.environ.get(name):
            home = Path(os.environ[name])
            if not home.is_dir():
                raise BuildError(f"{name} names {home}, which is no folder: set it to that of Android's SDK")
            return home
    return None


def _newest_build_tools(home: Path | None) -> Path | None:
    if home is None:
        return None
    versions = [path for path in (home / "build-tools").glob("*") if path.name[0].isdigit()]
    return max(
        versions, key=lambda path: [int(part) for part in path.name.split("-")[0].split(".")], default=None
    )
