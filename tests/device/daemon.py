"""The real adbd, built from Debian's source package, once a machine and a state of its recipe (adbd.mk)."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCE_PACKAGE, VERSION = "android-platform-tools", "29.0.6-28"
RECIPE = Path(__file__).with_name("adbd.mk")
PACKAGES = Path(__file__).with_name("packages.txt")
TOOLS = ("clang++", "dpkg-source", "make", "mksh", "toybox", "unshare", "nsenter")
SOURCES = Path("/etc/apt/sources.list.d/debian.sources")


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
        _fetch(work)
        (work / "built").mkdir()
        make = ["make", "--silent", "--jobs=2", f"--file={RECIPE}", f"SOURCE={work / 'source'}"]
        _run(work / "built", *make)
        shutil.rmtree(work / "built" / "objects")
        shutil.move(work / "built", folder)


def _fetch(work: Path) -> None:
    """Fetches the source package into work/source, by lists of its own; apt checks the signatures."""
    if not SOURCES.is_file():
        raise RuntimeError(f"tests/device need Debian 12: there is no {SOURCES}")
    parts, lists = work / "parts", work / "lists"
    parts.mkdir()
    (lists / "partial").mkdir(parents=True)
    text = SOURCES.read_text().replace("Types: deb\n", "Types: deb-src\n")
    (parts / SOURCES.name).write_text(text)
    options = [
        *("-o", "Dir::Etc::sourcelist=/dev/null"),
        *("-o", f"Dir::Etc::sourceparts={parts}"),
        *("-o", f"Dir::State::lists={lists}"),
        *("-o", "APT::Sandbox::User=root"),
    ]
    _run(work, "apt-get", *options, "--quiet=2", "update")
    package = f"{SOURCE_PACKAGE}={VERSION}"
    _run(work, "apt-get", *options, "--quiet=2", "source", "--download-only", package)
    _run(work, "dpkg-source", "--extract", str(next(work.glob("*.dsc"))), str(work / "source"))


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
