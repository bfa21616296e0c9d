"""The folder for a run's temporary files: batches, optimizer state, what is offloaded. It belongs on a disk.

In a file system that lives in memory (tmpfs, which /tmp is on many systems) they would take the memory that
the budget is about, where no count of a process shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lowpeak_artifact.disk import Mount, Need, cache_folder, require_room, temporary_folder
from lowpeak_artifact.errors import EnvironmentProblem, told_as_environment_problem
from lowpeak_artifact.make_folder import make_folder
from lowpeak_artifact.private_folder import private_folder


@contextmanager
def work_folder(
    out: Path | None, artifact: Path | None = None, tell: Callable[[str], None] = lambda _: None
) -> Iterator[str]:
    """A folder among the system's temporary files (TMPDIR), or, if those are in memory, in the first of these
    that is on a disk and can be written: `out`, where the artifact lies, lowpeak's cache. `tell` is told so.

    Raises EnvironmentProblem when TMPDIR is no folder, or none of them is on a disk.
    """
    base = _base(out, artifact, tell)
    with ExitStack() as stack:
        with told_as_environment_problem():
            make_folder(base)
            folder = stack.enter_context(private_folder("lowpeak-train-", base))
        yield folder


def _base(out: Path | None, artifact: Path | None, tell: Callable[[str], None]) -> Path:
    wanted = temporary_folder()
    mount = Mount.of(wanted)
    if not mount.in_memory:
        return wanted
    others = [*filter(None, (out, artifact and artifact.absolute().parent)), cache_folder()]
    for place in others:
        if not Mount.of(place).in_memory and _can_be_written(place):
            tell(f"temporary files go to {place}: {wanted} is in memory ({mount}), which the budget is about")
            return place
    tried = ", ".join(map(str, others))
    raise EnvironmentProblem(
        f"there is no folder on a disk for temporary files: {wanted} is in memory ({mount}), which the "
        f"budget is about, and so is, or cannot be written, each of {tried}. Name one on a disk by TMPDIR"
    )


def _can_be_written(folder: Path) -> bool:
    try:
        require_room(Need(folder, (), "temporary files"))
    except EnvironmentProblem:
        return False
    return True
