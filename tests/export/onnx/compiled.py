"""Tiny adapted models and their artifacts for ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel

import lowpeak
from lowpeak_artifact.artifact import Artifact

SEQ_LEN = 16
BUDGET_MB = 8


def adapted(model: PreTrainedModel, rank: int = 4) -> PeftModel:
    """LoRA on all linear layers that already does something, so that every gradient counts."""
    found = get_peft_model(model, LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM"))
    torch.manual_seed(7)
    for name, parameter in found.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.05)
    return found.eval()


def onnx_artifact(folder: Path, model: PeftModel, **options: Any) -> Artifact:
    settings: dict[str, Any] = {
        "budget_mb": BUDGET_MB,
        "seq_len": SEQ_LEN,
        "target": "onnxruntime",
        **options,
    }
    return lowpeak.compile_for_device(model, out=folder, **settings)
