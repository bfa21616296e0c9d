"""Data and tokenizers for lowpeak-runner's encoder, and what it and Python's make of them."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from lowpeak_artifact.artifact import MANIFEST, Artifact, sha256_of
from lowpeak_runtime.data.chat.compiled import write_chat_file
from lowpeak_runtime.data.jsonl import JsonlFile
from lowpeak_runtime.data.prepare import TrainingData
from lowpeak_runtime.data.user_data import padding_id
from lowpeak_runtime.train.feed import write_batches
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.stop import STOPPED
from tests.native.runner import runner
from tests.native.tokenizer_families import BOS, EOS, strings


def fast(tokenizer: Tokenizer, chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """As models have it, with BOS and EOS."""
    begin, end = (BOS, EOS) if tokenizer.token_to_id(BOS) is not None else ("<s>", "</s>")
    backend = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token=begin, eos_token=end, pad_token=end
    )
    backend.chat_template = chat_template
    return backend


def folder_of(artifact: Artifact, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """The artifact as far as encoding looks at it, with another tokenizer."""
    folder.mkdir()
    shutil.copy(artifact.path / MANIFEST, folder)
    tokenizer.save_pretrained(folder)
    write_chat_file(folder)
    list_files(folder)
    return folder


def list_files(folder: Path) -> None:
    """In the manifest, as they are now: those that encoding reads."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in ("tokenizer.json", "chat.json"):
        file = folder / name
        manifest["files"][name] = {"sha256": sha256_of(file), "bytes": file.stat().st_size}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def records(kind: str, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Lines of a file: `messages`, `chats` (prompt and completion), `completion` or `text`."""
    chance = random.Random(seed)
    words = [text for text in strings(6 * count, seed) if text.strip()]

    def said() -> str:
        return chance.choice(words)[: chance.choice((5, 20, 60))].replace("<|im_", "<|IM_") + "."

    def chat(turns: int) -> list[dict[str, str]]:
        system = [{"role": "system", "content": said()}] if chance.random() < 0.4 else []
        pairs = [
            [{"role": "user", "content": said()}, {"role": "assistant", "content": said()}]
            for _ in range(turns)
        ]
        return system + [message for pair in pairs for message in pair]

    result: list[dict[str, Any]] = []
    for number in range(count):
        if kind == "text":
            result.append({"text": said() + said(), "id": number})
        elif kind == "completion":
            result.append({"prompt": said() + chance.choice(("", " ", "\n")), "completion": said()})
        elif kind == "chats":
            whole = chat(chance.randrange(1, 4))
            result.append({"prompt": whole[:-1], "completion": whole[-1:]})
        else:
            whole = chat(chance.randrange(1, 5))
            answers = [message for message in whole if message["role"] == "assistant"]
            if len(answers) > 1 and chance.random() < 0.3:
                chance.choice(answers[:-1])["train"] = False  # type: ignore[assignment]
            if chance.random() < 0.3:
                whole.append({"role": "user", "content": said()})
            result.append({"messages": whole})
    return result


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    lines = [
        row if isinstance(row, str) else json.dumps(row, ensure_ascii=len(str(row)) % 2 == 0) for row in rows
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@dataclass(frozen=True)
class Run:
    """Which of the batches."""

    steps: int = 10
    accumulate: int = 1
    seed: int = 0
    first_step: int = 0
    position: int = 0


def by_python(
    artifact: Artifact, tokenizer: PreTrainedTokenizerFast, data: Path, folder: Path, run: Run
) -> tuple[dict[str, bytes], Any]:
    """The files, and the summary of what was seen."""
    file = JsonlFile(data, tokenizer)
    source = TrainingData(artifact, file, (), file.sha256, padding_id(artifact, tokenizer))
    job = Job.of(artifact, folder, steps=run.steps, accumulate=run.accumulate, seed=run.seed)
    job = type(job)(
        **{**vars(job), "batches": str(folder), "first_step": run.first_step, "position": run.position}
    )
    summary = write_batches(job, source)
    return files(folder), summary


def by_runner(
    artifact: Path, data: Path, folder: Path, run: Run, program: Sequence[str] = ()
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files, and the event that it ended with."""
    job = encode_job(artifact, data, folder, run)
    event = ask("encode", job, folder.parent / "encode.json", program)
    return files(folder), event


def encode_job(artifact: Path, data: Path, folder: Path, run: Run) -> dict[str, Any]:
    return {
        "artifact": str(artifact),
        "data": str(data),
        "work": str(folder.parent),
        "batches": str(folder),
        "seed": run.seed,
        "position": run.position,
        "first_step": run.first_step,
        "total_steps": run.steps,
        "accumulate": run.accumulate,
    }


def ask(
    verb: str, job: dict[str, Any], file: Path, program: Sequence[str] = (), flags: Sequence[str] = ()
) -> dict[str, Any]:
    """The last event of a verb, of the program that is built for this machine or another."""
    file.write_text(json.dumps(job), "utf-8")
    done = subprocess.run(
        [*(program or [str(runner())]), verb, str(file), *flags], capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    event: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    stopped = event["event"] == "stopped" or event.get("stop_reason", "end") not in ("end", "length")
    assert done.returncode == (1 if event["event"] == "error" else STOPPED if stopped else 0), done.stderr
    return event


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*"))} if folder.is_dir() else {}
