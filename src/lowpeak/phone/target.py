"""Where a run is trained on a device: in the demo app, or by a runner under adb's shell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from lowpeak.phone.app import FILES, AppDevice, app_version, is_installed, require_app
from lowpeak.phone.app_run import AppRun
from lowpeak.phone.layout import (
    EVENTS,
    METRICS,
    OWN_FILES,
    PROGRAMS,
    ROOT,
    THREADS,
    artifact_folder,
    run_folder,
)
from lowpeak.phone.push import Outgoing
from lowpeak.phone.run import PhoneRun
from lowpeak.phone.runner import Runner
from lowpeak.phone.shell import Device
from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_artifact.manifest import Manifest
from lowpeak_runtime.train.supervisor import StepReport, WorkerRun

OnStep = Callable[[StepReport], None] | None
Run = PhoneRun | AppRun


@dataclass(frozen=True)
class Target:
    """`device`: whose commands run where the files are. `root`: what they lie under."""

    device: Device
    shell: Device
    """The same device, where commands run as adb's shell."""
    root: PurePosixPath
    room: PurePosixPath
    """A folder that is there, on the same file system."""
    app_version: str | None = None
    """None for adb's shell."""
    runner: Runner | None = None
    """None where the app has its own, or nothing is to be started."""

    @property
    def in_app(self) -> bool:
        return isinstance(self.device, AppDevice)

    @property
    def steps_file(self) -> str:
        """In a run's folder: what was told of its steps."""
        return METRICS if self.in_app else EVENTS

    @property
    def made_there(self) -> tuple[str, ...]:
        """Files of a run's folder that were not sent."""
        return (METRICS, THREADS) if self.in_app else OWN_FILES

    def programs(self) -> list[Outgoing]:
        # A loader among the libraries is a program, too.
        files = () if self.runner is None else self.runner.files
        return [Outgoing.of(file.path, PROGRAMS / file.path.name, executable=True) for file in files]

    def artifact(self, manifest: Manifest) -> PurePosixPath:
        return artifact_folder(manifest, self.root)

    def run(self, name: str) -> Run:
        folder = run_folder(name, self.root)
        if isinstance(self.device, AppDevice):
            return AppRun(self.device, self.shell, folder)
        return PhoneRun(self.device, folder)

    def train(
        self, run: Run, manifest: Manifest, left: int, on_step: OnStep, tell: Callable[[str], None]
    ) -> WorkerRun:
        """Raises as the run's own `train`; the app shows the runner's notes itself."""
        if isinstance(run, AppRun):
            return run.train(self.artifact(manifest).name, left, on_step)
        assert self.runner is not None
        return run.train(manifest, self.runner, on_step, tell)


def shell_target(device: Device, runner: Runner | None = None) -> Target:
    return Target(device, device, ROOT, ROOT.parent, runner=runner)


def app_target(device: Device) -> Target:
    """Raises EnvironmentProblem unless the app is installed and debuggable."""
    return Target(require_app(device), device, FILES, FILES, app_version(device))


def targets(device: Device, app: bool | None, tell: Callable[[str], None]) -> list[Target]:
    """Where a run may be, the first choice first: the app if `app`, adb's shell if not; for None the app
    where it is installed and can be reached, then the shell. Raises EnvironmentProblem.
    """
    if app:
        return [app_target(device)]
    result = [shell_target(device)]
    if app is None and is_installed(device):
        try:
            result.insert(0, app_target(device))
        except EnvironmentProblem as error:
            tell(str(error))
    return result
