"""The command line: `lowpeak VERB ...`, one file a verb. Results go to stdout, progress to stderr."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from types import FrameType
from typing import Annotated

import typer

from lowpeak.cli.compile import compile_command
from lowpeak.cli.demo import demo_command
from lowpeak.cli.deploy import deploy_command
from lowpeak.cli.estimate import estimate_command
from lowpeak.cli.export_gguf import export_gguf_command
from lowpeak.cli.generate import generate_command
from lowpeak.cli.mistakes import options_by_verb, unknown_option
from lowpeak.cli.output import quiet_libraries, report_error
from lowpeak.cli.pull import pull_command
from lowpeak.cli.simulate import simulate_command
from lowpeak.cli.train import train_command

INTERRUPTED = 130
ENDING = (signal.SIGTERM, signal.SIGHUP)
PACKAGES = ("lowpeak", "torch", "transformers", "peft", "torchao", "executorch", "onnxruntime-training-cpu")
"""Whose versions decide what an artifact is."""

app = typer.Typer(
    help="Compiles a causal LM with LoRA into on-device training that fits a memory budget.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_versions(asked: bool) -> None:
    if not asked:
        return
    for package in PACKAGES:
        try:
            print(package, version(package))
        except PackageNotFoundError:
            print(package, "is not installed")
    raise typer.Exit


@app.callback()
def lowpeak(
    versions: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_versions, is_eager=True, help="Print the versions that matter."
        ),
    ] = False,
) -> None:
    """Compiles a causal LM with LoRA into on-device training that fits a memory budget."""


app.command("compile")(compile_command)
app.command("simulate")(simulate_command)
app.command("train")(train_command)
app.command("deploy")(deploy_command)
app.command("pull")(pull_command)
app.command("export-gguf")(export_gguf_command)
app.command("generate")(generate_command)
app.command("estimate")(estimate_command)
app.command("demo")(demo_command)


class _Ended(BaseException):
    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """What is asked to end takes its temporary files and the processes that it started along."""

    def end(number: int, frame: FrameType | None) -> None:
        raise _Ended(number)

    # One that is ignored, as by nohup, stays so.
    handled = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0; 2 for a mistake of the user; 128 and its number for a signal; 1 for anything else."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments or os.environ.get("LOWPEAK_DEBUG") == "1"
    quiet_libraries(debug)
    if not faulthandler.is_enabled():
        # A mapped file that is cut ends the process by a bus error: this says where.
        faulthandler.enable(2)
    try:
        with _ended_by_signals():
            code = app(args=list(arguments), prog_name="lowpeak", standalone_mode=False)
    except KeyboardInterrupt:
        return INTERRUPTED
    except _Ended as ended:
        return 128 + ended.number
    except Exception as error:
        _name_the_near_option(error)
        return report_error(error, machine="--json" in arguments, debug=debug)
    return code if isinstance(code, int) else 0


def _name_the_near_option(error: Exception) -> None:
    """Changes the message of an error about an unknown option."""
    name, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if type(error).__name__ != "NoSuchOption" or name is None:
        return
    options = options_by_verb(typer.main.get_command(app))
    verb = context.info_name if context is not None and context.parent is not None else None
    error.message, error.possibilities = unknown_option(name, verb, options), None  # type: ignore[attr-defined]
