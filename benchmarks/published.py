"""Published peaks of LoRA fine-tuning by tokens of a sequence, GB of 10**9 bytes."""

from __future__ import annotations

PAPER: dict[str, dict[str, dict[int, float]]] = {
    "llama-3.2-3b": {
        "full": {1024: 27.60, 2048: 29.97, 4096: 47.96},
        "lora": {1024: 19.10, 2048: 26.20, 4096: 40.41, 8192: 68.83},
        "+int4": {1024: 8.80, 2048: 14.68, 4096: 27.48, 8192: 53.07},
        "+recompute": {1024: 2.37, 2048: 3.33, 4096: 6.29, 8192: 12.21, 16384: 24.05},
        "+subset softmax": {1024: 1.30, 2048: 2.43, 4096: 5.41, 8192: 11.58, 16384: 23.79},
        "+masking": {1024: 0.70, 2048: 1.02, 4096: 1.59, 8192: 3.24, 16384: 6.95},
    },
    "qwen2.5-3b": {
        "lora": {1024: 21.68, 2048: 30.51, 4096: 48.38},
        "+int4": {1024: 11.21, 2048: 19.46, 4096: 36.03, 8192: 69.17},
        "+recompute": {1024: 2.06, 2048: 3.79, 4096: 7.29, 8192: 14.27, 16384: 28.24},
        "+subset softmax": {1024: 1.26, 2048: 3.03, 4096: 6.58, 8192: 13.79, 16384: 27.98},
        "+masking": {1024: 0.66, 2048: 1.01, 4096: 1.71, 8192: 3.90, 16384: 8.34},
    },
}
"""Table 1 of arXiv 2606.19528 by technique, each with those above it. On an A100, rank 16."""

RIVALS: dict[str, dict[str, dict[int, float]]] = {
    "qwen2.5-0.5b": {
        "MeSP": {128: 0.111, 256: 0.136, 512: 0.246, 1024: 0.514},
        "MeBP": {256: 0.361},
        "MobileFineTuner": {128: 2.887, 256: 3.437},
    },
    "qwen2.5-1.5b": {"MeSP": {256: 0.263}, "MeBP": {256: 0.516}},
    "qwen2.5-3b": {"MeSP": {256: 0.368}, "MeBP": {256: 0.638}},
}
"""Exact gradients, batch 1. MeSP and MeBP: rank 8, 4-bit groups of 64, on a phone."""
