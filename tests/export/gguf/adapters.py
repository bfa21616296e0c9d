"""Models with adapters of random values, saved as PEFT saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

LORA = {"r": 4, "lora_alpha": 12, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}


def adapted(model: PreTrainedModel, folder: Path, **options: Any) -> PeftModel:
    """With an adapter that is saved to the folder."""
    torch.manual_seed(1)
    peft = get_peft_model(model, LoraConfig(**{**LORA, **options})).eval()
    for name, parameter in peft.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    peft.save_pretrained(folder)
    return peft
