"""Of two generations the newest whole one is used, whatever has happened to the files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import shlex
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.safetensors_header import Damaged
from lowpeak_runtime.train.checkpoint import (
    CHECKPOINT,
    PREVIOUS,
    newest_whole,
    read_progress,
    settle,
)
from lowpeak_runtime.train.checkpoint_format import NO_CHECKSUM, Progress, verify
from lowpeak_runtime.train.checkpoint_tensors import save_checkpoint
from lowpeak_runtime.train.fingerprint import fingerprint, option_fields
from lowpeak_runtime.train.optimizer import OptimizerOptions

PROGRESS = Progress(
    artifact="a" * 64, step=3, seed=5, fingerprint="f" * 64, options={}, data="d" * 64, position=7
)


def save(out: Path, step: int) -> None:
    values = torch.full((4, 8), float(step))
    save_checkpoint(
        out / CHECKPOINT, dataclasses.replace(PROGRESS, step=step), {"x": values}, {"m.x": values + 1}
    )


def steps_of(out: Path, told: list[str] | None = None) -> int | None:
    found = newest_whole(out, (told if told is not None else []).append)
    return None if found is None else read_progress(found).step


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for step in (50, 100):
        save(tmp_path, step)
    return tmp_path


def test_two_are_kept(out: Path) -> None:
    assert steps_of(out) == 100 and read_progress(out / PREVIOUS).step == 50
    save(out, 150)
    assert steps_of(out) == 150 and read_progress(out / PREVIOUS).step == 100
    assert sorted(entry.name for entry in out.iterdir()) == [PREVIOUS, CHECKPOINT]


def test_every_bit_of_a_checkpoint_counts(out: Path) -> None:
    whole = (out / CHECKPOINT).read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        (out / CHECKPOINT).write_bytes(flipped)
        told: list[str] = []
        assert steps_of(out, told) == 50, place
        assert f"{CHECKPOINT} is damaged (" in told[0]
        assert f": {PREVIOUS} is used, with 50 steps" in told[0]


def test_every_length_but_the_right_one_is_damage(out: Path) -> None:
    whole = (out / CHECKPOINT).read_bytes()
    for size in [*range(0, len(whole), 7), len(whole) - 1]:
        (out / CHECKPOINT).write_bytes(whole[:size])
        assert steps_of(out) == 50, size
    (out / CHECKPOINT).write_bytes(whole + b"\0")
    assert steps_of(out) == 50


def test_swapped_generations(out: Path) -> None:
    (out / CHECKPOINT).rename(out / "aside")
    (out / PREVIOUS).rename(out / CHECKPOINT)
    (out / "aside").rename(out / PREVIOUS)
    told: list[str] = []
    assert steps_of(out, told) == 100
    assert told == [f"{out / CHECKPOINT} has fewer steps than {PREVIOUS}: {PREVIOUS} is used, with 100 steps"]


def test_the_one_before_of_another_run_is_not_preferred(out: Path) -> None:
    other = dataclasses.replace(PROGRESS, step=900, seed=6)
    save_checkpoint(out / "other.safetensors", other, {"x": torch.zeros(1)}, {})
    (out / "other.safetensors").rename(out / PREVIOUS)
    assert steps_of(out) == 100


def test_none_and_both_damaged(out: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert newest_whole(tmp_path_factory.mktemp("empty")) is None
    for name in (CHECKPOINT, PREVIOUS):
        (out / name).write_bytes((out / name).read_bytes()[:-1])
    with pytest.raises(ArtifactError) as problem:
        newest_whole(out)
    words = str(problem.value)
    assert f"{out / CHECKPOINT} is damaged (it has " in words and f" and {out / PREVIOUS} is damaged" in words
    assert words.endswith(f"`lowpeak fsck {out}` tells what can be saved")
    (out / PREVIOUS).unlink()
    with pytest.raises(ArtifactError, match=f"and there is no {PREVIOUS} before it: `lowpeak fsck"):
        newest_whole(out)


def test_the_command_in_the_message_can_be_pasted(out: Path) -> None:
    spaced = out.rename(out.with_name("my run's"))
    for name in (CHECKPOINT, PREVIOUS):
        (spaced / name).write_bytes(b"none")
    with pytest.raises(ArtifactError) as problem:
        newest_whole(spaced)
    command = str(problem.value).split("`")[1]
    assert shlex.split(command) == ["lowpeak", "fsck", str(spaced)]


def test_what_a_run_goes_on_from_is_not_pushed_out_by_a_damaged_one(out: Path) -> None:
    (out / CHECKPOINT).write_bytes(b"damaged")
    settle(out / CHECKPOINT)
    assert [entry.name for entry in out.iterdir()] == [CHECKPOINT] and steps_of(out) == 50
    save(out, 60)
    assert (steps_of(out), read_progress(out / PREVIOUS).step) == (60, 50)


def test_a_link_that_leads_nowhere_is_damage(out: Path) -> None:
    (out / CHECKPOINT).unlink()
    (out / CHECKPOINT).symlink_to(out / "nowhere")
    assert steps_of(out) == 50


def rewritten(whole: bytes, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> bytes:
    """With another header, and the checksum made right again."""
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    metadata = header["__metadata__"]
    progress = json.loads(metadata["progress"])
    change(header, progress)
    metadata["checksum"] = NO_CHECKSUM
    metadata["progress"] = json.dumps(progress)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    made = struct.pack("<Q", len(text)) + text + whole[8 + length :]
    return made.replace(NO_CHECKSUM.encode(), hashlib.sha256(made).hexdigest().encode(), 1)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("step", -1, "its step is -1, which no run can have"),
        ("step", 2**60, "its step is 1152921504606846976"),
        ("step", 1.5, "its step is 1.5"),
        ("step", True, "its step is True"),
        ("position", -7, "its position is -7"),
        ("seed", "5", "its seed is '5'"),
        ("seed", 2**63, "its seed is 9223372036854775808"),
        ("data", None, "its data is no text"),
        ("more", 1, "its progress cannot be read"),
    ],
)
def test_a_progress_that_no_run_has(name: str, value: object, words: str, out: Path) -> None:
    """In a file whose checksum is right."""

    def change(header: dict[str, Any], progress: dict[str, Any]) -> None:
        progress[name] = value

    path, told = out / CHECKPOINT, list[str]()
    path.write_bytes(rewritten(path.read_bytes(), change))
    assert steps_of(out, told) == 50
    assert f"{CHECKPOINT} is damaged ({words}" in told[0]


def with_options_as_text(whole: bytes, text: str) -> bytes:
    """The checkpoint as an earlier version wrote it."""

    def older(header: dict[str, Any], progress: dict[str, Any]) -> None:
        header["__metadata__"]["format"] = "lowpeak-checkpoint-3"
        del progress["fingerprint"]
        progress["options"] = text

    return rewritten(whole, older)


def test_one_with_its_options_as_a_text_has_their_fingerprint(out: Path) -> None:
    options = OptimizerOptions(learning_rate=0.5, schedule="cosine")
    known = {**dataclasses.asdict(options), "accumulate": 1, "total_steps": 9}
    whole = (out / CHECKPOINT).read_bytes()

    def read(text: str) -> Progress:
        (out / CHECKPOINT).write_bytes(with_options_as_text(whole, text))
        return verify(out / CHECKPOINT)

    found = read(json.dumps(known, sort_keys=True))
    assert found.options == option_fields(known) and found.fingerprint == fingerprint(found.options)
    for text in ("{}", "no JSON", '"sgd"'):
        with pytest.raises(Damaged, match="its progress cannot be read"):
            read(text)


def test_other_versions_are_no_damage(out: Path) -> None:
    def newer(header: dict[str, Any], progress: dict[str, Any]) -> None:
        header["__metadata__"]["format"] = "lowpeak-checkpoint-5"

    path = out / CHECKPOINT
    path.write_bytes(rewritten(path.read_bytes(), newer))
    with pytest.raises(
        ArtifactError,
        match="its format is 'lowpeak-checkpoint-5': end its run",
    ):
        newest_whole(out)
    text = b'{"__metadata__":{"format":"lowpeak-checkpoint-2","progress":"{}"}}'
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(ArtifactError, match="of an earlier version of lowpeak: end its run with"):
        newest_whole(out)


def calls_of_the_system(save: Callable[[], None], at: int) -> int:
    """In a process of its own that is killed before the call of that number -> its status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    calls = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for name in ("open", "fsync", "rename", "replace", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    save()
    os._exit(0)


def test_killed_before_any_call_of_the_system(out: Path) -> None:
    """Also between the two renames: the newest whole one is that of before or the new one, never none."""
    whole = {name: (out / name).read_bytes() for name in (CHECKPOINT, PREVIOUS)}
    seen = set()
    for at in range(1, 30):
        for name, content in whole.items():
            (out / name).write_bytes(content)
        status = calls_of_the_system(lambda: save(out, 150), at)
        found = steps_of(out)
        assert found in (100, 150), at
        seen.add((found, (out / CHECKPOINT).exists()))
        if status == 0:
            break
    assert status == 0 and found == 150
    assert seen == {(100, True), (100, False), (150, True)}
    assert sorted(entry.name for entry in out.iterdir()) == [PREVIOUS, CHECKPOINT]


def test_mutations(out: Path) -> None:
    """Anything at all in the place of the newest: the one before is used, or a new whole one."""
    generator = random.Random(5)
    whole = (out / CHECKPOINT).read_bytes()
    for _ in range(500):
        changed = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            start, size = generator.randrange(len(changed)), generator.randrange(40)
            changed[start : start + size] = generator.randbytes(generator.randrange(40))
        (out / CHECKPOINT).write_bytes(changed)
        assert steps_of(out) == (100 if bytes(changed) == whole else 50)
