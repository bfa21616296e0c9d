"""What a device is, and whether a run can go well there: asked before anything is pushed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from lowpeak.phone.layout import ROOT
from lowpeak.phone.runner import Runner
from lowpeak.phone.shell import Device, join
from lowpeak_artifact.errors import EnvironmentProblem

MIN_API_LEVEL = 28
LOW_BATTERY_PERCENT = 15
_MEMORY = "MemAvailable:"
_MARK = "= "

_QUESTIONS = {
    "model": "getprop ro.product.model",
    "abis": "getprop ro.product.cpu.abilist",
    "release": "getprop ro.build.version.release",
    "api_level": "getprop ro.build.version.sdk",
    "page_bytes": "getconf PAGE_SIZE",
    "available": f"grep {_MEMORY} /proc/meminfo",
    "battery": "dumpsys battery",
}


@dataclass(frozen=True)
class DeviceFacts:
    model: str
    abis: tuple[str, ...]
    """The one that it prefers first."""
    release: str
    """Of Android."""
    api_level: int
    page_bytes: int
    available_bytes: int
    """Memory that can be had without swapping, as the kernel estimates it."""
    battery_percent: int | None
    """None if it does not say."""
    charging: bool


def read_facts(device: Device) -> DeviceFacts:
    """Raises EnvironmentProblem when it gives no answer that makes sense."""
    asked = [f"echo '{_MARK}{name}'; {command} 2>/dev/null" for name, command in _QUESTIONS.items()]
    answers = device.run("\n".join([*asked, "true"])).split(_MARK)[1:]
    said = {name: text.strip() for name, _, text in (answer.partition("\n") for answer in answers)}
    battery = dict(_pair(line) for line in said["battery"].splitlines() if ":" in line)
    try:
        return DeviceFacts(
            model=said["model"],
            abis=tuple(said["abis"].split(",")),
            release=said["release"],
            api_level=int(said["api_level"]),
            page_bytes=int(said["page_bytes"]),
            available_bytes=int(said["available"].split()[1]) * 1024,
            battery_percent=int(battery["level"]) if "level" in battery else None,
            charging=any(value == "true" for name, value in battery.items() if name.endswith("powered")),
        )
    except (ValueError, IndexError) as error:
        raise EnvironmentProblem(f"{device} does not answer as Android does: {said}") from error


def require_android(device: Device, facts: DeviceFacts) -> None:
    """Raises EnvironmentProblem for an Android that is too old."""
    if facts.api_level < MIN_API_LEVEL:
        raise EnvironmentProblem(
            f"{device} has Android {facts.release} (API {facts.api_level}), the runner needs API "
            f"{MIN_API_LEVEL} (Android 9) or later",
            api_level=facts.api_level,
        )


def require_fit(device: Device, facts: DeviceFacts, runner: Runner) -> None:
    """Raises EnvironmentProblem unless the device can start the runner."""
    for file in runner.files:
        if file.abi not in facts.abis:
            raise EnvironmentProblem(
                f"{file.path} is built for {file.abi}, {device} runs {', '.join(facts.abis)}: give a runner "
                f"built for {facts.abis[0]} with --runner",
                abi=file.abi,
            )
        if file.alignment < facts.page_bytes:
            raise EnvironmentProblem(
                f"{file.path} is built for pages of {file.alignment} bytes, those of {device} have "
                f"{facts.page_bytes}: link it with -Wl,-z,max-page-size={facts.page_bytes}",
                page_bytes=facts.page_bytes,
            )


def require_memory(device: Device, facts: DeviceFacts, budget_bytes: int) -> None:
    """Raises EnvironmentProblem when the budget is more than the device has free."""
    if budget_bytes > facts.available_bytes:
        raise EnvironmentProblem(
            f"the artifact may hold {_mb(budget_bytes)}, {device} has {_mb(facts.available_bytes)} of memory "
            "free: close apps there, or compile for a smaller budget",
            budget_bytes=budget_bytes,
            available_bytes=facts.available_bytes,
        )


def require_charge(device: Device, facts: DeviceFacts, tell: Callable[[str], None]) -> None:
    """Tells of a battery that is not charged. Raises EnvironmentProblem when it is nearly empty, too."""
    if facts.charging or facts.battery_percent is None:
        return
    if facts.battery_percent < LOW_BATTERY_PERCENT:
        raise EnvironmentProblem(
            f"the battery of {device} is at {facts.battery_percent} % and is not charged: connect a charger",
            battery_percent=facts.battery_percent,
        )
    tell(f"{device} is not charging, its battery is at {facts.battery_percent} %")


def free_bytes(device: Device, folder: PurePosixPath) -> int:
    """On the folder's file system."""
    blocks, size = device.run(join(["stat", "-f", "-c", "%a %S", str(folder)])).split()
    return int(blocks) * int(size)


def require_room(device: Device, folder: PurePosixPath, sent: int, needed_by_run: int) -> None:
    """Raises EnvironmentProblem unless `folder` has room for what is sent and for what a run writes."""
    free = free_bytes(device, folder)
    if free < sent + needed_by_run:
        raise EnvironmentProblem(
            f"{device} has {_mb(free)} free in {folder}: {_mb(sent)} are to be sent and the run writes up to "
            f"{_mb(needed_by_run)}. Free {_mb(sent + needed_by_run - free)} there (`adb shell rm -r {ROOT}` "
            "removes all that was sent to adb's shell before)",
            free_bytes=free,
            needed_bytes=sent + needed_by_run,
        )


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name.strip(), value.strip()


def _mb(nbytes: int) -> str:
    return f"{nbytes / 1e6:.1f} MB"
