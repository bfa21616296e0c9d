"""What every verb prints: a result or an error, for people or as one JSON object, and progress."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from typer.exceptions import TyperException

from lowpeak_artifact.errors import EnvironmentProblem, LowpeakError, system_problem

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Say = Callable[[str], None]
"""Is told, in a few words, what is being done."""

PIPE_COLUMNS = 120
LINE_SECONDS = 10.0
"""Between two lines of progress where there is no terminal."""
LONGEST_MESSAGE = 400
"""Characters of what a library says of its failure; its graphs and stacks are --debug's."""


def quiet_libraries(debug: bool = False) -> None:
    """Keeps off the terminal what libraries say about themselves on import and in use, but for --debug."""
    if debug:
        return
    # Also under `python -W`: torchao warns of itself on import.
    warnings.simplefilter("ignore")
    warnings.showwarning = lambda *_, **__: None
    # Not by the loggers' levels: torch sets its own when it is imported.
    logging.disable(logging.ERROR)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def stdout_console() -> Console:
    """As wide as the terminal; what goes to a file or a pipe has room for every column."""
    return Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)


def print_result(figures: Any, machine: bool, *shown: RenderableType) -> None:
    """`figures` as JSON for machines, else `shown`. Raises EnvironmentProblem when stdout takes none."""
    with telling():
        if machine:
            print(json.dumps(_plain(figures), allow_nan=False), flush=True)
            return
        console = stdout_console()
        for part in shown:
            console.print(part)
        sys.stdout.flush()


@contextmanager
def telling() -> Iterator[None]:
    """Raises EnvironmentProblem where what is written to stdout finds no room, or nobody who reads."""
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(
            f"the result cannot be written to stdout: {error.strerror}; what was made is kept"
        ) from error


def table(title: str, rows: Mapping[str, str]) -> Table:
    """Two columns: what, and how much."""
    result = Table("", "", title=title, title_justify="left", show_header=False)
    for name, value in rows.items():
        result.add_row(name, Text(value))
    return result


@contextmanager
def working(what: str) -> Iterator[Say]:
    """A line on stderr with the time and the message that was told last, for work of unknown length."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with _progress(*columns) as progress:
        task = progress.add_task(what, total=None)
        yield lambda message: progress.update(task, description=f"{what}: {message}")
        progress.update(task, description=what, total=1, completed=1)


@contextmanager
def counting(what: str, total: int, done: int = 0) -> Iterator[Callable[[int, str], None]]:
    """On stderr: told how much is done, and a few words. A bar on a terminal, else a line now and then."""
    if not Console(stderr=True).is_terminal:
        with _lines(what, total) as say:
            yield say
        return
    text, share = TextColumn("{task.description}", markup=False), TextColumn("{task.completed}/{task.total}")
    said = TextColumn("{task.fields[words]}", markup=False)
    with _progress(text, BarColumn(20), share, TimeElapsedColumn(), said) as bar:
        task = bar.add_task(what, total=total, completed=done, words="")
        yield lambda count, words: bar.update(task, completed=count, words=words)


@contextmanager
def _lines(what: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Progress for logs: every message without progress, and else one in LINE_SECONDS and the last."""
    told, printed, at = "", "", -math.inf
    before = -1

    def say(count: int, words: str) -> None:
        nonlocal told, printed, at, before
        told = f"{what} {count}/{total}: {words}"
        now = time.monotonic()
        if count <= before or now - at >= LINE_SECONDS:
            note(told)
            printed, at = told, now
        before = count

    yield say
    if told != printed:
        note(told)


def _progress(*columns: Any) -> Progress:
    # stdout is the result's alone: what libraries print meanwhile must not be moved there.
    return Progress(*columns, console=Console(stderr=True), redirect_stdout=False)


def note(message: str) -> None:
    """One line on stderr."""
    Console(stderr=True, soft_wrap=True).print(message, markup=False, highlight=False)


def report_error(error: Exception, *, machine: bool, debug: bool) -> int:
    """Prints the error as one JSON object on stdout or as a message on stderr; the exit code."""
    if debug:
        traceback.print_exception(error)
    if not isinstance(error, LowpeakError | TyperException):
        error = system_problem(error) or error
    message, numbers, code = str(error), {}, 1
    if isinstance(error, LowpeakError):
        numbers, code = error.numbers, 2 if error.user_mistake else 1
    elif isinstance(error, TyperException):
        # The help that a command without arguments gives is an error by its class only.
        message, code = getattr(error, "format_message", error.__str__)(), getattr(error, "exit_code", 2)
    name = type(error).__name__
    if machine:
        print(json.dumps(_plain({**numbers, "error": name, "message": message}), allow_nan=False), flush=True)
        return code
    known = isinstance(error, LowpeakError | TyperException)
    text = Text(message if known or debug else f"{name}: {_first_line(message)}", style="red")
    Console(stderr=True, soft_wrap=True).print(text)
    if not known and not debug:
        note("This is a bug or a broken installation; --debug shows where it happened.")
    return code


def _first_line(message: str) -> str:
    """Without what follows it: torch adds whole graphs."""
    lines = message.strip().splitlines() or [""]
    return lines[0] if len(lines[0]) <= LONGEST_MESSAGE else f"{lines[0][:LONGEST_MESSAGE]} ..."


def mb(nbytes: float) -> str:
    return f"{nbytes / 1e6:.1f} MB"


def _plain(value: Any) -> Any:
    """What is not finite is a string: JSON has no NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
