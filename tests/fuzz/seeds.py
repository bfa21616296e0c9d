"""A folder with everything that lowpeak-runner reads, tiny and whole: what a mutation begins with."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from lowpeak import compile_for_device
from lowpeak_artifact.artifact import Artifact
from lowpeak_export.executorch.library import OPS
from lowpeak_runtime.data.prepare import training_data
from lowpeak_runtime.train.feed import write_batches
from lowpeak_runtime.train.session import Job
from tests.model.tiny import tiny_model
from tests.native.build import build
from tests.native.encoding import records, write_lines
from tests.native.runner import runner
from tests.runtime_py.chat import templates
from tests.runtime_py.tokenizer_kinds import kind
from tests.runtime_py.trainable import several_batches, trainable_artifact, trainable_step

ARTIFACT, BATCHES, CHECKPOINT, DATA = "artifact", "batches", "run/checkpoint.safetensors", "data.jsonl"
STEPS = 2


def save_seeds(folder: Path) -> list[Path]:
    """Folders, each with an artifact and jobs, whose paths begin in it: one for lowpeak's own kernels,
    one for the stock kernels.
    """
    made = [folder / "own", folder / "stock"]
    for each in made:
        (each / "work").mkdir(parents=True)
        (each / "run").mkdir()
    _save_own(made[0])
    _save_stock(made[1])
    return made


def operators() -> list[str]:
    """The option that loads lowpeak's kernels."""
    return ["--ops-library", str(build() / OPS)]


def _save_own(folder: Path) -> None:
    tokenizer = copy.deepcopy(kind("byte BPE").tokenizer)
    tokenizer.chat_template = templates.CHATML
    model = tiny_model("llama", tie_word_embeddings=True, vocab_size=len(tokenizer), num_hidden_layers=1)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    torch.manual_seed(1)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.05)
    artifact = compile_for_device(
        adapted.eval(), 60.0, seq_len=48, kernels="lowpeak", tokenizer=tokenizer, out=folder / ARTIFACT
    )
    write_lines(folder / DATA, records("messages", 6))
    encode = {"artifact": ARTIFACT, "data": DATA, "batches": "encoded", "seed": 0, "position": 0}
    encode |= {"first_step": 0, "total_steps": STEPS, "accumulate": 1}
    _write(folder, "encode", encode)
    _run(folder, "encode", "encode.json")
    (folder / "encoded").rename(folder / BATCHES)
    generate: dict[str, Any] = {"artifact": ARTIFACT, "work": "work", "checkpoint": None, "max_tokens": 3}
    generate |= {"messages": [{"role": "user", "content": "Hello, you."}], "temperature": 0.0, "seed": 0}
    _write(folder, "generate", generate)
    _save_jobs(folder, artifact)


def _save_stock(folder: Path) -> None:
    tiny = trainable_step(rows=10)
    artifact = trainable_artifact(folder / ARTIFACT, tiny)
    job = Job.of(artifact, folder, steps=STEPS)
    write_batches(job, training_data(artifact, several_batches(tiny.spec, STEPS)))
    _save_jobs(folder, artifact)


def _save_jobs(folder: Path, artifact: Artifact) -> None:
    job = dataclasses.replace(
        Job.of(artifact, folder, steps=STEPS, checkpoint=folder / CHECKPOINT),
        manifest=f"{ARTIFACT}/manifest.json",
        artifact=ARTIFACT,
        work="work",
        batches=BATCHES,
        checkpoint=CHECKPOINT,
    )
    (folder / "train.json").write_text(job.to_json())
    # Of its first step, from which a run goes on.
    _write(folder, "first", {**json.loads(job.to_json()), "total_steps": 1})
    _run(folder, "first.json", *operators())
    (folder / "first.json").unlink()
    (folder / "run").rename(folder / "kept")
    _write(folder, "eval", {"artifact": ARTIFACT, "work": "work", "batches": BATCHES, "count": STEPS,
                            "checkpoint": "kept/checkpoint.safetensors"})  # fmt: skip


def _write(folder: Path, verb: str, job: dict[str, Any]) -> None:
    (folder / f"{verb}.json").write_text(json.dumps(job))


def _run(folder: Path, *arguments: str) -> None:
    command = [str(runner()), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment())
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def environment() -> dict[str, str]:
    """A sanitizer is preloaded into Python only."""
    return {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "ASAN_OPTIONS")}
