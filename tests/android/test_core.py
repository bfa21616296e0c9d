"""android_demo/core under JUnit: its parts alone, and driven by the events of a real lowpeak-runner."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.trainer import prepare
from tests.android.junit import CORE, JARS, compile_java, java, require_tools
from tests.native.build import build
from tests.native.runner import runner
from tests.runtime_py.trainable import several_batches, trainable_artifact, trainable_step

pytestmark = pytest.mark.android

STEPS = 600
METRICS = CORE / "test" / "resources" / "metrics.ndjson"
DOCS = CORE.parents[2] / "docs"
REAL = ("BundleCheckTest", "RealRunTest")
"""They need a runner and an artifact."""
FULL_DISK = "FullDiskTest"
FULL_DISK_BYTES = 1 << 18
TESTS = sorted((CORE / "test" / "java").rglob("*Test.java"))
ALONE = [test for test in TESTS if test.stem not in (*REAL, FULL_DISK)]


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_tools()
    folder = tmp_path_factory.mktemp("classes")
    # The app's part alone: it needs neither a desktop nor any module that Android has not.
    compile_java(folder, "main", options=("--limit-modules", "java.base"))
    compile_java(folder, "desktop", "test/java", classpath=(folder, *JARS))
    return folder


@pytest.fixture(scope="module")
def real(classes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A runner, and a run that `lowpeak train --prepare` prepares, beside its artifact."""
    folder = tmp_path_factory.mktemp("prepared")
    tiny = trainable_step(rows=10)
    artifact = trainable_artifact(folder / "artifact", tiny)
    options = OptimizerOptions(learning_rate=5e-3)
    prepare(artifact, several_batches(tiny.spec, 4), steps=STEPS, out=folder / "run", optimizer=options)
    return {
        "lowpeak.runner": runner(),
        "lowpeak.ops": build() / "liblowpeak_ops.so",
        "lowpeak.artifact": artifact.path,
        "lowpeak.run": folder / "run",
    }


def named(name: str) -> Path:
    (test,) = (test for test in TESTS if test.stem == name)
    return test


def junit(classes: Path, tests: list[Path], properties: dict[str, object], limit: int | None = None) -> None:
    """All that is written in the tests passes. `limit`: bytes that a file may have."""
    root = CORE / "test" / "java"
    names = [".".join(test.relative_to(root).with_suffix("").parts) for test in tests]
    said = java(classes, "org.junit.runner.JUnitCore", *names, properties=properties, file_bytes=limit)
    ended = re.search(r"^OK \((\d+) tests?\)$", said, re.MULTILINE)
    assert ended is not None, said
    assert int(ended[1]) == sum(test.read_text().count("@Test\n") for test in tests)


def test_missing_tools_are_named_with_what_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match=r"^there is no javac, java: apt-get install -y .*junit4"):
        require_tools()


def test_parts(classes: Path) -> None:
    junit(classes, ALONE, {"lowpeak.metrics": METRICS, "lowpeak.docs": DOCS})


def test_full_disk(classes: Path) -> None:
    junit(classes, [named(FULL_DISK)], {}, FULL_DISK_BYTES)


@pytest.mark.parametrize("name", REAL)
def test_real_runner(classes: Path, real: dict[str, object], name: str) -> None:
    junit(classes, [named(name)], real)


def test_pictures_are_those_of_the_recorded_run(classes: Path, tmp_path: Path) -> None:
    java(classes, "dev.lowpeak.desktop.DrawPictures", str(METRICS), str(tmp_path))
    for name in ("android-chart-light.png", "android-chart-dark.png"):
        kept, drawn = (DOCS / name).read_bytes(), (tmp_path / name).read_bytes()
        assert size(kept) == size(drawn)
        assert len(kept) < 150_000


def size(png: bytes) -> tuple[int, int]:
    """Pixels, from the file's header."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
