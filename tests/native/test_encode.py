"""lowpeak-runner encode: the files that Python's encoder would write, and its errors."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from lowpeak import compile_for_device
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import DataError
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.stop import STOPPED
from lowpeak_runtime.train.trainer import train
from tests.native.build import build
from tests.native.encoding import (
    Run,
    ask,
    by_python,
    by_runner,
    encode_job,
    fast,
    files,
    folder_of,
    list_files,
    records,
    write_lines,
)
from tests.native.runner import Runner, runner, use_runner
from tests.native.tokenizer_families import FAMILIES, gemma, llama2, llama3, qwen, smollm2
from tests.native.tokenizing import prompts
from tests.runtime_py.chat import templates
from tests.tiny import tiny_llama

LENGTHS = [32, 96]
VOCABULARY = 2100
BLANKS = ["\u00a0", "\u2028", "\x1c", "\x1f", "\f", "\u3000", "\x85", " \t"]


@pytest.fixture(scope="module")
def smol() -> PreTrainedTokenizerFast:
    return fast(smollm2(), templates.DEFAULT_SYSTEM)


@pytest.fixture(scope="module")
def artifact(smol: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return compile_for_device(
        tiny_llama(vocab_size=VOCABULARY),
        budget_mb=40,
        seq_len=LENGTHS,
        batch_size=2,
        tokenizer=smol,
        out=tmp_path_factory.mktemp("encode") / "artifact",
    )


@pytest.mark.parametrize("kind", ["messages", "chats", "completion", "text"])
def test_writes_the_files_that_python_writes(
    kind: str, artifact: Artifact, smol: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    data = write_lines(tmp_path / "data.jsonl", records(kind, 60))
    run = Run(steps=30, accumulate=2, seed=3)
    expected, summary = by_python(artifact, smol, data, tmp_path / "python", run)
    actual, event = by_runner(artifact.path, data, tmp_path / "native", run)
    assert event["event"] == "encoded", event
    assert actual == expected
    assert event["batches"] == 60 and event["examples"] == summary.seen and event["tokens"] == summary.tokens
    assert sum(event["left_out"].values()) == summary.dropped and event["truncated"] == summary.truncated
    assert event["trainable_tokens"] == summary.trainable_tokens and event["warnings"] == summary.warnings


def test_goes_on_where_another_ended(
    artifact: Artifact, smol: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    data = write_lines(tmp_path / "data.jsonl", ["", *records("messages", 7), ""])
    run = Run(steps=9, accumulate=2, seed=-1, first_step=4, position=25)
    expected, _ = by_python(artifact, smol, data, tmp_path / "python", run)
    actual, _ = by_runner(artifact.path, data, tmp_path / "native", run)
    assert actual == expected and set(actual) == {"8-18.safetensors"}


KINDS = {
    "qwen3": (qwen, templates.QWEN3),
    "llama3": (llama3, templates.LLAMA3),
    "llama2": (llama2, templates.LLAMA2),
    "gemma": (gemma, templates.GEMMA2),
    "gpt2": (FAMILIES["gpt2"], templates.PHI3),
    "metaspace": (FAMILIES["metaspace"], templates.CHATML),
    "prefix_space": (FAMILIES["prefix_space"], templates.GLM4),
}


@pytest.mark.parametrize("name", KINDS)
def test_as_python_with_tokenizers_and_templates_of_other_families(
    name: str, artifact: Artifact, tmp_path: Path
) -> None:
    family, template = KINDS[name]
    tokenizer = fast(family(), template)
    folder = folder_of(artifact, tokenizer, tmp_path / "artifact")
    chats = records("messages", 40)
    if name == "gemma":
        # Its template refuses a system's message.
        chats = [{"messages": [m for m in row["messages"] if m["role"] != "system"]} for row in chats]
    for kind, rows in (("messages", chats), ("completion", records("completion", 40))):
        data = write_lines(tmp_path / f"{kind}.jsonl", rows)
        expected, summary = by_python(artifact, tokenizer, data, tmp_path / f"python-{kind}", Run(30))
        actual, event = by_runner(folder, data, tmp_path / f"native-{kind}", Run(30))
        assert event["event"] == "encoded", event
        assert actual == expected
        assert event["warnings"] == summary.warnings


def test_fewer_rows_than_tokens(smol: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    artifact = compile_for_device(
        tiny_llama(vocab_size=VOCABULARY),
        budget_mb=40,
        seq_len=64,
        trainable_ratio=0.5,
        tokenizer=smol,
        out=tmp_path / "artifact",
    )
    rows = [{"prompt": "What is this? " * 8, "completion": f"It is number {number}."} for number in range(5)]
    data = write_lines(tmp_path / "data.jsonl", rows)
    expected, _ = by_python(artifact, smol, data, tmp_path / "python", Run())
    actual, _ = by_runner(artifact.path, data, tmp_path / "native", Run())
    assert actual == expected
    data = write_lines(tmp_path / "long.jsonl", [{"text": "all of it " * 40}])
    with pytest.raises(DataError) as refused:
        by_python(artifact, smol, data, tmp_path / "python-long", Run())
    _, event = by_runner(artifact.path, data, tmp_path / "native-long", Run())
    assert event["class"] == "DataError" and event["message"] == str(refused.value)


BAD = [
    '{"text": 1}',
    '{"text": "a", "images": [1]}',
    '{"prompt": "a"}',
    "{}",
    "[1]",
    '{"prompt": "a", "completion": []}',
    '{"messages": "a"}',
    '{"messages": []}',
    '{"messages": [{"role": "user"}]}',
    '{"messages": [{"role": "user", "content": "a"}]}',
    '{"messages": [{"role": "gpt", "content": "a"}]}',
    '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": 3}]}',
    '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "train": 2}]}',
    '{"messages": [{"role": "user", "content": "a", "loss": 1}, {"role": "assistant", "content": "b"}]}',
    '{"messages": [{"role": "user", "content": [{"type": "image"}]}, {"role": "assistant", "content": "b"}]}',
    '{"system": "s", "messages": [{"role": "system", "content": "a"}, {"role": "assistant", "content": ""}]}',
    '{"messages": [{"role": "user", "content": [{"type": "text"}, {"type": "text"}]}]}',
    '{"prompt": "only this", "completion": ""}',
    pytest.param('{"text": "a", "metadata": ' + "[" * 50_000 + "]" * 50_000 + "}", id="deep"),
    pytest.param('{"messages": ' + '{"a":' * 50_000 + "1" + "}" * 50_001, id="deep messages"),
]


@pytest.mark.parametrize("line", BAD)
def test_refuses_a_line_in_the_words_of_python(
    line: str, artifact: Artifact, smol: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    require_same_refusal(artifact, artifact.path, smol, write_lines(tmp_path / "data.jsonl", ["", line]))


def test_refuses_what_the_tokenizer_would_leave_out(artifact: Artifact, tmp_path: Path) -> None:
    content = json.loads(smollm2().to_str())
    # The real one has no entry for some control characters, of which this stands for one.
    content["model"]["vocab"]["<control>"] = content["model"]["vocab"].pop("ē")
    tokenizer = fast(Tokenizer.from_str(json.dumps(content)))
    folder = folder_of(artifact, tokenizer, tmp_path / "artifact")
    data = write_lines(tmp_path / "data.jsonl", ["", '{"text": "a \\u0013 b"}'])
    require_same_refusal(artifact, folder, tokenizer, data)


def require_same_refusal(
    artifact: Artifact, folder: Path, tokenizer: PreTrainedTokenizerFast, data: Path
) -> None:
    """Of line 2, with nothing written."""
    with pytest.raises(DataError) as refused:
        by_python(artifact, tokenizer, data, data.with_name("python"), Run(2))
    found, event = by_runner(folder, data, data.with_name("native"), Run(2))
    assert event["class"] == "DataError" and not found
    assert event["message"] == str(refused.value)
    assert event["numbers"]["line"] == 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"text": ', "line 1: is not JSON"),
        ("\u00a0", "line 1: is not JSON"),
        ('{"text": "a", "metadata": 1e999}', "line 1: has a value that cannot be read"),
        ('{"text": "a", "metadata": NaN}', "line 1: is not JSON"),
        ('{"text": "\\ud800"}', "line 1: has half a surrogate pair"),
        ('{"tools": [{}], "messages": [{"role": "assistant", "content": "a"}]}', '"tools", which the phone'),
        (
            '{"messages": [{"role": "user", "content": " "}, {"role": "assistant", "content": "a"}]}',
            "message 1 is empty",
        ),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', 'begins with the role "assistant"'),
    ],
)
def test_names_what_only_the_computer_encodes(
    line: str, expected: str, artifact: Artifact, tmp_path: Path
) -> None:
    data = write_lines(tmp_path / "data.jsonl", [line])
    actual, event = by_runner(artifact.path, data, tmp_path / "native", Run())
    assert event["class"] == "DataError" and expected in event["message"] and not actual
    assert event["numbers"]["line"] == 1


def _without_template(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = None


def _with_date(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = "{{ strftime_now('%Y') }}" + templates.CHATML


@pytest.mark.parametrize(
    ("spoil", "expected"), [(_without_template, "no chat template"), (_with_date, "writes today's date")]
)
def test_a_template_that_cannot_be_compiled_leaves_text_possible(
    spoil: Callable[[PreTrainedTokenizerFast], None], expected: str, artifact: Artifact, tmp_path: Path
) -> None:
    tokenizer = fast(smollm2(), templates.CHATML)
    spoil(tokenizer)
    folder = folder_of(artifact, tokenizer, tmp_path / "artifact")
    data = write_lines(tmp_path / "chats.jsonl", records("messages", 3))
    _, event = by_runner(folder, data, tmp_path / "chats", Run())
    assert expected in event["message"] and "encode the data on the computer" in event["message"]
    data = write_lines(tmp_path / "text.jsonl", records("text", 3))
    assert by_runner(folder, data, tmp_path / "text", Run())[1]["event"] == "encoded"


def test_a_budget_below_the_tokenizer_is_refused(
    artifact: Artifact, smol: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    folder = folder_of(artifact, smol, tmp_path / "artifact")
    manifest = json.loads((folder / "manifest.json").read_text())
    for bucket in manifest["buckets"]:
        bucket["plan"]["budget_bytes"] = 1 << 20
    (folder / "manifest.json").write_text(json.dumps(manifest))
    data = write_lines(tmp_path / "data.jsonl", records("text", 3))
    _, event = by_runner(folder, data, tmp_path / "native", Run())
    assert event["class"] == "BudgetTooSmall" and event["numbers"]["budget_bytes"] == 1 << 20
    assert event["numbers"]["needed_bytes"] > event["numbers"]["tokenizer_bytes"] > 1 << 20


def test_trains_on_its_own_batches_and_the_host_goes_on(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_runner(monkeypatch)
    data = write_lines(tmp_path / "data.jsonl", records("messages", 30))
    options = OptimizerOptions(learning_rate=5e-3)
    expected = train(artifact, data, steps=8, optimizer=options, engine="native").losses
    actual, event = by_runner(artifact.path, data, tmp_path / "batches", Run(5))
    assert actual
    run = tmp_path / "run"
    run.mkdir()
    job = Job.of(
        artifact,
        tmp_path,
        steps=5,
        data=event["data"],
        optimizer=options,
        checkpoint=run / "checkpoint.safetensors",
    )
    job = type(job)(**{**vars(job), "batches": str(tmp_path / "batches")})
    ended = Runner(["--ops-library", str(build() / "liblowpeak_ops.so")]).run(job, tmp_path)
    assert ended.last["event"] == "done", ended.last
    rest = train(artifact, data, steps=8, optimizer=options, out=run, resume=True, engine="native").losses
    assert (*ended.losses, *rest) == expected


@pytest.mark.parametrize("name", ["CHATML", "DEFAULT_SYSTEM", "LLAMA2", "LLAMA3", "QWEN3", "GEMMA2"])
def test_the_prompt_for_an_answer_is_the_templates(name: str, artifact: Artifact, tmp_path: Path) -> None:
    tokenizer = fast(smollm2(), getattr(templates, name))
    folder = folder_of(artifact, tokenizer, tmp_path / "artifact")
    turns = [
        {"role": "user", "content": " What is this? \n"},
        {"role": "assistant", "content": "\n It is 日本 \t"},
        {"role": "user", "content": "And\nthat 👋"},
    ]
    chats = [turns[:1], turns, [{"role": "system", "content": " Be brief. "}, turns[0]]]
    for chat, actual in zip(chats, prompts(folder, chats), strict=True):
        if name == "GEMMA2" and chat[0]["role"] == "system":
            assert isinstance(actual, str) and 'begins with the role "system"' in actual
            continue
        expected = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        assert actual == expected
    (refused,) = prompts(folder, [turns[:2]])
    assert refused == "a prompt for an answer ends with a message that is not the assistant's"


def test_batches_of_other_runs_are_not_mixed(artifact: Artifact, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "data.jsonl", records("text", 9))
    folder = tmp_path / "native"
    first, event = by_runner(artifact.path, data, folder, Run(3))
    assert set(first) == {"0-3.safetensors"}
    # A run that is longer goes on behind them.
    more, event = by_runner(artifact.path, data, folder, Run(5, first_step=3, position=6))
    assert event["event"] == "encoded" and set(more) == {"0-3.safetensors", "3-5.safetensors"}
    for run in (Run(5), Run(6, first_step=4)):
        found, event = by_runner(artifact.path, data, folder, run)
        assert event["class"] == "DataError" and found == more
        assert "holds batches already" in event["message"] and "name another folder" in event["message"]


@pytest.mark.parametrize("made_before", [False, True])
def test_nothing_is_left_of_what_did_not_end(made_before: bool, artifact: Artifact, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "data.jsonl", records("text", 9))
    folder = tmp_path / "batches"
    if made_before:
        folder.mkdir()
    job = encode_job(artifact.path, data, folder, Run(1_000_000))
    (tmp_path / "job.json").write_text(json.dumps(job))
    started = Runner(command=(str(runner()), "encode")).start(tmp_path / "job.json")
    while not files(folder) and started.poll() is None:
        time.sleep(0.02)
    started.send_signal(signal.SIGTERM)
    out, _ = started.communicate()
    assert json.loads(out)["event"] == "stopped" and started.returncode == STOPPED
    assert not files(folder) and folder.exists() == made_before


def test_more_batches_than_the_disk_has_room_for_are_refused_before_any(
    artifact: Artifact, tmp_path: Path
) -> None:
    data = write_lines(tmp_path / "data.jsonl", records("text", 9))
    _, event = by_runner(artifact.path, data, tmp_path / "batches", Run(1 << 39))
    assert event["class"] == "EnvironmentProblem"
    assert f"bytes for the data as {1 << 39} batches cannot be written to {tmp_path}" in event["message"]
    assert event["numbers"]["needed_bytes"] > event["numbers"]["free_bytes"] > 0
    assert not (tmp_path / "batches").exists()


def test_a_line_beyond_the_budget_is_refused_before_it_is_read(artifact: Artifact, tmp_path: Path) -> None:
    budget = artifact.manifest.largest.plan.budget_bytes
    long = json.dumps({"text": "a" * 300_000})
    _, event = by_runner(
        artifact.path, write_lines(tmp_path / "long.jsonl", [long]), tmp_path / "long", Run(2)
    )
    assert event["event"] == "encoded" and event["peak_rss_bytes"] < budget
    # No JSON, which would be found when it is read.
    data = write_lines(tmp_path / "data.jsonl", ['{"text": "a"}', "", '{"text": "' + "a" * 10_000_000])
    found, event = by_runner(artifact.path, data, tmp_path / "native", Run())
    assert event["class"] == "BudgetTooSmall" and not found
    numbers = event["numbers"]
    assert numbers["line"] == 3 and numbers["needed_bytes"] > numbers["budget_bytes"] == budget
    assert f"line 3 of {numbers['line_bytes']} bytes or more" in event["message"]
    assert "split what the line holds" in event["message"]


@pytest.mark.parametrize("name", ["chat.json", "manifest.json", "tokenizer.json"])
def test_a_file_that_is_nested_too_deeply_is_refused(
    name: str, artifact: Artifact, smol: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    folder = folder_of(artifact, smol, tmp_path / "artifact")
    (folder / name).write_text('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}")
    if name != "manifest.json":
        list_files(folder)
    data = write_lines(tmp_path / "data.jsonl", records("text", 3))
    _, event = by_runner(folder, data, tmp_path / "native", Run())
    assert event["class"] == "ArtifactError" and name in event["message"]
    assert "nested too deeply" in event["message"]


@pytest.mark.parametrize("name", ["chat.json", "tokenizer.json"])
def test_a_file_that_is_not_the_compiled_one_is_refused(
    name: str, artifact: Artifact, smol: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    folder = folder_of(artifact, smol, tmp_path / "artifact")
    data = write_lines(tmp_path / "data.jsonl", records("text", 3))
    job = encode_job(folder, data, tmp_path / "native", Run(2))
    text = (folder / name).read_text()
    at = text.index("}")
    (folder / name).write_text(f"{text[:at]} {text[at:]}")
    event = ask("encode", job, tmp_path / "job.json")
    assert event["class"] == "ArtifactError" and f"{name} of the artifact" in event["message"]
    assert "is too long" in event["message"] and not (tmp_path / "native").exists()
    text = text.replace(" ", "\t", 1) if " " in text else text
    (folder / name).write_text(text)
    event = ask("encode", job, tmp_path / "job.json")
    assert event["class"] == "ArtifactError" and "is not the file that was compiled" in event["message"]
    event = ask("encode", job, tmp_path / "job.json", flags=["--no-verify"])
    assert event["event"] == "encoded", event
    (folder / name).unlink()
    event = ask("encode", job, tmp_path / "job.json")
    assert event["class"] == "ArtifactError" and f"{name} is missing" in event["message"]


def test_a_message_does_not_repeat_the_whole_line(artifact: Artifact, tmp_path: Path) -> None:
    for line in ('{"text": "' + "ä" * 100_000, json.dumps({"b" * 100_000: 1, "text": "a"})):
        _, event = by_runner(
            artifact.path, write_lines(tmp_path / "data.jsonl", [line]), tmp_path / "native", Run()
        )
        assert event["class"] == "DataError" and "line 1: " in event["message"]
        assert len(event["message"]) < 900 and "\ufffd" not in event["message"]


def test_blanks_beside_an_object_are_those_of_python(
    artifact: Artifact, smol: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    rows = [
        f"{blank}{json.dumps(row)}{blank}" for blank, row in zip(BLANKS, records("text", 9), strict=False)
    ]
    data = tmp_path / "data.jsonl"
    data.write_bytes("\n".join(rows).encode("utf-8-sig"))
    expected, _ = by_python(artifact, smol, data, tmp_path / "python", Run())
    actual, event = by_runner(artifact.path, data, tmp_path / "native", Run())
    assert event["event"] == "encoded" and actual == expected


def test_a_signal_is_heard_while_the_file_is_looked_through(artifact: Artifact, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "data.jsonl", [json.dumps({"text": "a" * 900})] * 200_000)
    (tmp_path / "job.json").write_text(
        json.dumps(encode_job(artifact.path, data, tmp_path / "native", Run(9)))
    )
    started = Runner(command=(str(runner()), "encode")).start(tmp_path / "job.json")
    while not (tmp_path / "native").exists() and started.poll() is None:
        time.sleep(0.005)
    started.send_signal(signal.SIGTERM)
    out, _ = started.communicate()
    assert json.loads(out)["event"] == "stopped" and not (tmp_path / "native").exists()
