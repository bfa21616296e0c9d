"""The real adbd, built from Debian's source package, once a machine and a state of its recipe (adbd.mk)."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tests import debian_source

SOURCE_PACKAGE, VERSION = "android-platform-tools", "29.0.6-28"
RECIPE = Path(__file__).with_name("adbd.mk")
PACKAGES = Path(__file__).with_name("packages.txt")
TOOLS = ("clang++", "dpkg-source", "make", "mksh", "toybox", "unshare", "nsenter")


@cache
def build() -> Path:
    """The folder with `adbd` and `adbd-locked`; RuntimeError if it cannot be built."""
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking:
        packages = " ".join(PACKAGES.read_text().split())
        raise RuntimeError(f"tests/device need {', '.join(lacking)}: apt-get install {packages}")
    state = hashlib.sha256(RECIPE.read_bytes()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"lowpeak-adbd-{VERSION}-{state}"
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _build_in(folder)
    return folder


def _build_in(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="lowpeak-adbd-") as temporary:
        work = Path(temporary)
        # apt works there as its own user.
        work.chmod(0o755)
        package = debian_source.fetch(SOURCE_PACKAGE, VERSION, work / "package")
        debian_source.run(work, "dpkg-source", "--extract", str(package), str(work / "source"))
        (work / "built").mkdir()
        make = ["make", "--silent", "--jobs=2", f"--file={RECIPE}", f"SOURCE={work / 'source'}"]
        debian_source.run(work / "built", *make)
        shutil.rmtree(work / "built" / "objects")
        shutil.move(work / "built", folder)
