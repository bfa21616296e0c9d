"""The folder for a run's temporary files: batches, optimizer state, what is offloaded. It belongs on a disk.

In a file system that lives in memory (tmpfs, which /tmp is on many systems) they would take the memory that
the budget is about, where no count of a process shows it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.private_folder import private_folder

IN_MEMORY = frozenset({"tmpfs", "ramfs"})
MOUNTS = Path("/proc/self/mountinfo")


@contextmanager
def work_folder(out: Path | None) -> Iterator[str]:
    """A folder among the system's temporary files (TMPDIR); in `out` if those are in memory and it is not."""
    base = Path(tempfile.gettempdir())
    if out is not None and in_memory(base) and not in_memory(out):
        out.mkdir(parents=True, exist_ok=True)
        base = out
    with private_folder("lowpeak-train-", base) as folder:
        yield folder


def in_memory(folder: Path, mounts: Path = MOUNTS) -> bool:
    """Whether the folder, which may be still to be made, lies in a file system in memory, as Linux tells."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    kinds = {}
    for line in lines:
        fields, _, rest = line.partition(" - ")
        kinds[fields.split()[4]] = rest.split()[0]
    place = folder.resolve()
    mounted = next((str(p) for p in (place, *place.parents) if str(p) in kinds), "/")
    return kinds.get(mounted) in IN_MEMORY
