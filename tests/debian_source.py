"""Source packages of Debian, by package lists of their own: the machine's stay as they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCES = Path("/etc/apt/sources.list.d/debian.sources")


def fetch(package: str, version: str, folder: Path) -> Path:
    """Downloads the package's files into the folder and returns its .dsc; apt checks the signatures.

    Raises RuntimeError where that fails or the machine is not Debian 12.
    """
    if not SOURCES.is_file():
        raise RuntimeError(f"these tests need Debian 12: there is no {SOURCES}")
    parts, lists = folder / "parts", folder / "lists"
    parts.mkdir(parents=True)
    (lists / "partial").mkdir(parents=True)
    text = SOURCES.read_text().replace("Types: deb\n", "Types: deb-src\n")
    (parts / SOURCES.name).write_text(text)
    options = [
        *("-o", "Dir::Etc::sourcelist=/dev/null"),
        *("-o", f"Dir::Etc::sourceparts={parts}"),
        *("-o", f"Dir::State::lists={lists}"),
        *("-o", "APT::Sandbox::User=root"),
    ]
    run(folder, "apt-get", *options, "--quiet=2", "update")
    run(folder, "apt-get", *options, "--quiet=2", "source", "--download-only", f"{package}={version}")
    return next(folder.glob("*.dsc"))


def run(folder: Path, *command: str) -> str:
    """What the command prints; RuntimeError with all that it said if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout
