"""The standard streams, where what started this program has closed them."""

from __future__ import annotations

import os
import sys

from lowpeak_artifact.errors import EnvironmentProblem


def open_streams() -> None:
    """No file that is opened later gets the number of one of them, into which any library prints.

    Raises EnvironmentProblem when stdout is closed, before any work: the result could not be told.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        raise EnvironmentProblem(
            "stdout is closed: the result cannot be told; send it to a file or /dev/null"
        )


def let_go_of_stdout() -> None:
    """What cannot be written is not tried again as the program ends."""
    try:
        sys.stdout.flush()
        return
    except (OSError, ValueError):
        pass
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
