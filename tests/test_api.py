"""compile_for_device on every kind of model, its budgets, and the errors a user can meet."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from tokenizers import Tokenizer, models
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, PreTrainedTokenizerFast

import lowpeak
from lowpeak.api import memory_time_curve
from lowpeak_artifact.batch_input import Ids
from lowpeak_compiler.config import MEGABYTE
from lowpeak_compiler.frontend.intake import checkpoint_name, take_in
from tests.tiny import SEQ_LEN, tiny_llama, tiny_qwen2

WIDE = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "vocab_size": 2048}
WIDE_TOKENS = 128


class Classifier(nn.Module):
    """A plain module: frozen trunk, trainable middle, cross-entropy over a frozen head with a bias."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Linear(32, 64)
        self.norm = nn.LayerNorm(64)
        self.middle = nn.Linear(64, 64)
        self.head = nn.Linear(64, 40)
        for module in (self.trunk, self.head):
            module.requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        hidden = self.norm(nn.functional.gelu(self.trunk(x)))
        return nn.functional.cross_entropy(self.head(torch.tanh(self.middle(hidden))), y)


def classifier_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "x": torch.randn(8, 32, generator=generator),
        "y": torch.randint(0, 40, (8,), generator=generator),
    }


def assert_exact(report: Any) -> None:
    assert report.loss_relative_error < 1e-5
    assert report.gradient_cosine_min > 0.99999


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (tiny_llama, {}),
        (tiny_llama, {"quantization": "int8", "batch_size": 2}),
        (tiny_llama, {"quantization": "none"}),
        (tiny_qwen2, {}),
        (lambda: tiny_qwen2(tie_word_embeddings=True), {"trainable_ratio": 0.3}),
    ],
)
def test_language_models(model: Any, options: dict[str, Any], tmp_path: Path) -> None:
    artifact = lowpeak.compile_for_device(model(), 40, seq_len=SEQ_LEN, out=tmp_path / "a", **options)
    report = lowpeak.simulate(artifact)
    assert_exact(report)
    assert report.simulated_peak_bytes == artifact.manifest.largest.plan.planned_peak_bytes <= 40 * MEGABYTE


def test_the_model_is_not_modified() -> None:
    model = tiny_llama()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attention = model.config._attn_implementation
    lowpeak.compile_for_device(model, 40, seq_len=SEQ_LEN)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.config._attn_implementation == attention
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_a_peft_model_keeps_its_adapter(tmp_path: Path) -> None:
    adapted = get_peft_model(tiny_llama(), LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.05)
    artifact = lowpeak.compile_for_device(adapted, 40, seq_len=SEQ_LEN, out=tmp_path / "a")
    parameters = dict(adapted.named_parameters())
    for name, value in artifact.adapter().items():
        assert torch.equal(value, parameters[name])
    assert len(artifact.adapter()) == 2 * 2 * 2
    assert_exact(lowpeak.simulate(artifact))


def test_a_plain_module(tmp_path: Path) -> None:
    module, batch = Classifier(), classifier_batch()
    artifact = lowpeak.compile_for_device(module, 20, example_batch=batch, out=tmp_path / "a")
    assert {record.name for record in artifact.manifest.parameters} == {
        "norm.weight", "norm.bias", "middle.weight", "middle.bias",
    }  # fmt: skip
    assert_exact(lowpeak.simulate(artifact, reference=module))
    assert lowpeak.simulate(artifact).loss_relative_error < 1e-5


def test_a_subset_loss_reports_its_gradients_against_the_exact_one(tmp_path: Path) -> None:
    artifact = lowpeak.compile_for_device(
        tiny_llama(), 40, seq_len=SEQ_LEN, loss="subset", subset_size=64, out=tmp_path / "a"
    )
    report = lowpeak.simulate(artifact)
    assert 0.3 < report.gradient_cosine_min < 1
    assert report.loss < report.reference_loss


def wide(budget_mb: float, **options: Any) -> lowpeak.Artifact:
    return lowpeak.compile_for_device(tiny_llama(**WIDE), budget_mb, seq_len=WIDE_TOKENS, **options)


@pytest.mark.thorough
def test_smaller_budgets_recompute_more_and_stay_exact() -> None:
    with pytest.raises(lowpeak.BudgetTooSmall) as refused:
        wide(1)
    minimum = int(refused.value.numbers["minimum_bytes"]) // MEGABYTE
    assert "try" in str(refused.value).lower() and str(minimum) in str(refused.value)
    with pytest.raises(lowpeak.BudgetTooSmall):
        wide(minimum - 1)
    small, large = wide(minimum), wide(200)
    for artifact, budget in ((small, minimum), (large, 200)):
        assert artifact.manifest.largest.plan.planned_peak_bytes <= budget * MEGABYTE
        plan = artifact.manifest.largest.plan
        assert plan.arena_bytes <= 1.01 * plan.arena_lower_bound_bytes
        assert_exact(lowpeak.simulate(artifact))
    assert (
        small.manifest.largest.plan.recomputed_operations > large.manifest.largest.plan.recomputed_operations
    )
    assert (
        small.manifest.largest.plan.predicted_step_seconds
        > large.manifest.largest.plan.predicted_step_seconds
    )


@pytest.mark.thorough
def test_offload_where_the_target_has_it() -> None:
    with pytest.raises(lowpeak.BudgetTooSmall) as refused:
        wide(1, target="simulator", device="flagship-phone")
    minimum = int(refused.value.numbers["minimum_bytes"]) / MEGABYTE
    artifact = wide(minimum, target="simulator", device="flagship-phone")
    assert artifact.manifest.largest.plan.offloaded_values > 0
    assert "program.pte" not in artifact.manifest.files
    assert_exact(lowpeak.simulate(artifact))


def test_the_curve_of_memory_and_time() -> None:
    curve = memory_time_curve(tiny_llama(**WIDE), seq_len=WIDE_TOKENS, points=4)
    assert len(curve) >= 3
    assert all(a.budget < b.budget and a.seconds >= b.seconds for a, b in itertools.pairwise(curve))


def test_no_trainable_parameter() -> None:
    module = Classifier().requires_grad_(False)
    with pytest.raises(lowpeak.ModelError, match="no trainable parameter"):
        lowpeak.compile_for_device(module, 20, example_batch=classifier_batch())


def test_a_parameter_without_gradient() -> None:
    module = Classifier()
    module.unused = nn.Linear(3, 3)
    with pytest.raises(lowpeak.ModelError, match=r"unused\.weight"):
        lowpeak.compile_for_device(module, 20, example_batch=classifier_batch())


def test_an_unsupported_operator_is_named_with_its_place() -> None:
    class Spectral(Classifier):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return super().forward(torch.special.i1(self.trunk.weight[0, 0] * x), y)

    with pytest.raises(lowpeak.UnsupportedOperator, match="special_i1") as refused:
        lowpeak.compile_for_device(Spectral(), 20, example_batch=classifier_batch())
    assert refused.value.numbers["operator"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(value: float, tmp_path: Path) -> None:
    model = tiny_llama()
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = value
    with pytest.raises(lowpeak.ModelError, match=r"up_proj"):
        lowpeak.compile_for_device(model, 40, seq_len=SEQ_LEN, out=tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seq_len": 129}, "maximum is 128"),
        ({"seq_len": None}, "seq_len is missing"),
        ({"lora": LoraConfig(r=4, target_modules=["no_such_layer"])}, "no_such_layer"),
        ({"loss": "subset", "subset_size": 96}, "from 1 to 95"),
        ({"budget_mb": -1}, "budget_mb"),
        ({"trainable_ratio": 0}, "trainable_ratio"),
        ({"loss": "mse"}, "one of exact, subset"),
        ({"kernels": "cuda"}, "no target"),
        ({"device": "toaster"}, "unknown device"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"budget_mb": 40, "seq_len": SEQ_LEN, **options}
    with pytest.raises(lowpeak.ModelError, match=message):
        lowpeak.compile_for_device(tiny_llama(), **settings)


def test_a_rank_of_zero() -> None:
    lora = LoraConfig(r=1, target_modules="all-linear")
    lora.r = 0
    with pytest.raises(lowpeak.ModelError, match="rank is 0"):
        lowpeak.compile_for_device(tiny_llama(), 40, seq_len=SEQ_LEN, lora=lora)


def test_things_that_are_no_model() -> None:
    with pytest.raises(lowpeak.ModelError, match="no model"):
        lowpeak.compile_for_device(3, 40, seq_len=4)  # type: ignore[arg-type]
    with pytest.raises(lowpeak.ModelError, match="example_batch"):
        lowpeak.compile_for_device(Classifier(), 40, seq_len=4)


def test_an_output_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(lowpeak.ArtifactError):
        lowpeak.compile_for_device(tiny_llama(), 40, seq_len=SEQ_LEN, out=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_compiling_twice_gives_the_same_plan() -> None:
    one, other = (
        lowpeak.compile_for_device(copy.deepcopy(tiny_llama()), 40, seq_len=SEQ_LEN) for _ in range(2)
    )
    assert one.manifest.largest.plan == other.manifest.largest.plan
    assert one.file("plan.csv").read_bytes() == other.file("plan.csv").read_bytes()


def test_what_is_trained_as_a_whole_begins_with_the_checkpoint_s_values(tmp_path: Path):
    model = tiny_qwen2()
    lora = LoraConfig(
        target_modules=["q_proj", "k_proj"], modules_to_save=["lm_head", "norm"], bias="lora_only"
    )
    artifact = lowpeak.compile_for_device(model, 100, seq_len=SEQ_LEN, lora=lora, out=tmp_path / "artifact")
    saved = load_file(artifact.file("adapter.safetensors"))
    for name, tensor in model.named_parameters():
        if (
            name == "lm_head.weight"
            or name == "model.norm.weight"
            or name.endswith(("q_proj.bias", "k_proj.bias"))
        ):
            (found,) = (n for n in saved if checkpoint_name(n) == name)
            torch.testing.assert_close(saved[found], tensor.detach())
    assert_exact(lowpeak.simulate(artifact))


def test_an_adapter_that_could_not_be_saved_is_refused():
    named = get_peft_model(tiny_llama(), LoraConfig(target_modules=["q_proj"]), adapter_name="mine")
    with pytest.raises(
        lowpeak.ModelError, match="the active adapter is mine: lowpeak trains the one named default"
    ):
        lowpeak.compile_for_device(named, 100, seq_len=SEQ_LEN)
    dora = get_peft_model(tiny_llama(), LoraConfig(target_modules=["q_proj"], use_dora=True))
    with pytest.raises(lowpeak.ModelError, match="the adapter is DoRA"):
        lowpeak.compile_for_device(dora, 100, seq_len=SEQ_LEN)


@pytest.mark.parametrize("options", [{"trainable_ratio": 0.5}, {"loss": "subset"}])
def test_a_plain_module_has_its_own_loss(options: dict[str, Any]):
    with pytest.raises(lowpeak.ModelError, match="are for causal language models"):
        lowpeak.compile_for_device(Classifier(), 100, example_batch=classifier_batch(), **options)


def test_embedding_and_head_of_different_rows(tmp_path: Path) -> None:
    model = tiny_qwen2(num_hidden_layers=1)
    model.lm_head = nn.Linear(32, 80, bias=False)
    artifact = lowpeak.compile_for_device(model, 40, seq_len=SEQ_LEN, out=tmp_path / "a")
    bucket = artifact.manifest.largest
    assert {each.name: each.ids for each in bucket.inputs} == {"input_ids": Ids(96), "targets": Ids(80, -100)}
    ids = torch.full((1, SEQ_LEN), 95)
    bucket.graph_inputs({"input_ids": ids, "labels": torch.full((1, SEQ_LEN), 79)})
    with pytest.raises(lowpeak.DataError, match=r"labels\[0, 0\] is 95 .* there are 80 rows"):
        lowpeak.simulate(artifact, batch={"input_ids": ids, "labels": ids})
    sample = artifact.sample()
    assert sample is not None and sample["labels"].max() < 80


def test_an_example_batch_that_does_not_fit(tmp_path: Path) -> None:
    batch = {**classifier_batch(), "y": [*range(39, 46), 0]}
    with pytest.raises(lowpeak.DataError, match=r"y\[1\] is 40, but there are 40 rows"):
        lowpeak.compile_for_device(Classifier(), 40, example_batch=batch, out=tmp_path / "a")  # type: ignore[arg-type]
    with pytest.raises(lowpeak.DataError, match="a batch is a mapping"):
        lowpeak.compile_for_device(Classifier(), 40, example_batch=[batch])  # type: ignore[arg-type]
    assert not (tmp_path / "a").exists()


def test_an_example_batch_of_a_language_model_is_its_sample(tmp_path: Path) -> None:
    ids = [[*range(1, SEQ_LEN + 1)]]
    batch: Any = {"input_ids": ids, "labels": ids, "attention_mask": [[1] * SEQ_LEN]}
    artifact = lowpeak.compile_for_device(
        tiny_llama(), 40, seq_len=SEQ_LEN, example_batch=batch, out=tmp_path / "a"
    )
    sample = artifact.sample()
    assert sample is not None and sample.keys() == {"input_ids", "labels"}
    assert sample["labels"].tolist() == ids
    assert_exact(lowpeak.simulate(artifact))
    with pytest.raises(lowpeak.ModelError, match="an example batch is of one sequence length"):
        lowpeak.compile_for_device(tiny_llama(), 40, seq_len=[6, 12], example_batch=batch)


def test_a_tokenizer_with_more_tokens_than_the_embedding_has_rows(tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(96)}, unk_token="w0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)  # type: ignore[no-untyped-call]
    model = tiny_llama(num_hidden_layers=1)
    fits = lowpeak.compile_for_device(model, 40, seq_len=SEQ_LEN, tokenizer=tokenizer, out=tmp_path / "a")
    assert fits.manifest.tokenizer_problem is None
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    said: list[str] = []
    artifact = lowpeak.compile_for_device(
        model, 40, seq_len=SEQ_LEN, tokenizer=tokenizer, out=tmp_path / "b", progress=said.append
    )
    problem = artifact.manifest.tokenizer_problem
    assert problem in said
    assert problem is not None and problem.startswith(
        "the tokenizer has 97 tokens, the model's embedding 96 rows: data with '<pad>' (96) will be refused"
    )
    (tmp_path / "data.jsonl").write_text('{"text": "w1 <pad> w2"}\n')
    with pytest.raises(lowpeak.DataError, match=r"is 96 .*, but there are 96 rows"):
        lowpeak.train(artifact, tmp_path / "data.jsonl", steps=1)


def test_token_types_count_where_the_model_embeds_them() -> None:
    for kind, embeds in ((tiny_llama(), False), (tiny_gpt2(), True)):
        intake = take_in(kind, seq_len=4, batch_size=1, lora=None, example_batch=None, seed=0)
        assert intake.token_types is embeds


def tiny_gpt2() -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(vocab_size=96, n_positions=32, n_embd=32, n_layer=1, n_head=2)).eval()


def test_a_curve_of_a_language_model_needs_its_length():
    with pytest.raises(lowpeak.ModelError, match="seq_len is missing"):
        memory_time_curve(tiny_llama())
