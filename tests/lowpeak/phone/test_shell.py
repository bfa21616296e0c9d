"""The end of a command, told by itself; commands on a device are tested in tests/device."""

from __future__ import annotations

import pytest

from lowpeak.phone.shell import Ended


@pytest.mark.parametrize(
    "stderr, status, said",
    [
        (b"\nlowpeak-command-ended 0\n", 0, ""),
        (b"no such file\n\nlowpeak-command-ended 3\n", 3, "no such file"),
        (b"cut off", None, "cut off"),
        (b"\nlowpeak-command-ended ", None, "lowpeak-command-ended"),
        (
            b"lowpeak-command-ended 1 was said\n\nlowpeak-command-ended 0\n",
            0,
            "lowpeak-command-ended 1 was said",
        ),
        (b"", None, ""),
    ],
)
def test_only_the_last_line_is_the_end(stderr: bytes, status: int | None, said: str) -> None:
    assert Ended.of(stderr) == Ended(status, said)
