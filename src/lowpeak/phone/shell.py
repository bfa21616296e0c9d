"""Commands on a device, through the shell that adbd starts there.

What adb returns is not how a command ended: with the connection gone it returns 0. So every command tells
its exit status itself, in a last line on stderr, and without that line it has not ended. No script may
`exit`.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from shlex import quote
from typing import IO, Any

from lowpeak.phone.adb import Adb
from lowpeak.phone.devices import READY, Listed, listed
from lowpeak_artifact.errors import EnvironmentProblem

COMMAND_SECONDS = 60.0
BYTES_PER_SECOND = 4e6
"""What the slowest connection and storage still carry or hash: for timeouts."""
_END = "lowpeak-command-ended"
_ENDED = re.compile(rf"\n?{_END} (\d+)\s*\Z")


@dataclass(frozen=True)
class Ended:
    """What a command on the device left behind. `status`: None if the connection was gone before."""

    status: int | None
    stderr: str

    @staticmethod
    def of(stderr: bytes) -> Ended:
        text = stderr.decode(errors="replace")
        match = _ENDED.search(text)
        return Ended(int(match[1]), text[: match.start()].strip()) if match else Ended(None, text.strip())


@dataclass(frozen=True)
class Running:
    """A script that runs on the device."""

    child: subprocess.Popen[bytes]
    stderr: IO[bytes]

    @property
    def stdout(self) -> IO[bytes]:
        assert self.child.stdout is not None
        return self.child.stdout

    def ended(self) -> Ended:
        """Waits for its end."""
        self.child.wait()
        self.stderr.seek(0)
        return Ended.of(self.stderr.read())


@dataclass(frozen=True)
class Device:
    """A device that is ready; `run` waits for a command, `start` follows one."""

    adb: Adb
    listed: Listed

    def __str__(self) -> str:
        return str(self.listed)

    @property
    def serial(self) -> str:
        return self.listed.serial

    def run(self, script: str, stdin: bytes = b"", *, timeout: float = COMMAND_SECONDS) -> str:
        """What the script prints. Raises EnvironmentProblem when it fails, takes longer than `timeout`
        seconds, or the connection breaks.
        """
        ended, out = self.attempt(script, stdin, timeout=timeout)
        self._require_success(ended, script)
        return out.decode(errors="replace")

    def attempt(
        self, script: str, stdin: bytes = b"", *, timeout: float = COMMAND_SECONDS
    ) -> tuple[Ended, bytes]:
        """How the script ended, whatever its exit status, and what it printed; raises as `run` otherwise."""
        done = self._done(script, timeout, input=stdin, stdout=subprocess.PIPE)
        return self._ended(done.stderr), done.stdout

    def fetch(self, script: str, target: IO[bytes], *, nbytes: int = 0) -> str:
        """Writes what the script prints, about `nbytes`, to `target` -> what it says on stderr. Raises as
        `run`.
        """
        timeout = transfer_seconds(nbytes)
        ended = self._ended(self._done(script, timeout, stdin=subprocess.DEVNULL, stdout=target).stderr)
        self._require_success(ended, script)
        return ended.stderr

    def _done(self, script: str, timeout: float, **streams: Any) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(self._command(script), stderr=subprocess.PIPE, timeout=timeout, **streams)
        except subprocess.TimeoutExpired as error:
            raise EnvironmentProblem(
                f"{self} has not answered for {timeout:.0f} s: look whether it is still connected, and try "
                "again"
            ) from error

    def _ended(self, stderr: bytes) -> Ended:
        ended = Ended.of(stderr)
        if ended.status is None:
            raise self.lost(ended)
        return ended

    def _require_success(self, ended: Ended, script: str) -> None:
        if ended.status:
            raise EnvironmentProblem(
                f"a command on {self} failed with {ended.status}: {ended.stderr or script}"
            )

    @contextmanager
    def start(self, script: str) -> Iterator[Running]:
        """The script while it runs. When the block ends the connection does: adbd then sends it SIGHUP."""
        with (
            tempfile.TemporaryFile() as stderr,
            subprocess.Popen(
                self._command(script),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                # An interrupt at the terminal is for us: the connection is needed to stop what runs.
                start_new_session=True,
            ) as child,
        ):
            try:
                yield Running(child, stderr)
            finally:
                child.terminate()

    def lost(self, ended: Ended, doing: str = "", remedy: str = "run the same command") -> EnvironmentProblem:
        """The error of a command that has not told its end; `doing`: what broke off."""
        state = next((each.state for each in listed(self.adb) if each.serial == self.serial), "gone")
        said = f" (adb: {ended.stderr.splitlines()[-1]})" if ended.stderr else ""
        how = "it is connected now" if state == READY else f"it is {state} now"
        return EnvironmentProblem(
            f"the connection to {self} broke{doing}; {how}{said}. Plug it in again, and {remedy}",
            state=state,
        )

    def _command(self, script: str) -> list[str]:
        # One argument: adb joins several with blanks, and the device's shell would split them elsewhere.
        # What is trained on is nobody else's there.
        return self.adb.command("-s", self.serial, "shell", "-T", self.wrapped(script))

    def wrapped(self, script: str) -> str:
        """The script, telling its end."""
        return f"umask 077\n{script}\nprintf '\\n{_END} %d\\n' $? >&2"


def transfer_seconds(nbytes: int) -> float:
    """More than it can take to send, fetch or hash so much."""
    return COMMAND_SECONDS + nbytes / BYTES_PER_SECOND


def join(words: Sequence[str]) -> str:
    """A command line for the device's shell: whatever is in a word, it stays one."""
    return " ".join(map(quote, words))
