"""The program that generates, run as a graph: its logits are those of transformers with PEFT's adapter."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.config import Budget, TargetOptions, TrainingOptions
from lowpeak_compiler.decode import PROMPT_TOKENS, Decoder, compile_decoder
from lowpeak_compiler.frontend.intake import take_in
from lowpeak_compiler.ir.graph import State, TrainGraph
from lowpeak_compiler.pipeline import compile_step
from tests.evaluate import distance, evaluate, tensors_of_module, values_of
from tests.model.tiny import tiny_model
from tests.small_models import small_config, small_model

LONGEST = 40
PROMPT = PROMPT_TOKENS + 3
ANSWER = 12
BUDGET = 60.0


def adapted(model: PreTrainedModel) -> PeftModel:
    """With a LoRA whose every tensor is random."""
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    result = get_peft_model(copy.deepcopy(model), lora).eval()
    torch.manual_seed(1)
    for parameter in result.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.05)
    return result


def decoder_of(model: PeftModel, budget_mb: float = BUDGET, seq_len: int = LONGEST) -> Decoder:
    training, for_target = TrainingOptions(seq_len, quantization="none"), TargetOptions(kernels="lowpeak")
    intake = take_in(model, seq_len=seq_len, batch_size=1, lora=None, example_batch=None, seed=0)
    return compile_decoder(compile_step(intake, training, for_target, Budget(budget_mb)))


@dataclass
class Running:
    """Both graphs of a decoder, on one state."""

    decoder: Decoder
    tensors: dict[str, Tensor]

    def __post_init__(self) -> None:
        inputs = self.decoder.token.graph.inputs()
        self.state = {
            role.name: torch.full(node.meta["val"].shape, torch.nan)
            for node, role in inputs
            if isinstance(role, State)
        }
        self.taken = 0

    def take(self, ids: list[int]) -> Tensor:
        """Logits after the last of the tokens."""
        while len(ids) > PROMPT_TOKENS:
            self.run(self.decoder.prompt.graph, ids[:PROMPT_TOKENS])
            ids = ids[PROMPT_TOKENS:]
        for token in ids:
            logits = self.run(self.decoder.token.graph, [token])
        return logits[0, -1]

    def run(self, graph: TrainGraph, ids: list[int]) -> Tensor:
        positions = torch.arange(self.taken, self.taken + len(ids))[None]
        batch = {"input_ids": torch.tensor([ids]), "position_ids": positions}
        self.taken += len(ids)
        return evaluate(graph, values_of(graph, {**self.tensors, **self.state}, batch))[0]


def check(model: PreTrainedModel) -> None:
    """Every logit of a prompt's last token and of the answer, which the reference chooses."""
    eager = adapted(model)
    running = Running(decoder_of(eager), tensors_of_module(eager))
    plain = copy.deepcopy(eager)
    plain.set_attn_implementation("eager")  # type: ignore[operator]
    ids = torch.randint(
        3, model.config.vocab_size, (PROMPT,), generator=torch.Generator().manual_seed(2)
    ).tolist()
    logits = running.take(ids)
    for _ in range(ANSWER):
        with torch.no_grad():
            expected = plain(input_ids=torch.tensor([ids])).logits[0, -1]
        assert distance(logits, expected) < 1e-5, f"after {len(ids)} tokens"
        ids.append(int(expected.argmax()))
        logits = running.take(ids[-1:])


def test_grouped_queries_and_a_tied_head():
    check(tiny_model("llama", tie_word_embeddings=True))


@pytest.mark.slow
def test_a_head_of_its_own():
    check(tiny_model("llama"))


TYPES = (
    "cohere", "gemma", "gemma3_text", "glm4", "gpt2", "granite", "mistral", "olmo2", "phi3", "qwen2", "qwen3",
    "smollm3", "stablelm",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
def test_types(kind):
    check(small_model(kind))


@pytest.mark.slow
@pytest.mark.parametrize(
    "rope", [{"rope_type": "dynamic", "factor": 2.0}, {"rope_type": "yarn", "factor": 4.0}]
)
def test_rotary_embeddings_of_other_kinds(rope):
    check(tiny_model("llama", rope_parameters={"rope_theta": 10000.0, **rope}))


@pytest.mark.slow
def test_positions_that_are_no_input_are_refused():
    with pytest.raises(ModelError, match=r"BloomForCausalLM takes no position_ids"):
        decoder_of(adapted(small_model("bloom")))


@pytest.mark.slow
def test_tokens_that_meet_elsewhere_are_refused():
    """A convolution over tokens."""
    config = small_config("lfm2")
    config.layer_types = ["conv", "full_attention"]
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with pytest.raises(
        ModelError, match=r"a token may need more of those before it than keys and values.*conv"
    ):
        decoder_of(adapted(model))


def test_the_cache_is_as_long_as_the_budget_allows():
    model = adapted(tiny_model("llama"))
    whole = decoder_of(model, seq_len=128)
    assert whole.longest == 128
    assert whole.footprint.total <= BUDGET * 1e6
    # 2 layers of 2 key heads of 16 numbers
    caches = 128 * 2 * 2 * 2 * 16 * 4
    assert whole.footprint.state == caches + sum(p.nbytes for p in model.parameters() if p.requires_grad)
    everything = {n.name for n, r in whole.token.graph.inputs() if n.name in whole.resident}
    assert whole.resident == everything and whole.footprint.weights > 0


def test_a_target_without_the_operator_has_no_such_program():
    training = TrainingOptions(LONGEST, quantization="none")
    intake = take_in(
        adapted(tiny_model()), seq_len=LONGEST, batch_size=1, lora=None, example_batch=None, seed=0
    )
    with pytest.raises(ModelError, match=r"only kernels='lowpeak'"):
        compile_decoder(compile_step(intake, training, TargetOptions(), Budget(BUDGET)))
