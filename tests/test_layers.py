"""Imports run one way: between packages, between their rooms, and without a circle anywhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from lowpeak_compiler.budget.targets import TARGETS

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "lowpeak_artifact": ROOT / "export",
    "lowpeak_compiler": ROOT / "compiler",
    "lowpeak_export": ROOT / "export",
    "lowpeak_runtime": ROOT / "runtime_py",
    "lowpeak": ROOT / "src",
}
"""Each package stands on those above it."""

ROOMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "lowpeak_compiler": (
        ("config",),
        ("ir", "plan"),
        ("passes",),
        ("frontend", "budget"),
        ("pipeline",),
        ("decode", "estimate"),
    ),
    "lowpeak_runtime": (("data", "simulate"), ("train",), ("fsck", "generate")),
}
"""Each room of a package stands on those above it; those in one line do not know each other."""
MOST_ROOMS = 9


def _modules() -> dict[str, Path]:
    found = {}
    for package, folder in FOLDERS.items():
        for path in (folder / package).rglob("*.py"):
            name = ".".join(path.relative_to(folder).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def _imports(module: str, only_run: bool = False) -> Iterator[str]:
    """Modules of ours that it imports, anywhere in it; with `only_run` not those for type checkers alone."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if only_run and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            assert node.module
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            home = {node.module} & MODULES.keys()
            yield from {name if name in MODULES else node.module for name in names if home}


def _loops(arrows: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_package_is_here() -> None:
    assert len(MODULES) > 200
    assert {name.split(".")[0] for name in MODULES} == set(FOLDERS)


@pytest.mark.parametrize("package", FOLDERS)
def test_a_package_stands_on_those_above_it(package: str) -> None:
    order = list(FOLDERS)
    allowed = order[: order.index(package) + 1]
    back = [
        f"{module} imports {other}"
        for module in MODULES
        if module.split(".")[0] == package
        for other in _imports(module)
        if other.split(".")[0] not in allowed
    ]
    assert back == []


@pytest.mark.parametrize("package", ROOMS)
def test_a_room_stands_on_those_above_it(package: str) -> None:
    level = {room: number for number, rooms in enumerate(ROOMS[package]) for room in rooms}
    room_of = {name: name.split(".")[1] for name in MODULES if name.startswith(f"{package}.")}
    assert set(room_of.values()) == set(level) and len(level) <= MOST_ROOMS
    back = [
        f"{module} imports {other}"
        for module, room in room_of.items()
        for other in _imports(module)
        if other in room_of and room_of[other] != room and level[room_of[other]] >= level[room]
    ]
    assert back == []


def test_no_circle_of_modules() -> None:
    assert _loops({module: set(_imports(module, only_run=True)) - {module} for module in MODULES}) == []


@pytest.mark.parametrize("room", ["passes", "plan"])
def test_no_circle_of_the_folders_in_a_room(room: str) -> None:
    home = ("lowpeak_compiler", room)

    def folder(module: str) -> str | None:
        parts = module.split(".")
        return parts[2] if tuple(parts[:2]) == home and len(parts) > 3 else None

    arrows: dict[str, set[str]] = {}
    for module in MODULES:
        if source := folder(module):
            targets = {target for other in _imports(module) if (target := folder(other))}
            arrows.setdefault(source, set()).update(targets - {source})
    assert len(arrows) > 2 and _loops(arrows) == []


def test_passes_and_planner_name_no_target() -> None:
    names = {name for name, _ in TARGETS}
    said = [
        f"{module} says {node.value}"
        for module, path in MODULES.items()
        if module.startswith(("lowpeak_compiler.passes", "lowpeak_compiler.plan", "lowpeak_compiler.ir"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert said == []


OF_LINUX = re.compile(
    r"/proc\b|/sys/|CDLL\(None|\b(fallocate|posix_fa\w+|prctl|renameat2|malloc_trim|copy_file_range|sched_\w+affinity|"
    r"memfd_create|pidfd_open|eventfd|epoll|splice|getrandom|mincore|inotify\w*|O_TMPFILE|O_DIRECT|O_PATH|RLIMIT_AS|"
    r"MADV_\w+|SO_PEERCRED)\b"
)
"""Files and calls that macOS has not."""


def test_one_module_names_what_only_linux_has() -> None:
    """But for the scripts that are sent to a phone, where there is Linux."""
    said = {
        module: hits
        for module, path in MODULES.items()
        if (hits := [hit[0] for hit in OF_LINUX.finditer(path.read_text(encoding="utf-8"))])
        and not module.startswith("lowpeak.phone.")
    }
    assert said.keys() == {"lowpeak_artifact.linux"}
    assert set(said["lowpeak_artifact.linux"]) >= {"/proc", "CDLL(None", "sched_getaffinity", "RLIMIT_AS"}


def _loaded(*modules: str) -> set[str]:
    """Names of all modules in a new process that imports these."""
    code = (
        "import sys\nfrom importlib import import_module\n"
        "for name in sys.argv[1:]:\n    import_module(name)\n"
        "print(*sys.modules)\n"
    )
    command = [sys.executable, "-c", code, *modules]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_no_module_of_the_planner_imports_torch() -> None:
    plan = [name for name in MODULES if name.startswith("lowpeak_compiler.plan")]
    assert len(plan) > 15
    loaded = _loaded(*plan)
    assert loaded.issuperset(plan) and "torch" not in loaded


def test_the_worker_imports_no_compiler() -> None:
    """Nor does what it imports for a runtime."""
    worker = ("worker", "executorch_session", "onnx_session")
    loaded = _loaded(*(f"lowpeak_runtime.train.{name}" for name in worker))
    assert "torch" in loaded
    assert {name for name in loaded if name.split(".")[0] == "lowpeak_compiler"} == set()
    assert not any(name.startswith("executorch.exir") for name in loaded)
    # Twice the time that torch takes by itself, before the first step.
    assert not loaded & {"torch._dynamo", "torchao", "transformers"}
