"""A folder with its parents, where other processes may remove them, as empty ones, at the same time."""

from __future__ import annotations

from pathlib import Path

ATTEMPTS = 1000
"""Of which another process would have to spoil each; a place that takes no folder at all, as the kernel's own
file systems, says the same as one whose parent was just removed."""


def make_folder(folder: Path) -> None:
    """Makes it if it is not there. Raises OSError when that cannot be."""
    for _ in range(ATTEMPTS - 1):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return
        except FileNotFoundError:
            # A parent went after it was made.
            continue
        except FileExistsError:
            # It went after it was found, and may be there again; a file or a link to nothing stays.
            if folder.is_symlink() or folder.is_file():
                raise
    folder.mkdir(parents=True, exist_ok=True)
