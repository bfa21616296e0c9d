"""lowpeak-runner built with the NDK. Not run by lowpeak's own checks: they have no NDK."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools.sdk import BuildError

MIN_SDK = 28
NATIVE = Path(__file__).resolve().parents[2] / "native"


def build_runner(abi: str, executorch: Path | None, sources: Path | None, folder: Path) -> Path:
    """Builds native/ for the ABI and returns the program; docs/native.md has the same by hand.

    `executorch` is the install tree of ExecuTorch built for the ABI, `sources` what it was built from. Raises
    BuildError.
    """
    ndk = os.environ.get("ANDROID_NDK") or os.environ.get("ANDROID_NDK_HOME")
    toolchain = Path(ndk or "") / "build" / "cmake" / "android.toolchain.cmake"
    if not ndk or not toolchain.is_file():
        said = f"ANDROID_NDK names {ndk}, which has no {toolchain.name}" if ndk else "ANDROID_NDK is not set"
        raise BuildError(f"--native {abi}: {said}: install the NDK (sdkmanager 'ndk;28.2.13676358')")
    if executorch is None:
        raise BuildError(f"--native {abi} needs --executorch {abi}=FOLDER, ExecuTorch installed for {abi}")
    if not executorch.is_dir():
        raise BuildError(f"--executorch {abi}={executorch} is no folder: build and install ExecuTorch there")
    if sources is None or not sources.is_dir():
        raise BuildError(
            f"--native {abi} needs --executorch-sources FOLDER, what {executorch} was built from"
        )
    build = folder / "native" / abi
    configure = [
        *("cmake", "-S", str(NATIVE), "-B", str(build), "-G", "Ninja"),
        f"-DCMAKE_TOOLCHAIN_FILE={toolchain}",
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
