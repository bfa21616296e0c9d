"""The app's classes that need no Android, under JUnit, with the real lowpeak-runner."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from peft import LoraConfig

from lowpeak import compile_for_device
from lowpeak_export.executorch.library import OPS, OPS_VARIABLE
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.trainer import prepare
from tests.android.junit import CORE, JARS, compile_java, java, require_tools
from tests.model.tiny import tiny_model
from tests.native.build import build
from tests.native.runner import runner
from tests.runtime_py.tokenizer_kinds import kind
from tests.runtime_py.trainable import several_batches, trainable_artifact, trainable_step

pytestmark = pytest.mark.android

STEPS = 200
APP = CORE.parents[1] / "app" / "src"
TESTS = sorted((APP / "test" / "java").rglob("*Test.java"))


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of core, the tests, and what of the app they need: it is compiled without the framework."""
    require_tools()
    folder = tmp_path_factory.mktemp("classes")
    compile_java(folder, "main")
    sources = ("-sourcepath", str(APP / "main" / "java"), "-implicit:class")
    compile_java(folder, str(APP / "test" / "java"), classpath=(folder, *JARS), options=sources)
    return folder


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A runner, and a run that `lowpeak train --prepare` prepares, with the artifact's place on the phone."""
    folder = tmp_path_factory.mktemp("prepared")
    tiny = trainable_step(rows=10)
    artifact = trainable_artifact(folder / "artifact", tiny)
    options = OptimizerOptions(learning_rate=5e-3)
    prepare(artifact, several_batches(tiny.spec, 4), steps=STEPS, out=folder / "run", optimizer=options)
    job = folder / "run" / "job.json"
    moved = {"artifact": str(artifact.path), "manifest": str(artifact.path / "manifest.json")}
    job.write_text(json.dumps(json.loads(job.read_text()) | moved))
    return {
        "lowpeak.runner": runner(),
        "lowpeak.ops": build() / "liblowpeak_ops.so",
        "lowpeak.run": folder / "run",
    }


@pytest.fixture(scope="module")
def text_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model that the runner itself encodes text for, and generates with."""
    folder = tmp_path_factory.mktemp("text") / "artifact"
    tokenizer = kind("byte BPE").tokenizer
    model = tiny_model("llama", vocab_size=len(tokenizer), num_hidden_layers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OPS_VARIABLE, str(build() / OPS))
        lora = LoraConfig(r=4, target_modules="all-linear")
        compile_for_device(
            model, 20, seq_len=64, kernels="lowpeak", lora=lora, tokenizer=tokenizer, out=folder
        )
    return folder


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.stem)
def test_app(classes: Path, real: dict[str, object], text_artifact: Path, test: Path) -> None:
    name = ".".join(test.relative_to(APP / "test" / "java").with_suffix("").parts)
    properties = {**real, "lowpeak.text_artifact": text_artifact}
    said = java(classes, "org.junit.runner.JUnitCore", name, properties=properties)
    ended = re.search(r"^OK \((\d+) tests?\)$", said, re.MULTILINE)
    assert ended is not None, said
    assert int(ended[1]) == test.read_text().count("@Test\n")
