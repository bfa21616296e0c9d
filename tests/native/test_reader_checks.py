"""What lowpeak-runner refuses before it uses it: files of an artifact, changed, their hash made right."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lowpeak_artifact.artifact import MANIFEST, Artifact, sha256_of
from lowpeak_runtime.data.prepare import training_data
from lowpeak_runtime.train.feed import write_batches
from lowpeak_runtime.train.session import Job
from tests.fuzz.program_places import places_of
from tests.native.runner import Ended, runner
from tests.runtime_py.trainable import several_batches, trainable_artifact, trainable_step

PROGRAM, WEIGHTS = "program.pte", "weights.ptd"
SECONDS = 60


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact, and batches for it, in a folder."""
    folder = tmp_path_factory.mktemp("checks")
    tiny = trainable_step(rows=10)
    artifact = trainable_artifact(folder / "artifact", tiny)
    write_batches(Job.of(artifact, folder, steps=2), training_data(artifact, several_batches(tiny.spec, 2)))
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path


def eval_job(folder: Path, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"artifact": str(folder / "artifact"), "work": str(folder)}
    return made | {"batches": str(folder / "batches"), "count": 2, "checkpoint": None} | changes


def run(folder: Path, verb: str, text: str) -> Ended:
    """A verb on a job of that text, to its end."""
    job = folder / "job.json"
    job.write_text(text)
    environment = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "ASAN_OPTIONS")}
    done = subprocess.run(
        [str(runner()), verb, str(job)],
        capture_output=True,
        env=environment,
        timeout=SECONDS,
        check=False,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return Ended(done.returncode, events, done.stderr.decode())


def evaluated(folder: Path, **changes: Any) -> Ended:
    return run(folder, "eval", json.dumps(eval_job(folder, **changes)))


def refused(ended: Ended) -> str:
    """The message; it was refused, nothing else."""
    assert ended.returncode == 1, ended
    assert ended.last["event"] == "error", ended
    return str(ended.last["message"])


def change(folder: Path, name: str, edit: Callable[[bytearray], None]) -> None:
    """Of a file of the artifact, whose hash is then right again."""
    path = folder / "artifact" / name
    data = bytearray(path.read_bytes())
    edit(data)
    path.write_bytes(data)
    manifest = folder / "artifact" / MANIFEST
    document = json.loads(manifest.read_text())
    document["files"][name] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    manifest.write_text(json.dumps(document))


def change_manifest(folder: Path, edit: Callable[[Any], None]) -> None:
    manifest = folder / "artifact" / MANIFEST
    document = json.loads(manifest.read_text())
    edit(document)
    manifest.write_text(json.dumps(document))


def test_the_whole_artifact_is_read(folder: Path) -> None:
    assert evaluated(folder).last["event"] == "evaluated"


def replaced(old: bytes, new: bytes) -> Callable[[bytearray], None]:
    def edit(data: bytearray) -> None:
        place = bytes(data).index(old)
        data[place : place + len(old)] = new

    return edit


def header(place: int, value: int) -> Callable[[bytearray], None]:
    def edit(data: bytearray) -> None:
        data[place : place + 8] = struct.pack("<Q", value)

    return edit


def root(value: int) -> Callable[[bytearray], None]:
    def edit(data: bytearray) -> None:
        data[:4] = struct.pack("<I", value)

    return edit


WEIGHTS_EDITS = {
    "no header": replaced(b"FH01", b"XXXX"),
    "another file": replaced(b"FT01", b"XXXX"),
    "a name": replaced(b"input_layernorm", b"inqut_layernorm"),
    "table begins late": header(16, 2**40),
    "table is long": header(24, 2**63),
    "tensors begin late": header(32, 2**40),
    "tensors are many": header(40, 2**64 - 1),
    "root outside": root(2**32 - 1),
    "root in the tensors": root(19_000),
    "cut": lambda data: data.__delitem__(slice(-100, None)),
    "empty": lambda data: data.clear(),
}


@pytest.mark.parametrize("edit", WEIGHTS_EDITS.values(), ids=WEIGHTS_EDITS)
def test_a_table_of_weights_that_is_not_the_manifests_is_refused(
    edit: Callable[[bytearray], None], folder: Path
) -> None:
    change(folder, WEIGHTS, edit)
    message = refused(evaluated(folder))
    assert WEIGHTS in message and "is damaged or not of this artifact" in message


def test_every_number_of_the_table_of_weights_counts(folder: Path) -> None:
    """Offsets of fields and lists in the table, each pointed far away: no wrong byte is read."""
    data = (folder / "artifact" / WEIGHTS).read_bytes()
    (base,) = struct.unpack("<Q", data[32:40])
    for place in range(64, base, 4 * 97):
        change(
            folder,
            WEIGHTS,
            lambda made, place=place: made.__setitem__(slice(place, place + 4), b"\xf0\xff\xff\x7f"),
        )
        ended = evaluated(folder)
        assert ended.returncode in (0, 1) and ended.last["event"] in ("error", "evaluated"), ended
        change(folder, WEIGHTS, lambda made: made.__setitem__(slice(None), data))


PROGRAM_EDITS = {
    "operator": 2**31 - 1,
    "argument": 10**6,
    "kind of an instruction": 4,
    "kind of a value": 9,
    "type": 99,
    "tensor's size": 2**31 - 1,
    "order of axes": 9,
    "memory": 3,
    "offset": 2**31,
    "constant": 10**6,
    "output": 10**6,
    "input": -1,
    "buffer": 2**40,
    "tensors": 10**6,
    "ints": -1,
    "place in a segment": 2**40,
    "segment": 2**62,
    "segment's number": 7,
}
"""By what a number of the program means: another that it must not be."""


@pytest.mark.parametrize(("kind", "value"), PROGRAM_EDITS.items(), ids=PROGRAM_EDITS)
def test_a_program_that_lowpeak_does_not_write_is_refused(kind: str, value: int, folder: Path) -> None:
    data = (folder / "artifact" / PROGRAM).read_bytes()
    place = next(each for each in places_of(data) if each.kind == kind)
    raw = struct.pack("<q", value)[: place.width]
    change(folder, PROGRAM, lambda made: made.__setitem__(slice(place.start, place.start + place.width), raw))
    message = refused(evaluated(folder))
    assert PROGRAM in message and "is damaged or no program of lowpeak's" in message


def test_a_kernel_that_no_program_calls_is_refused(folder: Path) -> None:
    change(folder, PROGRAM, replaced(b"aten::add\0", b"aten::odd\0"))
    assert "it calls aten::odd.out, which no program of lowpeak's does" in refused(evaluated(folder))


def test_a_program_that_trains_other_names_is_refused(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["parameters"].reverse())
    assert "it trains other parameters" in refused(evaluated(folder))


MANIFEST_EDITS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "no budget": ("budget_bytes is 0", lambda m: m["buckets"][0]["plan"].update(budget_bytes=0)),
    "a budget below zero": ("budget_bytes is -1", lambda m: m["buckets"][0]["plan"].update(budget_bytes=-1)),
    "a huge budget": ("budget_bytes is ", lambda m: m["buckets"][0]["plan"].update(budget_bytes=2**60)),
    "a huge arena": ("arena_bytes is ", lambda m: m["buckets"][0]["plan"].update(arena_bytes=2**60)),
    "offload below zero": ("offload_bytes is -5", lambda m: m["buckets"][0]["plan"].update(offload_bytes=-5)),
    "a parameter twice": ("is there twice", lambda m: m["parameters"].append(m["parameters"][0])),
    "an input twice": (
        "is there twice",
        lambda m: m["buckets"][0].update(inputs=2 * m["buckets"][0]["inputs"]),
    ),
    "a weight twice": ("is there twice", lambda m: m["weights"].append(m["weights"][0])),
    "a bucket twice": ("is there twice", lambda m: m["buckets"].append(m["buckets"][0])),
    "a path": ("has the suffix", lambda m: m["buckets"][0].update(suffix="/../x")),
    "a hash": ("has the sha256", lambda m: m["files"]["graph.json"].update(sha256="AB")),
    "a type": ("which is not known", lambda m: m["parameters"][0].update(dtype="float8")),
    "a shape": ("has shape", lambda m: m["parameters"][0].update(shape=[-1, 2])),
    "large parameters": ("the parameters have", lambda m: m["parameters"][0].update(shape=[1000, 1000])),
    "an offset": ("by the manifest at", lambda m: m["weights"][0].update(offset=64)),
}  # fmt: skip


@pytest.mark.parametrize(("words", "edit"), MANIFEST_EDITS.values(), ids=MANIFEST_EDITS)
def test_numbers_of_the_manifest_that_no_artifact_has(
    words: str, edit: Callable[[Any], None], folder: Path
) -> None:
    change_manifest(folder, edit)
    assert words in refused(evaluated(folder))


def test_a_field_that_is_there_twice_is_refused(folder: Path) -> None:
    text = json.dumps(eval_job(folder))
    assert 'has the field "count" twice' in refused(run(folder, "eval", text[:-1] + ', "count": 1}'))
    manifest = folder / "artifact" / MANIFEST
    manifest.write_text(manifest.read_text().rstrip()[:-1] + ', "target": "executorch"}')
    assert 'has the field "target" twice' in refused(evaluated(folder))


@pytest.mark.parametrize("name", [PROGRAM, MANIFEST])
def test_a_pipe_is_not_waited_for(name: str, folder: Path) -> None:
    path = folder / "artifact" / name
    path.unlink()
    os.mkfifo(path)
    assert str(path) in refused(evaluated(folder)) or name in refused(evaluated(folder))


def test_a_job_that_is_a_pipe_or_huge(folder: Path) -> None:
    os.mkfifo(folder / "pipe.json")
    with (folder / "huge.json").open("wb") as file:
        file.truncate(1 << 30)
    for name, words in (("pipe.json", "no regular file"), ("huge.json", "more than 16777216 bytes")):
        done = subprocess.run(
            [str(runner()), "eval", str(folder / name)], capture_output=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 1 and words in json.loads(done.stdout)["message"]


def test_batches_that_name_rows_that_there_are_not(folder: Path) -> None:
    (file,) = (folder / "batches").iterdir()
    data = bytearray(file.read_bytes())
    (size,) = struct.unpack("<Q", data[:8])
    place = 8 + size + json.loads(data[8 : 8 + size])["0.input_ids"]["data_offsets"][0]
    data[place : place + 8] = struct.pack("<q", 10**9)
    file.write_bytes(data)
    assert "input_ids[0] is 1000000000, but there are 96 rows" in refused(evaluated(folder))


def reheaded(data: bytes, edit: Callable[[Any], None]) -> bytes:
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    edit(header)
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


SAFETENSORS_EDITS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "a hole": ("leave a hole", lambda data: reheaded(data, lambda h: h.pop("ends"))),
    "an overlap": (
        "lie in the same bytes",
        lambda data: reheaded(data, lambda h: h["ends"].update(data_offsets=h["buckets"]["data_offsets"])),
    ),
    "more bytes": ("longer than its tensors", lambda data: data + b"12345678"),
    "an odd place": (
        "lies at an odd place",
        lambda data: struct.pack("<Q", struct.unpack("<Q", data[:8])[0] + 1) + b" " + data[8:],
    ),
}


@pytest.mark.parametrize(("words", "edit"), SAFETENSORS_EDITS.values(), ids=SAFETENSORS_EDITS)
def test_tensors_that_do_not_lie_one_behind_the_other(
    words: str, edit: Callable[[bytes], bytes], folder: Path
) -> None:
    (file,) = (folder / "batches").iterdir()
    file.write_bytes(edit(file.read_bytes()))
    assert words in refused(evaluated(folder))


def jobs(folder: Path) -> dict[str, dict[str, Any]]:
    artifact = Artifact.open(folder / "artifact")
    encode = {"artifact": str(artifact.path), "data": "none", "batches": "none", "seed": 0, "position": 0}
    return {
        "train": json.loads(Job.of(artifact, folder, steps=2).to_json()),
        "eval": eval_job(folder),
        "encode": encode | {"first_step": 0, "total_steps": 1, "accumulate": 1},
        "generate": {"artifact": str(artifact.path), "work": str(folder), "checkpoint": None, "ids": [1]}
        | {"max_tokens": 1, "temperature": 0.0, "seed": 0},
    }


def test_a_job_may_expect_an_artifact(folder: Path) -> None:
    sha = sha256_of(folder / "artifact" / MANIFEST)
    for verb, job in jobs(folder).items():
        message = refused(run(folder, verb, json.dumps(job | {"expect": "0" * 64})))
        assert f"is another than the job is for: the sha256 of its manifest.json is {sha}" in message
        odd = refused(run(folder, verb, json.dumps(job | {"expect": "0A"})))
        assert "expect is a sha256, 64 digits of 0-9 and a-f, not '0A'" in odd
        for fitting in (sha, None):
            ended = run(folder, verb, json.dumps(job | {"expect": fitting}))
            # The artifact has no tokenizer and no program that generates.
            assert ended.returncode == (0 if verb in ("train", "eval") else 1)
            assert "is another than the job is for" not in json.dumps(ended.events)
