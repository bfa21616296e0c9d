"""android_demo/core built with javac and tested by JUnit, in a JVM of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

CORE = Path(__file__).resolve().parents[2] / "android_demo" / "core" / "src"
PACKAGES = Path(__file__).with_name("packages.txt")
JARS = (Path("/usr/share/java/junit4.jar"), Path("/usr/share/java/hamcrest-core.jar"))
SECONDS = 600


def require_tools() -> None:
    """Raises RuntimeError with the line that installs what is missing."""
    missing = [tool for tool in ("javac", "java") if shutil.which(tool) is None]
    missing += [str(jar) for jar in JARS if not jar.exists()]
    if missing:
        packages = " ".join(PACKAGES.read_text().split())
        raise RuntimeError(f"there is no {', '.join(missing)}: apt-get install -y {packages}")


def compile_java(classes: Path, *folders: str, classpath: Iterable[Path] = ()) -> None:
    """All sources of the folders of `core/src` into `classes`, as Java 11 without a warning."""
    sources = sorted(str(file) for folder in folders for file in (CORE / folder).rglob("*.java"))
    path = ":".join(map(str, classpath))
    _run("javac", "--release", "11", "-Xlint:all", "-Werror", "-cp", path, "-d", str(classes), *sources)


def java(classes: Path, main: str, *arguments: str, properties: Mapping[str, object] | None = None) -> str:
    """What the class of that name prints; RuntimeError with it when it fails."""
    defined = [f"-D{name}={value}" for name, value in (properties or {}).items()]
    path = ":".join(map(str, (classes, *JARS)))
    return _run("java", "-Djava.awt.headless=true", *defined, "-cp", path, main, *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed with {done.returncode}:\n{done.stdout[-12000:]}{done.stderr[-4000:]}")
    return done.stdout
