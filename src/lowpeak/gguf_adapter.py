"""`lowpeak.export_gguf`: a trained adapter as a GGUF LoRA, for llama.cpp and the apps made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowpeak.demo_model import fetch_demo_model
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, ModelError, told_as_environment_problem
from lowpeak_artifact.folder_lock import locked
from lowpeak_artifact.layout import MANIFEST
from lowpeak_artifact.plain_file import is_plain_name
from lowpeak_compiler.frontend.model.source import ModelSource, open_model
from lowpeak_export.adapter import CONFIG_FILE
from lowpeak_export.gguf.architectures import Base
from lowpeak_export.gguf.lora_file import shared_alpha, tensors_of, write_lora
from lowpeak_export.gguf.peft_files import read_config, read_loras
from lowpeak_runtime.train.checkpoint import artifact_id, newest_whole, read_progress
from lowpeak_runtime.train.run_folder import ADAPTER

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
    expect: str | None = None,
    signed_by: str | None = None,
) -> GgufReport:
    """Writes the adapter of a run's folder, or of a PEFT folder, to `out`, by default RUN/adapter.gguf.

    base: what it was trained for: the artifact, or the model as a checkpoint folder, .gguf file, hub name or
    `demo`; only its config is read. By default the artifact DIR of a run DIR-trained, else the model that
    the adapter's config names, beside the run or on the hub. The file's matrices are float32; llama.cpp
    loads it beside a base of any quantization, `llama-cli -m base.gguf --lora adapter.gguf`. expect,
    signed_by: of the artifact, see Artifact.open; a base that is no artifact is then refused.

    Raises ArtifactError (no adapter, a damaged one, a run that goes on, another file in the way), ModelError
    (no base, or an adapter that no GGUF LoRA can hold: DoRA, whole trained layers, embeddings, biases) and
    EnvironmentProblem (the package gguf is missing, the file cannot be written).
    """
    folder = _adapter_folder(Path(run))
    opening = _Opening(expect, signed_by)
    # A run that goes on would put another adapter there meanwhile.
    with locked(Path(run)):
        loras = read_loras(folder)
        config = _config(base, opening) if base is not None else _config_of_run(Path(run), folder, opening)
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


@dataclass(frozen=True)
class _Opening:
    """What an artifact must be."""

    expect: str | None
    signed_by: str | None

    def artifact(self, folder: Path) -> Artifact:
        return Artifact.open(folder, verify=False, expect=self.expect, signed_by=self.signed_by)

    def refuse(self, what: object) -> None:
        """Raises ArtifactError if an artifact was asked for."""
        if self.expect is not None or self.signed_by is not None:
            raise ArtifactError(
                f"{what} is no artifact, so it has neither a hash nor a signature: give --base"
            )


def _config(base: ModelSource | Artifact | str | Path, opening: _Opening) -> Mapping[str, Any]:
    """As `PretrainedConfig.to_dict` has it."""
    if isinstance(base, str | Path) and (Path(base) / MANIFEST).is_file():
        base = opening.artifact(Path(base))
    if isinstance(base, Artifact):
        config = base.manifest.model_config
        if config is None:
            raise ModelError(f"the artifact {base.path} is of a plain module, not of a language model")
        return config
    opening.refuse(base)
    if not isinstance(base, ModelSource):
        base = open_model(fetch_demo_model() if base == DEMO else base)
    config = base.config.to_dict()
    return config


def _config_of_run(run: Path, adapter: Path, opening: _Opening) -> Mapping[str, Any]:
    """Of what the run was of, as far as it can be known for sure. Raises ModelError."""
    artifact = _artifact_of_run(run.resolve(), opening)
    if artifact is not None:
        return _config(artifact, opening)
    named = read_config(adapter).base_model_name_or_path
    if not named or not isinstance(named, str):
        raise ModelError(
            f"{run} does not say what model its adapter is for: give the artifact or the model with --base"
        )
    neighbour = run.resolve().parent / named
    try:
        return _config(neighbour if is_plain_name(named) and neighbour.exists() else named, opening)
    except ModelError as error:
        raise ModelError(
            f"the adapter's config names the base {named!r}: {error}. Give the artifact or the model with "
            "--base"
        ) from error


def _artifact_of_run(run: Path, opening: _Opening) -> Artifact | None:
    """That beside it from which the default name of a run's folder comes, if the checkpoint is of it."""
    folder = run.with_name(run.name.removesuffix(TRAINED))
    if folder == run or not (folder / MANIFEST).is_file():
        return None
    checkpoint = newest_whole(run)
    if checkpoint is None:
        return None
    artifact = opening.artifact(folder)
    return artifact if artifact_id(artifact.manifest) == read_progress(checkpoint).artifact else None
