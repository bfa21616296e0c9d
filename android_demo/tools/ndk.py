"""lowpeak-runner built with the NDK. Not run by lowpeak's own checks: they have no NDK."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools.sdk import BuildError

MIN_SDK = 28
NATIVE = Path(__file__).resolve().parents[2] / "native"
TOOLCHAIN = Path("build", "cmake", "android.toolchain.cmake")


def missing_for_native(abi: str, executorch: Path | None, sources: Path | None) -> list[str]:
    """What `build_runner` needs and is not there, with what to do."""
    missing = []
    ndk = _ndk()
    if ndk is None or not (ndk / TOOLCHAIN).is_file():
        said = f"ANDROID_NDK names {ndk}, which has no {TOOLCHAIN.name}" if ndk else "ANDROID_NDK is not set"
        missing.append(f"--native {abi}: {said}: install the NDK (sdkmanager 'ndk;28.2.13676358')")
    if executorch is None:
        missing.append(f"--native {abi} needs --executorch {abi}=FOLDER, ExecuTorch installed for {abi}")
    elif not executorch.is_dir():
        missing.append(f"--executorch {abi}={executorch} is no folder: build and install ExecuTorch there")
    if sources is None or not sources.is_dir():
        missing.append(
            f"--native {abi} needs --executorch-sources FOLDER, what that ExecuTorch was built from"
        )
    return missing


def build_runner(abi: str, executorch: Path, sources: Path, folder: Path) -> Path:
    """Builds native/ for the ABI and returns the program; docs/native.md has the same by hand.

    `executorch` is the install tree of ExecuTorch built for the ABI, `sources` what it was built from. What
    `missing_for_native` asks for is there. Raises BuildError.
    """
    build = folder / "native" / abi
    configure = [
        *("cmake", "-S", str(NATIVE), "-B", str(build), "-G", "Ninja"),
        f"-DCMAKE_TOOLCHAIN_FILE={_ndk()}/{TOOLCHAIN}",
        f"-DANDROID_ABI={abi}",
        f"-DANDROID_PLATFORM=android-{MIN_SDK}",
        "-DANDROID_SUPPORT_FLEXIBLE_PAGE_SIZES=ON",
        "-DCMAKE_BUILD_TYPE=Release",
        f"-Dexecutorch_ROOT={executorch.absolute()}",
        f"-DEXECUTORCH_SOURCE_FOLDER={sources.absolute()}",
        f"-DPython_EXECUTABLE={sys.executable}",
    ]
    for command in (configure, ["cmake", "--build", str(build), "--target", "lowpeak-runner"]):
        try:
            subprocess.run(command, check=True)
        except FileNotFoundError as error:
            raise BuildError(
                "--native needs cmake and ninja on the PATH (pip install cmake ninja)"
            ) from error
        except subprocess.CalledProcessError as error:
            raise BuildError(f"native/ was not built for {abi}: {' '.join(command)} failed") from error
    return next(build.rglob("lowpeak-runner"))


def _ndk() -> Path | None:
    named = os.environ.get("ANDROID_NDK") or os.environ.get("ANDROID_NDK_HOME")
    return Path(named) if named else None
