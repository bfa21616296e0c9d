"""The two generations of a run's checkpoint: the newest whole one is what a run goes on from.

    checkpoint.safetensors             the newest
    checkpoint.previous.safetensors    the one before it

At every moment one of them is whole, whatever ends the process. Nothing here needs torch; what is in the
files is lowpeak_runtime/train/checkpoint_tensors.py's.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.safetensors_header import Damaged
from lowpeak_artifact.whole_file import sync
from lowpeak_runtime.train.checkpoint_format import Progress as Progress
from lowpeak_runtime.train.checkpoint_format import read_header, verify

if TYPE_CHECKING:
    from lowpeak_artifact.manifest import Manifest

CHECKPOINT = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"
FILES_AT_ONCE = 3
"""Most that a run's folder holds: two generations, and the next while it is written."""

Tell = Callable[[str], None]


def artifact_id(manifest: Manifest) -> str:
    """Changes with anything that the manifest says, so with every file of the artifact."""
    return manifest.sha256


def previous_of(path: Path) -> Path:
    """`checkpoint.safetensors` -> `checkpoint.previous.safetensors`."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def read_progress(path: Path) -> Progress:
    """By the header alone. Raises ArtifactError when the file is no checkpoint or its header is damaged."""
    try:
        return read_header(path)
    except Damaged as error:
        raise ArtifactError(f"{path} is no whole checkpoint: {error}") from error


def newest_whole(out: Path, tell: Tell = lambda _: None) -> Path | None:
    """The checkpoint of the run in the folder `out`, every byte of it checked; None if it has none.

    Where the newest is damaged, `tell` is told that it is the one before and how many steps that has. Raises
    ArtifactError when there are checkpoints and none is whole, or one is of another version of lowpeak.
    """
    return newest_of(out / CHECKPOINT, tell)


def newest_of(path: Path, tell: Tell = lambda _: None) -> Path | None:
    """As `newest_whole`, of the generations of the checkpoint that is written to `path`."""
    previous, damage = previous_of(path), dict[Path, str]()
    checkpoints = list[tuple[Path, Progress]]()
    for each in (path, previous):
        if os.path.lexists(each):
            try:
                checkpoints.append((each, _header(each)))
            except Damaged as error:
                damage[each] = str(error)
    if len(checkpoints) == 2 and checkpoints[0][1].same_run(checkpoints[1][1]):
        # The same name first where both have as many steps.
        checkpoints.sort(key=lambda each: -each[1].step)
    for each, progress in checkpoints:
        wrong = _damage(each)
        if wrong:
            damage |= wrong
            continue
        if each == previous:
            if path not in damage and os.path.lexists(path):
                # Fewer steps it may have by a flipped bit.
                damage |= _damage(path)
            tell(_instead(path, previous, damage.get(path), progress.step))
        return each
    if not damage:
        return None
    words = " and ".join(f"{each} is damaged ({why})" for each, why in damage.items())
    without = f", and there is no {previous.name} before it" if damage.keys() == {path} else ""
    check = shlex.join(["lowpeak", "fsck", str(path.parent)])
    raise ArtifactError(f"{words}{without}: `{check}` tells what can be saved")


def _damage(path: Path) -> dict[Path, str]:
    try:
        verify(path)
    except Damaged as error:
        return {path: str(error)}
    return {}


def _header(path: Path) -> Progress:
    try:
        return read_header(path)
    except ArtifactError:
        # Of another version it may be by a flipped bit.
        return verify(path)


def _instead(path: Path, previous: Path, why: str | None, steps: int) -> str:
    if why is not None:
        reason = f"{path} is damaged ({why})"
    elif not os.path.lexists(path):
        reason = f"there is no {path}, as a process ended while it replaced it"
    else:
        reason = f"{path} has fewer steps than {previous.name}"
    return f"{reason}: {previous.name} is used, with {steps} steps"


def settle(path: Path, tell: Tell = lambda _: None) -> None:
    """Gives the newest whole generation the name `path`, before a run goes on from it: the next one would
    else push out the whole one and keep the damaged. The caller holds the folder's lock. Raises as
    `newest_whole`.
    """
    if newest_of(path, tell) == previous_of(path):
        previous_of(path).replace(path)
        sync(path.parent)


def install(fresh: Path, path: Path) -> None:
    """The checkpoint `fresh`, which is whole and on the disk, becomes the newest, and the newest the one
    before. OSError is the caller's; the newest is then whole under one of the names.
    """
    with contextlib.suppress(FileNotFoundError):
        path.replace(previous_of(path))
    fresh.replace(path)
    sync(path.parent)


def give_up_previous(path: Path) -> bool:
    """Removes the generation before, for its room, if the newest is whole; whether it did."""
    previous = previous_of(path)
    with contextlib.suppress(OSError, Damaged, ArtifactError):
        if os.path.lexists(previous):
            verify(path)
            previous.unlink()
            return True
    return False


def require_same_run(path: Path, stored: Progress, wanted: Progress) -> None:
    """Raises ArtifactError for the first thing, but the step, in which a checkpoint is of another run."""
    if stored.artifact != wanted.artifact:
        raise ArtifactError(
            f"{path} is a checkpoint of another artifact (manifest {stored.artifact[:12]}, this one is "
            f"{wanted.artifact[:12]}): resume with that artifact, or train into a new folder"
        )
    if stored.seed != wanted.seed:
        raise _changed(path, "seed", str(stored.seed), str(wanted.seed))
    if stored.fingerprint != wanted.fingerprint:
        for name in sorted(stored.options.keys() | wanted.options.keys()):
            before, now = stored.options.get(name, "none"), wanted.options.get(name, "none")
            if before != now:
                raise _changed(path, name, before, now)
        raise _changed(path, "options of the fingerprint", stored.fingerprint, wanted.fingerprint)
    if stored.data != wanted.data:
        raise ArtifactError(
            f"{path} is a checkpoint of a run on other data (sha256 {stored.data[:12]}, now it is "
            f"{wanted.data[:12]}): resume with that data, or train into a new folder"
        )


def _changed(path: Path, name: str, before: str, now: str) -> ArtifactError:
    return ArtifactError(
        f"{path} is a checkpoint of a run with {name} {before}, now it is {now}: a resumed run keeps "
        "it; use the same, or train into a new folder"
    )
