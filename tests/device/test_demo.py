"""A real model: the demo's SmolLM2-135M, trained on a phone as it is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from lowpeak import compile_for_device, deploy, pull
from lowpeak.cli.demo import BUDGETS_MB
from lowpeak.demo import demo_data
from lowpeak_artifact.artifact import sha256_of
from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_runtime.train.trainer import train
from tests.device.phones import Phone

pytestmark = [pytest.mark.device, pytest.mark.slow, pytest.mark.usefixtures("native")]

STEPS = 2


def test_smollm2_on_a_phone_within_its_budget_and_the_same_adapter_bit_for_bit(
    machine_runner: Path, phone: Phone, tmp_path: Path
) -> None:
    artifact = compile_for_device(
        "demo", BUDGETS_MB["lowpeak"], seq_len=512, kernels="lowpeak", out=tmp_path / "artifact"
    )
    left: list[int] = []

    def cut_in_the_weights(there: int, total: int, file: str) -> None:
        if file == artifact.manifest.weights_file and there > total // 2:
            left.append(total - there)
            phone.cut()

    with pytest.raises(EnvironmentProblem, match="broke; it is gone now"):
        deploy(artifact, runner=machine_runner, on_push=cut_in_the_weights)
    phone.plug_in()
    assert 0 < deploy(artifact, runner=machine_runner).sent_bytes <= left[0]
    with demo_data() as data:
        here = train(artifact, data, steps=STEPS, out=tmp_path / "here", engine="native")
        there = deploy(artifact, data, steps=STEPS, out=tmp_path / "run", runner=machine_runner)
    assert there.losses == here.losses
    print(
        f"{there.peak_rss_bytes} bytes held, budget {there.budget_bytes}, {there.step_seconds:.1f} s a step"
    )
    assert there.peak_rss_bytes <= there.budget_bytes
    home = pull(artifact, out=tmp_path / "run")
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert sha256_of(home.adapter / name) == sha256_of(tmp_path / "here" / "adapter" / name)
