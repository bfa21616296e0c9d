"""Every causal LM type of the installed transformers: exactly right, or refused with a reason. Never a crash.

What is compared with is transformers' own loss of the labels, with transformers' eager attention and PEFT's
LoRA: no module, mask, attention or loss of lowpeak is in it.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import time
import traceback
from collections import Counter
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lowpeak import compile_for_device
from lowpeak_artifact.batch import IGNORE_INDEX
from lowpeak_artifact.errors import LowpeakError
from lowpeak_runtime.simulate.execute import execute
from tests.evaluate import distance
from tests.small_models import causal_lm_types, small_model

TOKENS, SEQUENCES, PROMPT = 12, 2, 4
RELATIVE = 1e-5
SECONDS = 240
"""For one type; the loops of recurrent layers are traced step by step."""
LORA = {"r": 4, "task_type": "CAUSAL_LM"}
Outcome = tuple[str, str]
"""(right, refused, wrong, crashed or unbuilt; why)"""


def example() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(3, 96, (SEQUENCES, TOKENS), generator=generator)
    labels = ids.clone()
    labels[:, :PROMPT] = IGNORE_INDEX
    return {"input_ids": ids, "labels": labels}


def adapted(model: PreTrainedModel, modules: list[str]) -> PeftModel:
    """A copy with a LoRA whose every tensor is random, and transformers' eager attention."""
    plain = copy.deepcopy(model)
    plain.set_attn_implementation("eager")
    result = get_peft_model(plain, LoraConfig(target_modules=modules, **LORA)).eval()
    generator = torch.Generator().manual_seed(4)
    for parameter in result.parameters():
        if parameter.requires_grad:
            parameter.data = 0.02 * torch.randn(parameter.shape, generator=generator)
    return result


def linear_layers(model: PreTrainedModel) -> list[str]:
    """All but the output matrix and routers, whose result is no single tensor."""
    head = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module is not head
        and "Router" not in type(module).__name__
    ]


def eager_step(model: PreTrainedModel) -> tuple[list[str], PeftModel, Tensor]:
    """The linear layers that the loss of text depends on, the model with a LoRA on them, its loss, backward
    done."""
    modules = linear_layers(model)
    while True:
        eager = adapted(model, modules)
        loss = eager(**example()).loss
        loss.backward()
        gradients = {n: p.grad for n, p in eager.named_parameters() if p.requires_grad}
        used = [m for m in modules if all(g is not None for n, g in gradients.items() if f".{m}.lora_" in n)]
        if used == modules:
            return modules, eager, loss.detach()
        modules = used


def compiled_step(
    model: PreTrainedModel, modules: list[str], adapter: dict[str, Tensor], out: Path
) -> tuple[Tensor, dict[str, Tensor]]:
    artifact = compile_for_device(
        model, 4000, seq_len=TOKENS, batch_size=SEQUENCES, lora=LoraConfig(target_modules=modules, **LORA),
        quantization="none", out=out, overwrite=True,
    )  # fmt: skip
    bucket = artifact.manifest.largest
    inputs = bucket.batch.graph_inputs(example())
    run = execute(artifact.graph(bucket), inputs, adapter, artifact.tensor, artifact.constants(bucket))
    return torch.tensor(run.loss), run.gradients


def differences(model: PreTrainedModel, out: Path) -> dict[str, float]:
    """What the compiled step differs in by more than it may, from eager transformers + PEFT."""
    modules, eager, expected = eager_step(model)
    trained = {n: p for n, p in eager.named_parameters() if p.requires_grad}
    loss, gradients = compiled_step(model, modules, {n: p.detach() for n, p in trained.items()}, out)
    assert set(gradients) == set(trained)
    assert any(bool(p.grad.any()) for p in trained.values()), "every gradient is zero: nothing is tested"
    actual = {"loss": distance(loss, expected)}
    for name, parameter in trained.items():
        actual[name] = distance(gradients[name], parameter.grad) if bool(parameter.grad.any()) else 0.0
    return {name: error for name, error in actual.items() if not error < RELATIVE}


def outcome_of(kind: str, out: Path) -> Outcome:
    try:
        model = small_model(kind)
        eager_step(model)
    except Exception as error:
        return "unbuilt", f"{type(error).__name__}: {str(error).strip().splitlines()[0][:110]}"
    try:
        wrong = differences(model, out)
        return ("wrong", str(wrong)[:200]) if wrong else ("right", "")
    except LowpeakError as error:
        return "refused", f"{type(error).__name__}: {error}"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "crashed", f"{type(error).__name__}: {str(error)[:300]} ({place.filename}:{place.lineno})"


def in_a_process(kind: str, out: Path) -> Outcome:
    """In a copy of this process, which a time limit ends."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        signal.alarm(SECONDS)
        os.write(writer, json.dumps(outcome_of(kind, out)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    _, status = os.waitpid(process, 0)
    if not told and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return "unbuilt", f"took over {SECONDS} s"
    return tuple(json.loads(told)) if told else ("crashed", f"the process ended with status {status}")


POPULAR = ("gpt2", "phi3", "gemma")


@pytest.mark.slow
@pytest.mark.parametrize("kind", POPULAR)
def test_popular_types(kind, tmp_path):
    assert differences(small_model(kind), tmp_path / "artifact") == {}


@pytest.mark.slow
def test_every_type_is_right_or_refused(tmp_path, capsys):
    kinds = os.environ.get("LOWPEAK_MODEL_TYPES", "").split() or causal_lm_types()
    # What every process needs is imported once.
    assert outcome_of("llama", tmp_path / "artifact") == ("right", "")
    outcomes: dict[str, Outcome] = {}
    for kind in kinds:
        start = time.monotonic()
        outcomes[kind] = in_a_process(kind, tmp_path / kind)
        with capsys.disabled():
            print(f"{kind:28}{time.monotonic() - start:6.1f} s  {': '.join(outcomes[kind])}", flush=True)
    with capsys.disabled():
        print(dict(Counter(name for name, _ in outcomes.values())))
    bad = {kind: outcome for kind, outcome in outcomes.items() if outcome[0] in ("wrong", "crashed")}
    assert not bad
