"""`lowpeak compile` for who works on passes: the list, a stop after one, graphs as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lowpeak.cli import main
from tests.lowpeak.checkpoint import SEQ_LEN, save_checkpoint

COMPILE = ["--budget-mb", "20", "--rank", "4"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("passes") / "tiny")


def compiling(model: Path | str, out: Path, *more: str, tokens: str = str(SEQ_LEN)) -> list[str]:
    return ["compile", str(model), *COMPILE, "--seq-len", tokens, "--out", str(out), "--json", *more]


def printed(capfd: pytest.CaptureFixture[str]) -> Any:
    out = capfd.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def passes_of_manifest(artifact: Path) -> Any:
    return json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))["options"]["passes"]


def test_the_list_is_printed_and_nothing_else_done(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = compiling("config:llama-3.2-3b", tmp_path / "a", "--print-passes", "--kernels", "lowpeak")
    assert main(arguments) == 0
    figures = printed(capfd)
    names = [each["name"] for each in figures["training"]]
    assert names[:3] == ["capture", "attention", "rms_norm"] and names[-2:] == ["reorder", "place"]
    assert [each["number"] for each in figures["training"]] == list(range(1, len(names) + 1))
    assert all(each["does"] for each in figures["training"])
    (tile,) = (each for each in figures["training"] if each["name"] == "tile")
    assert tile["requires"] == ["fused_matmul", "joint"] and tile["part"] == "variant"
    assert "cached_attention" in [each["name"] for each in figures["generation"]]
    assert list(tmp_path.iterdir()) == []
    assert main([each for each in arguments if each != "--json"]) == 0
    out = capfd.readouterr().out
    assert "Passes of one training step" in out and "fuse_add" in out and "lowpeak generate" in out


def test_the_list_depends_on_the_options(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ("--loss", "subset", "--trainable-ratio", "0.3", "--quantization", "none")
    assert main(compiling("demo", tmp_path / "a", "--print-passes", *options, "--until", "quantize")) == 0
    figures = printed(capfd)
    assert list(figures) == ["training"]
    assert [each["name"] for each in figures["training"]] == ["capture", "attention", "quantize"]
    assert "what the checkpoint stores quantized" in figures["training"][-1]["options"]
    assert main(compiling("demo", tmp_path / "a", "--print-passes", *options)) == 0
    shown = {each["name"]: each["options"] for each in printed(capfd)["training"]}
    assert (shown["mask_logits"], shown["subset_softmax"]) == ("rows=5", "size=1000")


@pytest.mark.parametrize(
    ("name", "last", "operator"),
    [
        ("attention", "attention", "lowpeak.causal_attention.default"),
        ("normalize", "normalize", "lowpeak.causal_attention_backward.default"),
        ("lower_attention", "lower_attention", "aten._softmax.default"),
        ("reorder", "reorder", "aten._softmax.default"),
    ],
)
def test_until_stops_after_a_pass(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, last: str, operator: str
) -> None:
    assert main(compiling(checkpoint, tmp_path / "a", "--until", name)) == 0
    figures = printed(capfd)
    assert figures["until"] == name and figures["artifact"] is None
    assert figures["passes"][-1]["name"] == last and figures["operators"][operator] > 0
    assert sum(figures["operators"].values()) == figures["operations"]
    assert list(tmp_path.iterdir()) == []


def test_until_says_that_no_artifact_was_written(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = compiling(checkpoint, tmp_path / "a", "--until", "chunked_loss", tokens=f"8,{SEQ_LEN}")
    assert main([each for each in arguments if each != "--json"]) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert f"{SEQ_LEN} tokens, after chunked_loss: no artifact was written" in out
    assert "lowpeak.linear_cross_entropy.default" in out
    assert list(tmp_path.iterdir()) == []


def test_graphs_are_dumped_while_an_artifact_is_compiled(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = ("rms_norm", "lower_attention", "place")
    options = [part for name in names[1:] for part in ("--dump-after", name)]
    assert main(compiling(checkpoint, tmp_path / "a", *options)) == 0
    figures = printed(capfd)
    numbers = {each["name"]: each["number"] for each in figures["passes"]}
    folder = tmp_path / "a.passes"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{numbers[name]:02}-{name}.txt" for name in names[1:]
    ]
    assert [Path(each).name for each in figures["dumps"]] == sorted(path.name for path in folder.iterdir())
    lowered, placed = (Path(each).read_text(encoding="utf-8") for each in figures["dumps"])
    assert "aten._softmax.default" in lowered and "causal_attention" not in lowered
    assert placed.splitlines()[-1].startswith("return ") and placed != lowered
    assert (tmp_path / "a" / "manifest.json").is_file()
    watched = passes_of_manifest(tmp_path / "a")
    assert main(compiling(checkpoint, tmp_path / "b")) == 0
    assert passes_of_manifest(tmp_path / "b") == watched


def test_several_lengths_and_a_folder_of_ones_own(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("--dump-after", "capture", "--dump-after", "lower_loss", "--dump-to", str(tmp_path / "here"))
    assert main(compiling(checkpoint, tmp_path / "a", *options, tokens=f"8,{SEQ_LEN}")) == 0
    assert len(printed(capfd)["dumps"]) == 4
    for length in (8, SEQ_LEN):
        text = (tmp_path / "here" / str(length) / "01-capture.txt").read_text(encoding="utf-8")
        assert f"int64[1, {length}]" in text


def test_a_pass_that_has_nothing_to_do_is_named(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("--kernels", "lowpeak", "--until", "lower_loss", "--dump-after", "lower_loss")
    assert main(compiling(checkpoint, tmp_path / "a", *options)) == 0
    figures = printed(capfd)
    assert figures["did_not_run"] == ["lower_loss"] and figures["dumps"] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--until", "rms_norms"), "no pass 'rms_norms' in this list"),
        (("--until", "lower-attention"), "did you mean lower_attention?"),
        (("--dump-after", "tile"), "no pass 'tile' in this list. It has: capture, attention, quantize"),
        (("--dump-after", "place", "--until", "attention"), "It has: capture, attention"),
        (("--dump-to", "x"), "--dump-to is where --dump-after NAME writes"),
    ],
)
def test_names_that_are_not_in_the_list(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    assert main(compiling("config:llama-3.2-3b", tmp_path / "a", *options)) == 2
    assert said in printed(capfd)["message"]
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_unfused_is_shown(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With an adapter on the output matrix its logits are needed."""
    options = ("--target-modules", "q_proj,lm_head", "--until", "chunked_loss")
    assert main(compiling(checkpoint, tmp_path / "a", *options)) == 0
    attention, loss = (
        each for each in printed(capfd)["passes"] if each["name"] in ("attention", "chunked_loss")
    )
    assert attention["applied"] == 1 and attention["unfused"] == []
    reason = "its logits come from aten.add.Tensor, not from an output matrix"
    assert loss["applied"] == 0 and [miss["reason"] for miss in loss["unfused"]] == [reason]
    people = [each for each in compiling(checkpoint, tmp_path / "a", *options) if each != "--json"]
    assert main(people) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert "left unfused" in out and "its logits come from aten.add.Tensor" in out
