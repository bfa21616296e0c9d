"""Folders made while others remove them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from lowpeak_artifact.make_folder import ATTEMPTS, make_folder


def test_made_while_others_remove_it(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c"

    def remove() -> None:
        for _ in range(2000):
            for each in (folder, folder.parent, folder.parent.parent):
                with suppress(OSError):
                    each.rmdir()

    with ThreadPoolExecutor(4) as threads:
        removing = [threads.submit(remove) for _ in range(3)]
        while not all(each.done() for each in removing):
            make_folder(folder)
        for each in removing:
            each.result()
    make_folder(folder)
    make_folder(folder)
    assert folder.is_dir()


@pytest.mark.parametrize("each", ["existence", "parent"])
def test_what_goes_between_two_looks(each: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of the moments, each of which chance seldom finds."""
    folder, made, spoilt = tmp_path / "one", Path.mkdir, 0

    def spoiling(self: Path, *args: object, **kwargs: object) -> None:
        nonlocal spoilt
        spoilt += 1
        if spoilt < ATTEMPTS:
            raise FileExistsError(str(self)) if each == "existence" else FileNotFoundError(str(self))
        made(self)

    monkeypatch.setattr(Path, "mkdir", spoiling)
    make_folder(folder)
    assert folder.is_dir() and spoilt == ATTEMPTS


def test_what_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link", "file/one"):
        with pytest.raises((FileExistsError, NotADirectoryError)):
            make_folder(tmp_path / name)
    with pytest.raises(OSError):
        make_folder(Path("/proc/one"))
