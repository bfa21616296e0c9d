"""Phones to test with: the real adbd as the user `shell` (2000), each in a root of its own, on loopback.

All of them, and adb's server, live in one network namespace that nothing else reaches; the tests' adb talks
to the server through a socket in the file system. The shell is mksh and the tools are toybox, as Android has
them. What Android adds is played by scripts: `getprop`, `dumpsys` and `logcat` print files of the
root; `pm` knows no app (app.py has one). There is no Android runtime, no SELinux, no low-memory killer.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lowpeak.phone.adb import Adb
from lowpeak.phone.devices import listed
from tests.device.daemon import build

SHELL_USER = 2000
FIRST_PORT = 6101
DATA = "data/local/tmp"
WAIT_SECONDS = 20.0
PROPERTIES = {
    "ro.product.model": "Loopback",
    "ro.product.cpu.abilist": "x86_64,x86",
    "ro.build.version.release": "15",
    "ro.build.version.sdk": "35",
}
STAND_INS = {
    "pm": "exit 1",
    "getprop": 'cat "/stand-ins/properties/$1" 2>/dev/null || echo',
    "dumpsys": 'cat "/stand-ins/dumpsys-$1"',
    "logcat": "cat /stand-ins/log",
}
CHARGED = "Current Battery Service state:\n  AC powered: false\n  USB powered: true\n  level: 80\n"


@dataclass
class Phone:
    """A daemon that listens. `root`: as the daemon sees it, mounts included."""

    phones: Phones
    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.process.pid}/root")

    @property
    def lowpeak(self) -> Path:
        """What was sent."""
        return self.root / DATA / "lowpeak"

    def says(self, property: str, value: str) -> None:
        (self.folder / "stand-ins" / "properties" / property).write_text(f"{value}\n")

    def prints(self, name: str, text: str) -> None:
        """What a stand-in prints: dumpsys-battery, log."""
        (self.folder / "stand-ins" / name).write_text(text)

    def replace_tool(self, name: str, script: str) -> None:
        """A tool of the phone that misbehaves; toybox has the true one."""
        write_script(self.folder / "system" / "bin" / name, script)

    def plug_in(self) -> None:
        """Raises RuntimeError when the daemon does not listen."""
        ends = time.monotonic() + WAIT_SECONDS
        while "connected to" not in self.phones.adb("connect", self.serial):
            if time.monotonic() > ends or self.process.poll() is not None:
                raise RuntimeError(f"{self.serial} does not listen: {(self.folder / 'adbd.log').read_text()}")
            time.sleep(0.05)
        self.phones.wait(self.serial, {"device", "unauthorized"})

    def cut(self) -> None:
        """The cable is pulled: the connection breaks, the daemon lives on."""
        self.phones.adb("disconnect", self.serial)

    def stop(self) -> None:
        """Ends the daemon, and what it started."""
        self.phones.adb("disconnect", self.serial)
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def processes(self, name: str | None = None) -> list[int]:
        """Numbers of those that run in its root, of programs of that name."""
        running = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and name in (None, _program(entry)) and self._inside(entry):
                running.append(int(entry.name))
        return running

    def _inside(self, process: Path) -> bool:
        try:
            return os.path.samefile(process / "root", self.folder)
        except OSError:
            return False


@dataclass
class Phones:
    """Adb's server and the phones that it can be connected to; nothing is connected at first."""

    folder: Path
    server: subprocess.Popen[bytes]
    environment: Mapping[str, str]
    """By which an adb, ours or the tested one, finds the server."""
    started: list[Phone] = field(default_factory=list)

    def adb(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(Adb.find().program), *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout + done.stderr

    def start(self, *, locked: bool = False, data_bytes: int | None = None) -> Phone:
        """A phone of its own. `locked`: it trusts no computer. `data_bytes`: size of its storage."""
        port = FIRST_PORT + len(self.started)
        root = self.folder / str(port)
        _make_root(root, build() / ("adbd-locked" if locked else "adbd"))
        mounts = [
            f"mount --bind /usr '{root}/usr' && mount -o remount,bind,ro '{root}/usr'",
            f"mount --rbind /dev '{root}/dev'",
            f"mount -t proc proc '{root}/proc'",
        ]
        if data_bytes is not None:
            options = f"size={data_bytes},mode=771,uid={SHELL_USER},gid={SHELL_USER}"
            mounts.append(f"mount -t tmpfs -o {options} tmpfs '{root}/{DATA}'")
        variables = f"ADBD_PORT={port} PATH=/system/bin HOME=/ TMPDIR=/{DATA}"
        user = f"--userspec={SHELL_USER}:{SHELL_USER}"
        daemon = f"exec chroot {user} '{root}' /usr/bin/env -i {variables} /system/bin/adbd"
        with (root / "adbd.log").open("wb") as log:
            process = subprocess.Popen(
                self._inside("sh", "-ec", "\n".join([*mounts, daemon])), stdout=log, stderr=log
            )
        phone = Phone(self, port, root, process)
        self.started.append(phone)
        return phone

    @contextmanager
    def plugged_in(self, **options: Any) -> Iterator[Phone]:
        """A phone of its own that is connected while the block lasts."""
        phone = self.start(**options)
        try:
            phone.plug_in()
            yield phone
        finally:
            phone.stop()

    def wait(self, serial: str, states: set[str]) -> None:
        """Until adb lists the device in one of the states."""
        ends = time.monotonic() + WAIT_SECONDS
        state = None
        while time.monotonic() < ends:
            state = next((each.state for each in listed(Adb.find()) if each.serial == serial), None)
            if state in states:
                return
            time.sleep(0.05)
        raise RuntimeError(f"{serial} is {state}, not one of {states}")

    def _inside(self, *command: str) -> list[str]:
        return ["nsenter", f"--target={self.server.pid}", "--net", "--mount", *command]


@contextmanager
def phones(folder: Path) -> Iterator[Phones]:
    """Adb's server in a namespace of its own. RuntimeError where that is not allowed."""
    if os.geteuid():
        raise RuntimeError("tests/device need root: they make a network and roots of their own")
    socket = folder / "adb.sock"
    environment = {"ADB_SERVER_SOCKET": f"localfilesystem:{socket}", "HOME": str(folder)}
    # No phone that is plugged into this machine.
    script = f"""toybox ifconfig lo up
        if [ -d /dev/bus/usb ]; then mount -t tmpfs none /dev/bus/usb; fi
        exec {Adb.find().program} -L localfilesystem:{socket} nodaemon server"""
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-ec", script],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
    made = Phones(folder, server, environment)
    try:
        ends = time.monotonic() + WAIT_SECONDS
        while not socket.exists():
            if server.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"adb's server does not start: {(folder / 'server.log').read_text()}")
            time.sleep(0.05)
        yield made
    finally:
        for phone in made.started:
            if phone.process.poll() is None:
                phone.stop()
        server.send_signal(signal.SIGTERM)
        server.wait()


def _make_root(root: Path, daemon: Path) -> None:
    binaries, properties = root / "system" / "bin", root / "stand-ins" / "properties"
    for folder in (binaries, properties, root / DATA, *(root / name for name in ("usr", "dev", "proc"))):
        folder.mkdir(parents=True)
    shutil.copy(daemon, binaries / "adbd")
    for name, source in (("sh", "mksh"), ("toybox", "toybox")):
        found = shutil.which(source)
        assert found is not None
        shutil.copy(found, binaries / name)
    for applet in subprocess.run(["toybox"], capture_output=True, text=True, check=True).stdout.split():
        if not (binaries / applet).exists():
            (binaries / applet).symlink_to("toybox")
    for name, script in STAND_INS.items():
        write_script(binaries / name, script)
    # Where the daemon's shell and the libraries of this machine are looked for.
    (root / "bin").symlink_to("system/bin")
    for name in ("lib", "lib64"):
        if Path(f"/{name}").exists():
            (root / name).symlink_to(f"usr/{name}")
    for name, value in PROPERTIES.items():
        (properties / name).write_text(f"{value}\n")
    (root / "stand-ins" / "dumpsys-battery").write_text(CHARGED)
    (root / "stand-ins" / "log").write_text("")
    (root / "etc").mkdir()
    (root / "etc" / "passwd").write_text(f"shell:x:{SHELL_USER}:{SHELL_USER}::/:/system/bin/sh\n")
    (root / "etc" / "group").write_text(f"shell:x:{SHELL_USER}:\n")
    os.chown(root / DATA, SHELL_USER, SHELL_USER)
    (root / DATA).chmod(0o771)


def _program(process: Path) -> str:
    """The name of what a process, by its folder in /proc, runs; empty if it has ended."""
    try:
        return Path((process / "cmdline").read_bytes().split(b"\0")[0].decode()).name
    except OSError:
        return ""


def write_script(file: Path, script: str) -> None:
    """A script for the phone's shell."""
    file.unlink(missing_ok=True)
    file.write_text(f"#!/system/bin/sh\n{script}\n")
    file.chmod(0o755)
