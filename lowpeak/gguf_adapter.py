"""`lowpeak.export_gguf`: a trained adapter as a GGUF LoRA, for llama.cpp and the apps made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftConfig

from compiler.errors import ArtifactError, ModelError, told_as_environment_problem
from compiler.model.source import ModelSource, open_model
from export.adapter import CONFIG_FILE
from export.artifact import MANIFEST, Artifact
from export.gguf.architectures import Base
from export.gguf.lora_file import shared_alpha, tensors_of, write_lora
from export.gguf.peft_files import read_loras
from lowpeak.demo_model import fetch_demo_model
from runtime_py.checkpoint import artifact_id, read_progress
from runtime_py.trainer import ADAPTER, CHECKPOINT

DEMO = "demo"
FILE_NAME = "adapter.gguf"
TRAINED = "-trained"


@dataclass(frozen=True)
class GgufReport:
    """What a call of `export_gguf` wrote."""

    file: Path
    architecture: str
    """llama.cpp's name of the base's kind; a base of another is refused there."""
    layers: int
    """That have a LoRA."""
    ranks: tuple[int, ...]
    """The different ones among them."""
    alpha: float
    """Of the file: llama.cpp adds alpha / rank times B A."""
    file_bytes: int


@told_as_environment_problem()
def export_gguf(
    run: str | Path,
    *,
    base: ModelSource | Artifact | str | Path | None = None,
    out: str | Path | None = None,
) -> GgufReport:
    """Writes the adapter of a run's folder, or of a PEFT folder, to `out`, by default RUN/adapter.gguf.

    base: what it was trained for: the artifact, or the model as a checkpoint folder, .gguf file, hub name or
    `demo`; only its config is read. By default the artifact DIR of a run DIR-trained, else the model that
    the adapter's config names. The file's matrices are float32; llama.cpp loads it beside a base of any
    quantization, `llama-cli -m base.gguf --lora adapter.gguf`.

    Raises ArtifactError (no adapter, a damaged one, another file in the way), ModelError (no base, or
    an adapter that no GGUF LoRA can hold: DoRA, whole trained layers, embeddings, biases) and
    EnvironmentProblem (the package gguf is missing, the file cannot be written).
    """
    folder = _adapter_folder(Path(run))
    loras = read_loras(folder)
    config = _config(base) if base is not None else _config_of_run(Path(run), folder)
    known = Base.of(config)
    alpha = shared_alpha(loras)
    target = Path(out) if out is not None else Path(run) / FILE_NAME
    write_lora(
        target, known.architecture.name, alpha, tensors_of(loras, known, alpha), Path(run).resolve().name
    )
    return GgufReport(
        file=target,
        architecture=known.architecture.name,
        layers=len(loras),
        ranks=tuple(sorted({lora.rank for lora in loras})),
        alpha=alpha,
        file_bytes=target.stat().st_size,
    )


def _adapter_folder(run: Path) -> Path:
    for folder in (run / ADAPTER, run):
        if (folder / CONFIG_FILE).is_file():
            return folder
    held = "a folder without an adapter" if run.is_dir() else "no folder"
    raise ArtifactError(
        f"{run} is {held}: give the folder of a run (`lowpeak train`, `lowpeak pull`), or one with PEFT's "
        f"{CONFIG_FILE}"
    )


def _config(base: ModelSource | Artifact | str | Path) -> Mapping[str, Any]:
    """As `PretrainedConfig.to_dict` has it."""
    if isinstance(base, str | Path) and (Path(base) / MANIFEST).is_file():
        base = Artifact.open(base, verify=False)
    if isinstance(base, Artifact):
        config = base.manifest.model_config
        if config is None:
            raise ModelError(f"the artifact {base.path} is of a plain module, not of a language model")
        return config
    if not isinstance(base, ModelSource):
        base = open_model(fetch_demo_model() if base == DEMO else base)
    config = base.config.to_dict()
    return config


def _config_of_run(run: Path, adapter: Path) -> Mapping[str, Any]:
    """Of what the run was of, as far as it can be known for sure. Raises ModelError."""
    artifact = _artifact_of_run(run.resolve())
    if artifact is not None:
        return _config(artifact)
    named = PeftConfig.from_pretrained(str(adapter)).base_model_name_or_path
    if not named:
        raise ModelError(
            f"{run} does not say what model its adapter is for: give the artifact or the model with --base"
        )
    try:
        return _config(named)
    except ModelError as error:
        raise ModelError(
            f"the adapter's config names the base {named!r}: {error}. Give the artifact or the model with "
            "--base"
        ) from error


def _artifact_of_run(run: Path) -> Artifact | None:
    """That beside it from which the default name of a run's folder comes, if the checkpoint is of it."""
    folder, checkpoint = run.with_name(run.name.removesuffix(TRAINED)), run / CHECKPOINT
    if folder == run or not (folder / MANIFEST).is_file() or not checkpoint.is_file():
        return None
    artifact = Artifact.open(folder, verify=False)
    return artifact if artifact_id(artifact.manifest) == read_progress(checkpoint).artifact else None
