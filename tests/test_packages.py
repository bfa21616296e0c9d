"""What an installation puts on the path, and that it is in nobody's way, nor anybody in its."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.runtime_py.trainable import trainable_artifact, trainable_step

ROOT = Path(__file__).parents[1]
FOREIGN = ("compiler.py", "export.py", "runtime_py/__init__.py", "runtime_py/worker.py")
"""Files of a user's own, named like folders of the clone."""


def test_a_wheel_takes_no_name_but_lowpeak(tmp_path: Path) -> None:
    """Without the C++ part, which is installed below lowpeak/native/."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    options = ["--config-settings=wheel.cmake=false", "--wheel-dir", str(tmp_path)]
    subprocess.run([*build, *options, str(ROOT)], check=True, capture_output=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    packages = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert packages == {
        "lowpeak",
        "lowpeak_artifact",
        "lowpeak_compiler",
        "lowpeak_export",
        "lowpeak_runtime",
    }
    assert all(name.startswith("lowpeak") for name in names)
    assert {f"{package}/py.typed" for package in packages} <= set(names)
    assert "lowpeak/demo_chat.jsonl" in names


@pytest.mark.parametrize("on_the_path", [pytest.param(False, marks=pytest.mark.thorough), True])
def test_a_users_files_are_not_imported(tmp_path: Path, on_the_path: bool) -> None:
    """In a folder with such files, also with the folder before everything else on the path."""
    artifact = trainable_artifact(tmp_path / "artifact", trainable_step()).path
    for name in FOREIGN:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"raise SystemExit('{name} is imported')\n")
    path = [os.fspath(tmp_path)] * on_the_path + [os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}

    def python(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    train = f"import lowpeak; print(lowpeak.train({str(artifact)!r}, steps=1, engine='python').losses[0])"
    assert 0 < float(python("-c", train)) < 10
    assert "lowpeak" in python("-m", "lowpeak.cli", "--version")
    assert "peak" in python("-m", "lowpeak.cli", "simulate", os.fspath(artifact))


def test_every_benchmark_of_the_documents_starts_from_the_clone() -> None:
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    text = "\n".join(document.read_text(encoding="utf-8") for document in documents)
    named = sorted(set(re.findall(r"python -m (benchmarks\.\w+|docs\.\w+)", text)))
    assert len(named) > 10
    code = (
        "import sys\nfrom importlib import import_module\n"
        "assert [name for name in sys.argv[1:] if not callable(import_module(name).main)] == []\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *named], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
