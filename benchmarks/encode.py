"""Encoding a large file of chats while training: time to the first step, memory, speed beside `tokenizers`.

    python -m benchmarks.encode [--chats 200000] [--measured 20000] [--data FILE] [--artifact DIR]

The file is made of the demo's messages, 2 to 6 turns a chat. Memory and speed are of this process, which
encodes `--measured` chats on one core with the demo model's tokenizer: memory is the most that is resident
above what there was with the tokenizer loaded; speed is that of everything from the file to batches, beside
`tokenizers`' own encode_batch on the same rendered text. The first step is timed from the start of a process
`lowpeak train` until the step has ended, on the artifact of the demo model at 128 tokens unless one is given.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import files
from itertools import islice
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from transformers import PreTrainedTokenizerBase

from lowpeak import compile_for_device
from lowpeak.demo_model import fetch_demo_model
from lowpeak_compiler.frontend.model.source import open_model
from lowpeak_runtime.data.data import AT_ONCE, shuffled
from lowpeak_runtime.data.encode import Example
from lowpeak_runtime.data.jsonl import JsonlFile
from lowpeak_runtime.train.events import ready_event

DEMO_CHAT = Path(str(files("lowpeak") / "demo_chat.jsonl"))


def write_chats(path: Path, count: int) -> None:
    chats = [json.loads(line)["messages"] for line in DEMO_CHAT.read_text(encoding="utf-8").splitlines()]
    turns = [chat[-2:] for chat in chats]
    chance = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            said = [message for turn in chance.choices(turns, k=chance.randint(1, 3)) for message in turn]
            said[0] = {**said[0], "content": f"{said[0]['content']} ({number})"}
            file.write(json.dumps({"messages": said}, ensure_ascii=False) + "\n")


def peak_rss_bytes() -> int:
    """Since the last call of forget_peak."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def encoded(file: JsonlFile, count: int) -> Iterator[Example]:
    """As batches are made of them."""
    order = islice(shuffled(len(file), 0, 0), count)
    while numbers := list(islice(order, AT_ONCE)):
        for example in file.examples(numbers):
            assert isinstance(example, Example), example
            yield example


def measure_encoding(path: Path, count: int, tokenizer: PreTrainedTokenizerBase) -> None:
    started, used = time.perf_counter(), time.process_time()
    file = JsonlFile(path, tokenizer)
    seconds, busy = time.perf_counter() - started, time.process_time() - used
    size = path.stat().st_size / 1e6
    print(f"{len(file)} chats, {size:.0f} MB, looked through in {seconds:.1f} s, {busy:.1f} s of a core")
    # In turns, so that what else the machine does weighs on both alike.
    ours = theirs = 0.0
    tokens = 0
    backend = tokenizer.backend_tokenizer
    order = islice(shuffled(len(file), 0, 0), count)
    lines = path.read_bytes().splitlines()
    while numbers := list(islice(order, 16 * AT_ONCE)):
        texts = [
            str(tokenizer.apply_chat_template(json.loads(lines[number])["messages"], tokenize=False))
            for number in numbers
        ]
        started = time.process_time()
        for first in range(0, len(numbers), AT_ONCE):
            for example in file.examples(numbers[first : first + AT_ONCE]):
                assert isinstance(example, Example), example
                tokens += len(example.input_ids)
        between = time.process_time()
        for first in range(0, len(texts), AT_ONCE):
            backend.encode_batch(texts[first : first + AT_ONCE], add_special_tokens=False)
        ours, theirs = ours + between - started, theirs + time.process_time() - between
    print(
        f"{count} chats, {tokens} tokens: {tokens / ours:.0f} tokens/s here, {tokens / theirs:.0f} by "
        f"tokenizers alone, ratio {theirs / ours:.2f}"
    )


def measure_memory(path: Path, count: int, tokenizer: PreTrainedTokenizerBase) -> None:
    before = ready_event()["rss_bytes"]
    forget_peak()
    tokens = sum(len(example.input_ids) for example in encoded(JsonlFile(path, tokenizer), count))
    above = peak_rss_bytes() - before
    print(f"{count} chats, {tokens} tokens: at most {above / 1e6:.1f} MB above the tokenizer's process")


def measure_first_step(path: Path, artifact: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "lowpeak.cli", "train", str(artifact), "--data", str(path)]
    metrics = folder / "metrics.ndjson"
    command += ["--steps", "3", "--out", str(folder / "run"), "--metrics", str(metrics), "--json"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        while child.poll() is None and not (metrics.exists() and metrics.read_text()):
            time.sleep(0.02)
        seconds = time.perf_counter() - started
        out, _ = child.communicate()
    if child.returncode:
        raise SystemExit(f"lowpeak train ended with exit code {child.returncode}: {out.decode()}")
    step = json.loads(metrics.read_text().splitlines()[0])["seconds"]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"lowpeak train: first step ended {seconds:.1f} s after the start, {step:.1f} s of it the step; 3 "
        f"steps took {used.ru_utime + used.ru_stime:.1f} s of a core"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chats", type=int, default=200_000)
    parser.add_argument("--measured", type=int, default=20_000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--artifact", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = options.data or folder / "chats.jsonl"
        if options.data is None:
            write_chats(path, options.chats)
        demo = fetch_demo_model(lambda text: None)
        tokenizer = open_model(demo).load_tokenizer()
        # What a tokenizer allocates with its first text is its own.
        tokenizer("warm")
        measure_memory(path, options.measured, tokenizer)
        measure_encoding(path, options.measured, tokenizer)
        artifact = options.artifact
        if artifact is None:
            artifact = compile_for_device(demo, budget_mb=400, seq_len=128, out=folder / "artifact").path
        measure_first_step(path, artifact, folder)


if __name__ == "__main__":
    main()
