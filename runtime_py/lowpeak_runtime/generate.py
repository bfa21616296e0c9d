"""Text from an artifact's model with its adapter, by `lowpeak-runner generate`, within its budget."""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, DataError, EnvironmentProblem, told_as_environment_problem
from lowpeak_artifact.private_folder import private_folder
from lowpeak_export.executorch.library import ops_library, require_runner
from lowpeak_runtime.train.checkpoint import CHECKPOINT, newest_of
from lowpeak_runtime.train.events import told_error

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

    @property
    def stopped(self) -> bool:
        """Before the answer's end."""
        return self.stop_reason not in ("end", "length")


@told_as_environment_problem()
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
    tell: Callable[[str], None] = lambda _: None,
) -> Generated:
    """`prompt`: a text that is continued, messages (`role`, `content`) that are answered, or token ids.

    The adapter is that of `checkpoint`, or of the folder of a `run`; without both, that of the artifact. With
    temperature 0 the likeliest token is taken, else one by chance that `seed` decides. `on_text` is called
    with each piece of the answer, `tell` with the runner's notes.

    Raises ArtifactError for an artifact without a program that generates, with the reason; DataError for a
    prompt that is too long or no Unicode text; EnvironmentProblem without lowpeak-runner.
    """
    _require_numbers(max_tokens, temperature, seed)
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
    if checkpoint is not None and newest_of(Path(checkpoint)) is None:
        raise ArtifactError(f"there is no checkpoint {checkpoint}: train first, or generate without")
    with private_folder("lowpeak-generate-") as folder:
        job = {
            "artifact": str(opened.path),
            "expect": opened.sha256,
            "work": folder,
            "checkpoint": None if checkpoint is None else str(checkpoint),
            **_as_given(prompt),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        file = Path(folder) / "job.json"
        file.write_bytes(_encoded(job))
        return _followed(_command(file), on_text, tell)


def _as_given(prompt: str | Sequence[Message] | Sequence[int]) -> dict[str, Any]:
    kinds: dict[str, Any] = {"prompt": None, "messages": None, "ids": None}
    if isinstance(prompt, str):
        kinds["prompt"] = prompt
    elif prompt and isinstance(prompt[0], Mapping):
        kinds["messages"] = [dict(each) for each in prompt]  # type: ignore[arg-type]
    else:
        kinds["ids"] = list(prompt)
    return kinds


def _encoded(job: dict[str, Any]) -> bytes:
    try:
        return json.dumps(job, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"the prompt has {error.object[error.start]!r}, which is no character: give it as UTF-8"
        ) from error


def _require_numbers(max_tokens: int, temperature: float, seed: int) -> None:
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be positive, not {max_tokens}")
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"temperature must be 0 or a finite positive number, not {temperature}")
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed must fit 64 bits, {seed} does not")


def _command(job: Path) -> list[str]:
    program = require_runner("generating")
    return [str(program), "generate", str(job), "--ops-library", str(ops_library()), "--no-verify"]


def _followed(
    command: Sequence[str], on_text: Callable[[str], None], tell: Callable[[str], None]
) -> Generated:
    ids: list[int] = []
    last: dict[str, Any] = {}
    # A sanitizer or profiler of Python's is not the runner's.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, env=environment) as child,
    ):
        assert child.stdout is not None
        try:
            for line in child.stdout:
                # One that is killed may leave half a line.
                if not line.endswith(b"\n"):
                    break
                last = json.loads(line)
                if last["event"] == "token":
                    ids.append(last["id"])
                    on_text(last["text"])
                elif last["event"] == "note":
                    tell(last["note"])
        except BaseException:
            child.terminate()
            raise
        child.wait()
        said.seek(0)
        errors = said.read().decode(errors="replace")
    if last.get("event") == "error":
        raise told_error(last)
    if last.get("event") != "generated":
        raise EnvironmentProblem(
            f"lowpeak-runner ended with {child.returncode} and no answer: {errors[-2000:]}"
        )
    names = ("text", "prompt_tokens", "seconds", "tokens_per_second", "peak_rss_bytes", "stop_reason")
    return Generated(ids=tuple(ids), **{name: last[name] for name in names})
