"""How fast lowpeak-runner encodes a JSONL file, beside the tokenizers package on the same lines.

    python -m benchmarks.encode_native [--lines 10000] [--rounds 5]

The runner reads and checks the file, tokenizes every line with the demo model's tokenizer and writes the
batches, on one thread; `tokenizers` encodes the lines' text in one call, on one thread, and does nothing
else. Rounds are interleaved; printed are medians in seconds, and their ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
from tokenizers import Tokenizer
from transformers import AutoTokenizer, LlamaConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from lowpeak import compile_for_device
from lowpeak.demo_model import FILE_NAME, fetch_demo_model
from lowpeak_artifact.artifact import Artifact
from lowpeak_export.executorch.library import runner_program

SEQ_LEN, BATCH_SIZE = 256, 8


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lowpeak-encode-") as temporary:
        folder = Path(temporary)
        artifact = _artifact(folder)
        texts = list(_texts(options.lines))
        data = folder / "data.jsonl"
        data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
        tokenizer = Tokenizer.from_file(str(artifact.path / "tokenizer.json"))
        tokens = sum(len(each.ids) for each in tokenizer.encode_batch(texts[:1000])) / 1000
        events, library = [], []
        for number in range(options.rounds):
            events.append(_encoded(artifact, data, folder / str(number), options.lines))
            started = time.perf_counter()
            tokenizer.encode_batch(texts)
            library.append(time.perf_counter() - started)
    seconds = median(event["seconds"] for event in events)
    print(
        f"{platform.processor() or platform.machine()}, tokenizers {tokenizers.__version__}, one thread each"
    )
    print(f"{options.lines} lines of {tokens:.0f} tokens; medians of {options.rounds} rounds")
    print(f"lowpeak-runner encode  {seconds:.3f} s, peak RSS {events[0]['peak_rss_bytes'] / 1e6:.0f} MB")
    print(f"tokenizers             {median(library):.3f} s")
    print(f"ratio                  {median(library) / seconds:.2f}")


def _artifact(folder: Path) -> Artifact:
    """A small model with the demo model's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(
        fetch_demo_model().parent, gguf_file=FILE_NAME, trust_remote_code=False
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    return compile_for_device(
        model,
        budget_mb=400,
        seq_len=SEQ_LEN,
        batch_size=BATCH_SIZE,
        tokenizer=tokenizer,
        out=folder / "artifact",
    )


def _texts(count: int) -> list[str]:
    """Prose, code and tables of this repository's documents, in pieces that no two lines share whole."""
    chance = random.Random(0)
    root = Path(__file__).resolve().parents[1]
    prose = "\n".join(file.read_text("utf-8") for file in sorted((root / "docs").glob("*.md")))
    code = "\n".join(
        file.read_text("utf-8") for file in sorted((root / "runtime_py" / "lowpeak_runtime").rglob("*.py"))
    )
    texts = []
    for _ in range(count):
        source = prose if chance.random() < 0.7 else code
        start = chance.randrange(len(source) - 800)
        texts.append(source[start : start + chance.randrange(100, 800)])
    return texts


def _encoded(artifact: Artifact, data: Path, out: Path, lines: int) -> dict[str, Any]:
    """The event that the runner ends with."""
    job = {
        "artifact": str(artifact.path),
        "data": str(data),
        "work": str(out.parent),
        "batches": str(out),
        "seed": 0,
        "position": 0,
        "first_step": 0,
        "total_steps": lines // BATCH_SIZE,
        "accumulate": 1,
    }
    file = out.with_suffix(".json")
    file.write_text(json.dumps(job), "utf-8")
    done = subprocess.run(
        [str(runner_program()), "encode", str(file)], capture_output=True, text=True, check=True
    )
    event: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return event


if __name__ == "__main__":
    main()
