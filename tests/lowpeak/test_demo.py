"""The demo on the real model: minutes long, and needs the model in the cache or a network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lowpeak.cli import main
from lowpeak.demo import demo_data


def test_the_data_ships_with_the_package() -> None:
    with demo_data() as path:
        assert all(json.loads(line)["messages"] for line in path.read_text(encoding="utf-8").splitlines())


@pytest.mark.slow
def test_demo(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--steps", "2", "--out", str(tmp_path / "artifact"), "--json"]) == 0
    fields = json.loads(capfd.readouterr().out)
    assert fields["compile"]["planned_peak_bytes"] <= fields["compile"]["budget_bytes"] == 205_000_000
    assert fields["simulate"]["simulated_peak_bytes"] <= fields["compile"]["planned_peak_bytes"]
    assert fields["simulate"]["loss_relative_error"] < 1e-5
    assert fields["simulate"]["gradient_cosine_min"] > 0.99999
    planned = fields["train"]["planned_anonymous_bytes"]
    assert fields["train"]["peak_anonymous_bytes"] < 1.01 * planned
    assert fields["train"]["peak_rss_bytes"] <= fields["compile"]["planned_peak_bytes"]
    assert fields["train"]["losses"] == pytest.approx(fields["eager"]["losses"], rel=1e-4)
    assert fields["eager"]["peak_bytes"] > fields["train"]["peak_anonymous_bytes"]
