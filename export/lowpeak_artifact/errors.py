"""Errors that a user can meet: each says what is wrong, with numbers, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lowpeak_artifact.system_errors import number_of, words_of

SUMMARY = 500
"""Characters of another library's message that are told."""


class LowpeakError(Exception):
    """Base of every error a user can cause or meet.

    `numbers` holds the quantities of the message (bytes, tokens, line numbers) for machine-readable output.
    `user_mistake` says whether changing the input mends it (exit code 2) or not (exit code 1).
    """

    user_mistake = True

    def __init__(self, message: str, **numbers: int | float | str) -> None:
        super().__init__(message)
        self.numbers = numbers


class ModelError(LowpeakError):
    """The model cannot be read or compiled: wrong class, nothing trainable, NaN weights, unknown name."""


class UnsupportedOperator(LowpeakError):
    """An operator of the model has no rule or no kernel on the target."""


class DataError(LowpeakError):
    """The training data cannot be read or does not fit the artifact."""


class BudgetTooSmall(LowpeakError):
    """No plan fits the budget; `numbers` has `minimum_bytes`, the smallest budget that has one."""


class ArtifactError(LowpeakError):
    """An artifact cannot be written, or is damaged, truncated, tampered with or of another version."""


class EnvironmentProblem(LowpeakError):
    """Something outside the input is missing: a package, the network, disk space."""

    user_mistake = False


def system_problem(error: BaseException) -> EnvironmentProblem | None:
    """What the system refused (a full disk, too many open files), in words; None for any other exception."""
    words = words_of(error)
    return None if words is None else EnvironmentProblem(words, errno=number_of(error) or 0)


@contextmanager
def told_as_environment_problem() -> Iterator[None]:
    """An error of the system that nobody has put into words leaves as an EnvironmentProblem."""
    try:
        yield
    except LowpeakError:
        raise
    except Exception as error:
        problem = system_problem(error)
        if problem is None:
            raise
        raise problem from error


@contextmanager
def told_as_model_error(doing: str) -> Iterator[None]:
    """Any other exception than a LowpeakError or one of the system leaves as a ModelError that says what was
    being done; the exception itself is its cause, which `--debug` shows.
    """
    try:
        yield
    except (LowpeakError, OSError):
        raise
    except Exception as error:
        if (problem := system_problem(error)) is not None:
            raise problem from error
        raise ModelError(
            f"{doing}: {summary(error)}. lowpeak does not know this kind of model; --debug (in Python, the "
            "error's cause) shows where it happened"
        ) from error


def summary(error: BaseException) -> str:
    """The first line of an exception's message, with its kind: torch goes on with whole graphs after it, and
    other libraries quote the file.
    """
    lines = str(error).strip().splitlines()
    kind = type(error).__name__
    return f"{kind}: {one_line(lines[0]).rstrip('. ')}" if lines else kind


def one_line(text: str) -> str:
    """Another library's message without control characters and line breaks, cut where it is long."""
    words = " ".join(text[: 2 * SUMMARY].split())
    line = "".join(each if each.isprintable() else "?" for each in words)
    return line if len(line) <= SUMMARY else line[:SUMMARY] + "..."
