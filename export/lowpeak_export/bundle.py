"""Writing an artifact: into a temporary folder beside the final one, manifest last, then renamed.

Whatever happens on the way, a kill included, the final name is what it was before or the whole new artifact.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from lowpeak_artifact.artifact import sha256_of
from lowpeak_artifact.disk import Need, require_no_dead_link, require_room
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.layout import MANIFEST, SIGNATURE
from lowpeak_artifact.linux import exchange
from lowpeak_artifact.make_folder import make_folder
from lowpeak_artifact.manifest import MOST_BYTES, FileRecord, Manifest
from lowpeak_artifact.plain_file import is_plain_name, read_plain
from lowpeak_artifact.private_folder import new_private_folder, remove_leftovers
from lowpeak_artifact.system_errors import MEANINGS, NO_ROOM, meaning, number_of, remedy_of
from lowpeak_artifact.whole_file import sync

TEMPORARY_SUFFIX = ".writing"


class BundleWriter:
    """Where the files of one artifact are made: `path(name)` for each, `finish(manifest)` at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.finished = False

    def path(self, name: str) -> Path:
        """Where to write the file `name`."""
        assert is_plain_name(name) and name not in (MANIFEST, SIGNATURE), name
        return self.folder / name

    def finish(self, manifest: Manifest) -> Manifest:
        """Hashes the files, writes the manifest with them and gives it back; `manifest.files` is not read."""
        files = {}
        for path in sorted(self.folder.iterdir()):
            sync(path)
            files[path.name] = FileRecord(sha256_of(path), path.stat().st_size)
        complete = dataclasses.replace(manifest, files=files)
        (self.folder / MANIFEST).write_text(complete.to_json(), encoding="utf-8")
        sync(self.folder / MANIFEST)
        sync(self.folder)
        self.finished = True
        return complete


@contextlib.contextmanager
def writing(out: str | Path, *, overwrite: bool = False, expected_bytes: int = 0) -> Iterator[BundleWriter]:
    """The artifact is at `out` when the block ends without an exception; it has to call `finish`.

    `expected_bytes`: room to ask for beforehand. Raises ArtifactError when `out` is in use: by an artifact
    and not `overwrite`, or by anything else. Raises EnvironmentProblem when the disk is full.
    """
    out = Path(out).resolve()
    require_free_name(out, overwrite)
    folder: Path | None = None
    try:
        remove_stale(out)
        require_room_for_artifact(out, expected_bytes)
        make_folder(out.parent)
        folder, lock = temporary_folder(out)
        try:
            writer = BundleWriter(folder)
            yield writer
            assert writer.finished, "the artifact has no manifest"
            require_free_name(out, overwrite)
            publish(folder, out)
        finally:
            os.close(lock)
    except (OSError, SafetensorError) as error:
        number = number_of(error)
        if number in MEANINGS and number not in NO_ROOM:
            what = f"the artifact {out} cannot be written: {meaning(number)}; {remedy_of(number)}"
            raise EnvironmentProblem(what) from error
        if number not in NO_ROOM:
            raise ArtifactError(f"the artifact {out} cannot be written: {error}") from error
        written = sum(file.stat().st_size for file in folder.iterdir()) if folder else 0
        free = shutil.disk_usage(out.parent).free
        needed = f"{max(expected_bytes, written)} bytes or more"
        why = "the disk is full" if number == errno.ENOSPC else meaning(number)
        raise EnvironmentProblem(
            f"{why}: the artifact {out} needs {needed}, {written} could be written and {free} are "
            "free; free some space or give a folder on another disk",
            needed_bytes=max(expected_bytes, written),
            free_bytes=free,
        ) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def require_free_name(out: Path, overwrite: bool) -> None:
    """Raises ArtifactError unless an artifact may be written to `out`, EnvironmentProblem for a link to
    nothing; worth asking before a long compile.
    """
    require_no_dead_link(out)
    if not os.path.lexists(out):
        return
    if not out.is_dir():
        raise ArtifactError(f"the output folder {out} is in use: it is a file; give another folder")
    entries = {entry.name for entry in out.iterdir()}
    if not entries:
        return
    foreign = entries - _own_files(out)
    if foreign:
        raise ArtifactError(
            f"the output folder {out} is in use: it holds {min(foreign)}, which is no file of an artifact; "
            "give another folder"
        )
    if not overwrite:
        raise ArtifactError(
            f"the output folder {out} is in use by an artifact; give another folder or overwrite it"
        )


def _own_files(folder: Path) -> set[str]:
    """Names that the artifact in the folder lists, whatever its version; none if it is no artifact."""
    try:
        manifest = json.loads(read_plain(folder, MANIFEST, str(folder), MOST_BYTES))
        if "schema_version" not in manifest:
            return set()
        return {MANIFEST, SIGNATURE, *map(str, manifest["files"])}
    except (ArtifactError, ValueError, KeyError, TypeError, RecursionError):
        return set()


def temporary_folder(out: Path) -> tuple[Path, int]:
    """A new folder beside `out` and the descriptor of its lock, as `new_private_folder` has them; of the mode
    that `out` will have.
    """
    folder, lock = new_private_folder(f".{out.name}.", TEMPORARY_SUFFIX, out.parent)
    folder.chmod(0o777 & ~_umask())
    return folder, lock


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def remove_stale(out: Path) -> None:
    """Removes what killed writers of the same artifact left behind."""
    remove_leftovers(f".{out.name}.", TEMPORARY_SUFFIX, out.parent)


def require_room_for_artifact(out: Path, nbytes: int) -> None:
    """Raises EnvironmentProblem unless the folder of `out` can be written and has room; worth asking before a
    long compile, as soon as the bytes are known and, without them, before.
    """
    require_room(Need(out.parent, (nbytes,) * bool(nbytes), "the artifact"))


def publish(folder: Path, out: Path) -> None:
    """`folder` becomes `out`; an artifact that was there becomes `folder`, to be removed."""
    if not out.exists() or not any(out.iterdir()):
        folder.rename(out)
    elif not exchange(folder, out):
        aside = folder.with_suffix(".previous")
        out.rename(aside)
        try:
            folder.rename(out)
        except BaseException:
            aside.rename(out)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    sync(out.parent)
