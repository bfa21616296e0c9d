"""What the APK is built and checked with, fetched once a machine and a state of these files.

There is no SDK of Android in Debian, PyPI or npm, but its tools and its declarations are: see
requirements.txt, and AOSP 10's signature file in Debian's source package of the framework.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests import debian_source
from tests.android import signatures
from tests.android.stubs import write_jar

HERE = Path(__file__).parent
REQUIREMENTS, PACKAGES, NEWER = (HERE / name for name in ("requirements.txt", "packages.txt", "newer.txt"))
RECIPE = ("requirements.txt", "newer.txt", "tools.py", "../debian_source.py", "signatures.py", "stubs.py")
PROGRAMS = ("javac", "java", "keytool", "zipalign", "apksigner", "dexdump", "dpkg-source")
SOURCE_PACKAGE, VERSION = "android-platform-frameworks-base", "1:10.0.0+r36-10"
SIGNATURES = "api/current.txt"


@dataclass(frozen=True)
class Tools:
    folder: Path

    @property
    def d8(self) -> Path:
        """A jar with com.android.tools.r8.D8."""
        return self.folder / "bundletool.jar"

    @property
    def aapt2(self) -> Path:
        return self.folder / "aapt2"

    @property
    def resources(self) -> Path:
        """The framework's resources, of API 35."""
        return self.folder / "resources.jar"

    @property
    def framework(self) -> Path:
        """A jar to compile against: AOSP 10's declarations and those of newer.txt."""
        return self.folder / "framework.jar"

    @property
    def python_stubs(self) -> Path:
        """Declarations of API 36 in Python's syntax: android-stubs/app/__init__.pyi."""
        return self.folder / "python-stubs"

    @property
    def aosp(self) -> Path:
        """AOSP 10's signature file, java.* included."""
        return self.folder / "current.txt"

    @property
    def environment(self) -> dict[str, str]:
        """For android_demo/build.py."""
        return {
            "LOWPEAK_ANDROID_FRAMEWORK": str(self.framework),
            "LOWPEAK_ANDROID_RESOURCES": str(self.resources),
            "LOWPEAK_ANDROID_D8": str(self.d8),
            "LOWPEAK_ANDROID_AAPT2": str(self.aapt2),
        }


@cache
def tools() -> Tools:
    """RuntimeError if they cannot be had, with what to install."""
    lacking = [program for program in PROGRAMS if shutil.which(program) is None]
    if lacking:
        packages = " ".join(PACKAGES.read_text().split())
        raise RuntimeError(f"tests/android need {', '.join(lacking)}: apt-get install {packages}")
    state = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in RECIPE)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"lowpeak-android-tools-{state}"
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        # Another worker of the tests fetches the same.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _make(folder)
    return Tools(folder)


def _make(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="lowpeak-android-tools-") as temporary:
        work = Path(temporary)
        # apt works there as its own user.
        work.chmod(0o755)
        made = Tools(work / "made")
        made.folder.mkdir()
        _fetch_wheels(work / "wheels", made)
        _fetch_signatures(work / "source", made)
        types = signatures.parse(made.aosp.read_text(), NEWER.read_text())
        write_jar(types.values(), made.framework)
        shutil.move(made.folder, folder)


def _fetch_wheels(wheels: Path, made: Tools) -> None:
    wheels.mkdir()
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes")
    debian_source.run(wheels, *pip, "--requirement", str(REQUIREMENTS))
    with zipfile.ZipFile(next(wheels.glob("chaquopy*.whl"))) as wheel:
        wheel.extractall(made.python_stubs)
    with zipfile.ZipFile(next(wheels.glob("mobsf-*.whl"))) as wheel:
        within = "mobsf/StaticAnalyzer/tools"
        made.d8.write_bytes(wheel.read(f"{within}/bundletool-all-1.17.2.jar"))
        wheel.extract(f"{within}/apktool_2.10.0.jar", wheels)
    with zipfile.ZipFile(wheels / within / "apktool_2.10.0.jar") as apktool:
        made.aapt2.write_bytes(apktool.read("prebuilt/linux/aapt2_64"))
        made.aapt2.chmod(0o755)
        made.resources.write_bytes(apktool.read("brut/androlib/android-framework.jar"))


def _fetch_signatures(source: Path, made: Tools) -> None:
    source.mkdir()
    debian_source.fetch(SOURCE_PACKAGE, VERSION, source)
    with tarfile.open(next(source.glob("*.orig.tar.*"))) as archive:
        # The archive is large: what is looked for comes early.
        for entry in archive:
            if entry.name == SIGNATURES:
                file = archive.extractfile(entry)
                assert file is not None
                made.aosp.write_bytes(file.read())
                return
    raise RuntimeError(f"{SOURCE_PACKAGE} {VERSION} has no {SIGNATURES}")
