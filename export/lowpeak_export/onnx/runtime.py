"""ONNX Runtime Training as a bundle needs it: which package, and session options that keep the plan.

With other options the runtime merges recomputations, reorders nodes, or holds freed memory back.
"""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import TYPE_CHECKING, Any

from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem

if TYPE_CHECKING:
    import onnxruntime

PACKAGE = "onnxruntime-training-cpu"
VERSION = "1.19.2"
NEWEST_PYTHON = (3, 12)
REINSTALL = f"pip install --force-reinstall --no-deps '{PACKAGE}=={VERSION}'"

SESSION_OPTIONS: dict[str, Any] = {
    "graph_optimization_level": "ORT_DISABLE_ALL",
    "execution_order": "PRIORITY_BASED",
    "execution_mode": "ORT_SEQUENTIAL",
    "enable_mem_pattern": False,
    "enable_mem_reuse": False,
    "enable_cpu_mem_arena": False,
    "session.disable_prepacking": "1",
}
"""No optimization, nodes in the order of the file, memory taken when a value is made and given back when it
dies, and frozen weights used where they are mapped.
"""


def require_runtime() -> None:
    """Raises EnvironmentProblem unless the one known version of ONNX Runtime Training can be imported."""
    needed = f"artifacts for ONNX Runtime need {PACKAGE} {VERSION}"
    others = sorted(set(packages_distributions().get("onnxruntime", [])) - {PACKAGE})
    mend = f"pip uninstall -y {' '.join(others)} && {REINSTALL}" if others else REINSTALL
    try:
        installed = version(PACKAGE)
    except PackageNotFoundError:
        if not others:
            raise EnvironmentProblem(f"{needed}, and it is not installed: {_how_to_install()}") from None
        raise EnvironmentProblem(
            f"{needed}, and the package {others[0]} has the same module and no training: {mend}"
        ) from None
    if others:
        raise EnvironmentProblem(
            f"{others[0]} is installed beside {PACKAGE} and one has overwritten files of the other: {mend}"
        )
    if installed != VERSION:
        raise EnvironmentProblem(f"{needed}, installed is {installed}: pip install '{PACKAGE}=={VERSION}'")
    try:
        import onnxruntime.training.api  # noqa: F401
    except ImportError as error:
        raise EnvironmentProblem(f"{PACKAGE} {VERSION} is installed but broken ({error}): {mend}") from error


def _how_to_install() -> str:
    """Where there is no wheel of it the extra installs nothing, and says nothing."""
    machine = platform.machine()
    if sys.version_info[:2] <= NEWEST_PYTHON and (sys.platform != "linux" or machine == "x86_64"):
        return "pip install 'lowpeak[onnxruntime]'"
    newest = ".".join(map(str, NEWEST_PYTHON))
    return (
        f"it has wheels until Python {newest}, for macOS and Linux on x86-64, and this is Python "
        f"{platform.python_version()} on {sys.platform} {machine}; use such a one, or target='executorch'"
    )


def session_options(recorded: dict[str, Any]) -> onnxruntime.SessionOptions:
    """Options as the bundle records them. Raises ArtifactError for any that would undo the plan."""
    import onnxruntime

    require_planned(recorded)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_pattern = False
    options.enable_mem_reuse = False
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.log_severity_level = 3
    return options


def require_planned(recorded: dict[str, Any]) -> None:
    """Raises ArtifactError naming the first option that is not what the plan was made for."""
    for name, value in SESSION_OPTIONS.items():
        if recorded.get(name) != value:
            raise ArtifactError(
                f"the bundle asks for the session option {name}={recorded.get(name)!r}; the plan holds only "
                f"with {value!r}: the session would reorder, merge or hold back what was planned. Compile "
                "the artifact again"
            )
