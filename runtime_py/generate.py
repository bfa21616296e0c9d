"""Text from an artifact's model with its adapter, by `lowpeak-runner generate`, within its budget."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.errors import ArtifactError, EnvironmentProblem
from export.artifact import Artifact
from export.executorch.library import ops_library, remedy, runner_program
from runtime_py.events import told_error
from runtime_py.trainer import CHECKPOINT

Message = Mapping[str, str]


@dataclass(frozen=True)
class Generated:
    """`tokens` of the answer, its end token included if it has one; `seconds` of all, loading too."""

    text: str
    ids: tuple[int, ...]
    prompt_tokens: int
    seconds: float
    tokens_per_second: float | None
    """From the first token of the answer to the last; None if there is one only."""
    peak_rss_bytes: int
    """Of the process that generated."""
    stop_reason: str
    """`end`: the model has said all; `length`: max_tokens, or there is no room for more; else what stopped
    it."""


def generate(
    artifact: Artifact | str | Path,
    prompt: str | Sequence[Message] | Sequence[int],
    *,
    run: str | Path | None = None,
    checkpoint: str | Path | None = None,
    max_tokens: int = 128,
    temperature: float = 0.0,
    seed: int = 0,
    on_text: Callable[[str], None] = lambda _: None,
) -> Generated:
    """`prompt`: a text that is continued, messages (`role`, `content`) that are answered, or token ids.

    The adapter is that of `checkpoint`, or of the folder of a `run`; without both, that of the artifact. With
    temperature 0 the likeliest token is taken, else one by chance that `seed` decides. `on_text` is called
    with each piece of the answer.

    Raises ArtifactError for an artifact without a program that generates, with the reason; DataError for a
    prompt that is too long; EnvironmentProblem without lowpeak-runner.
    """
    opened = artifact if isinstance(artifact, Artifact) else Artifact.open(artifact)
    if opened.manifest.generate is None:
        raise ArtifactError(
            f"the artifact {opened.path} has no program that generates: "
            f"{opened.manifest.generate_problem or 'it was compiled without'}"
        )
    if run is not None:
        if checkpoint is not None:
            raise ValueError("give the folder of a run or a checkpoint, not both")
        checkpoint = Path(run) / CHECKPOINT
    if checkpoint is not None and not Path(checkpoint).is_file():
        raise ArtifactError(f"there is no checkpoint {checkpoint}: train first, or generate without")
    with tempfile.TemporaryDirectory(prefix="lowpeak-generate-") as folder:
        job = {
            "artifact": str(opened.path),
            "work": folder,
            "checkpoint": None if checkpoint is None else str(checkpoint),
            **_as_given(prompt),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        file = Path(folder) / "job.json"
        file.write_text(json.dumps(job), encoding="utf-8")
        return _followed(_command(file), on_text)


def _as_given(prompt: str | Sequence[Message] | Sequence[int]) -> dict[str, Any]:
    kinds: dict[str, Any] = {"prompt": None, "messages": None, "ids": None}
    if isinstance(prompt, str):
        kinds["prompt"] = prompt
    elif prompt and isinstance(prompt[0], Mapping):
        kinds["messages"] = [dict(each) for each in prompt]  # type: ignore[arg-type]
    else:
        kinds["ids"] = list(prompt)
    return kinds


def _command(job: Path) -> list[str]:
    program = runner_program()
    if program is None:
        raise EnvironmentProblem(
            f"generating needs lowpeak-runner, which this installation of lowpeak has not: {remedy()}, or "
            "name one by the environment variable LOWPEAK_RUNNER"
        )
    return [str(program), "generate", str(job), "--ops-library", str(ops_library()), "--no-verify"]


def _followed(command: Sequence[str], on_text: Callable[[str], None]) -> Generated:
    ids: list[int] = []
    last: dict[str, Any] = {}
    # A sanitizer or profiler of Python's is not the runner's.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, encoding="utf-8"
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        for line in child.stdout:
            last = json.loads(line)
            if last["event"] == "token":
                ids.append(last["id"])
                on_text(last["text"])
        said = child.stderr.read()
    if last.get("event") == "error":
        raise told_error(last)
    if last.get("event") != "generated":
        raise EnvironmentProblem(
            f"lowpeak-runner ended with {child.returncode} and no answer: {said[-2000:]}"
        )
    names = ("text", "prompt_tokens", "seconds", "tokens_per_second", "peak_rss_bytes", "stop_reason")
    return Generated(ids=tuple(ids), **{name: last[name] for name in names})
