"""android_demo/core built with javac and tested by JUnit, in a JVM of its own."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
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


def compile_java(
    classes: Path, *folders: str, classpath: Iterable[Path] = (), options: Sequence[str] = ()
) -> None:
    """All sources of the folders of `core/src` into `classes`, as Java 11 without a warning."""
    sources = sorted(str(file) for folder in folders for file in (CORE / folder).rglob("*.java"))
    path = ":".join(map(str, classpath))
    strict = ("--release", "11", "-Xlint:all", "-Werror", *options)
    _run("javac", *strict, "-cp", path, "-d", str(classes), *sources)


def java(
    classes: Path,
    main: str,
    *arguments: str,
    properties: Mapping[str, object] | None = None,
    file_bytes: int | None = None,
) -> str:
    """What the class of that name prints; RuntimeError with it when it fails. `file_bytes`: most that it may
    write into a file.
    """
    defined = [f"-D{name}={value}" for name, value in (properties or {}).items()]
    path = ":".join(map(str, (classes, *JARS)))
    # The file of the JVM's own counters would be met by the limit.
    options = ["-Djava.awt.headless=true", "-XX:-UsePerfData", *defined]
    return _run("java", *options, "-cp", path, main, *arguments, file_bytes=file_bytes)


def _run(*command: str, file_bytes: int | None = None) -> str:
    def limit() -> None:
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=SECONDS, preexec_fn=limit
    )
    if done.returncode:
        said = done.stdout[-12000:] + done.stderr[-4000:]
        raise RuntimeError(f"{command[0]} failed with {done.returncode}:\n{said}")
    return done.stdout
