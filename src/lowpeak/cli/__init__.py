"""The command line: `lowpeak VERB ...`, one file a verb. Results go to stdout, progress to stderr."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from lowpeak.cli.compile import compile_command
from lowpeak.cli.demo import demo_command
from lowpeak.cli.deploy import deploy_command
from lowpeak.cli.estimate import estimate_command
from lowpeak.cli.export_gguf import export_gguf_command
from lowpeak.cli.fsck import fsck_command
from lowpeak.cli.generate import generate_command
from lowpeak.cli.mistakes import options_by_verb, unknown_option
from lowpeak.cli.output import quiet_libraries, report_error, telling
from lowpeak.cli.pull import pull_command
from lowpeak.cli.sign import sign_command
from lowpeak.cli.signals import INTERRUPTED, Ended, ended_by_signals
from lowpeak.cli.simulate import simulate_command
from lowpeak.cli.streams import let_go_of_stdout, open_streams
from lowpeak.cli.train import train_command

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
    with telling():
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
app.command("sign")(sign_command)
app.command("generate")(generate_command)
app.command("fsck")(fsck_command)
app.command("estimate")(estimate_command)
app.command("demo")(demo_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0; 2 for a mistake of the user; 3 for a run that stopped before its goal, with all that
    it made kept; 128 and its number for a signal that ended a verb; 1 for anything else.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments or os.environ.get("LOWPEAK_DEBUG") == "1"
    machine = "--json" in arguments
    quiet_libraries(debug)
    if not faulthandler.is_enabled():
        # A mapped file that is cut ends the process by a bus error: this says where.
        faulthandler.enable(2)
    try:
        open_streams()
        with ended_by_signals():
            code = app(args=list(arguments), prog_name="lowpeak", standalone_mode=False)
            with telling():
                sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Ended as ended:
        return ended.code
    except Exception as error:
        _name_the_near_option(error)
        let_go_of_stdout()
        try:
            return report_error(error, machine=machine, debug=debug)
        except OSError:
            let_go_of_stdout()
            return report_error(error, machine=False, debug=debug)
    return code if isinstance(code, int) else 0


def _name_the_near_option(error: Exception) -> None:
    """Changes the message of an error about an unknown option."""
    name, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if type(error).__name__ != "NoSuchOption" or name is None:
        return
    options = options_by_verb(typer.main.get_command(app))
    verb = context.info_name if context is not None and context.parent is not None else None
    error.message, error.possibilities = unknown_option(name, verb, options), None  # type: ignore[attr-defined]
