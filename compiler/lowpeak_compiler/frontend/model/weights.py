"""Where weights come from, one tensor at a time: the interface, and the sources other than GGUF.

Compiling never needs a whole dense model in memory: whoever wants weights asks a source by name, uses the
tensor and drops it.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from lowpeak_artifact.errors import ModelError
from lowpeak_artifact.quantized import QuantFormat, QuantizedTensor
from lowpeak_compiler.frontend.model.folder import INDEX, checkpoint_files
from lowpeak_compiler.frontend.model.safetensors_file import open_safetensors, read_shapes

_COMPARED = 2000
"""Names that a missing one is compared with, which takes a while."""


class WeightSource(Protocol):
    """Weights by the names of the Hugging Face model.

    Every method that takes a name raises ModelError for one that the source does not have.
    """

    def names(self) -> Collection[str]: ...

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the dense tensor, without reading it."""
        ...

    def format_of(self, name: str) -> QuantFormat | None:
        """The format in which the tensor is stored already, None when it is stored dense."""
        ...

    def dense(self, name: str) -> Tensor:
        """The tensor as float32, dequantized if need be. It may share memory with the source: do not write.

        Raises ModelError when it has NaN or Inf values, with their counts.
        """
        ...

    def quantized(self, name: str) -> QuantizedTensor:
        """The stored integers and scales, verbatim, of a tensor whose `format_of` is not None."""
        ...


class _DenseWeights:
    """What sources that store nothing quantized have in common."""

    def format_of(self, name: str) -> QuantFormat | None:
        return None

    def quantized(self, name: str) -> QuantizedTensor:
        raise ValueError(f"{name} is not stored quantized")


class ModuleWeights(_DenseWeights):
    """The parameters and buffers of a module in memory, a tied tensor under each of its names."""

    def __init__(self, module: nn.Module) -> None:
        self._tensors: dict[str, Tensor] = {
            **dict(module.named_parameters(remove_duplicate=False)),
            **dict(module.named_buffers(remove_duplicate=False)),
        }

    def names(self) -> Collection[str]:
        return self._tensors.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._tensor(name).shape)

    def dense(self, name: str) -> Tensor:
        tensor = self._tensor(name).detach()
        if tensor.is_meta:
            raise ModelError(f"{name} has no values: the model is on the meta device; load its weights first")
        if not tensor.is_floating_point():
            return tensor.to("cpu")
        return require_finite(name, tensor.to("cpu", torch.float32))

    def _tensor(self, name: str) -> Tensor:
        require_name(name, self._tensors, "the model")
        return self._tensors[name]


class SafetensorsWeights(_DenseWeights):
    """The tensors of a checkpoint folder: `model.safetensors` or its shards and their index.

    Only headers are read here; each `dense` opens its file anew and reads that tensor.
    Raises ModelError for a missing or damaged file, a tensor in two files, and an index that says otherwise.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: dict[str, str] = {}
        self._shape: dict[str, tuple[int, ...]] = {}
        for file, indexed in checkpoint_files(folder).items():
            shapes = read_shapes(folder / file)
            twice = next((name for name in shapes if name in self._file), None)
            if twice is not None:
                raise ModelError(f"{twice} is in {self._file[twice]} and in {file} of {folder}: keep one")
            if indexed is not None and shapes.keys() != indexed:
                _refuse_index(folder, file, indexed, shapes.keys())
            self._file |= dict.fromkeys(shapes, file)
            self._shape |= shapes

    def names(self) -> Collection[str]:
        return self._file.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        require_name(name, self._shape, self._folder.name)
        return self._shape[name]

    def dense(self, name: str) -> Tensor:
        require_name(name, self._file, self._folder.name)
        path = self._folder / self._file[name]
        with open_safetensors(path) as tensors:
            try:
                tensor = tensors.get_tensor(name)
            except (SafetensorError, RuntimeError, KeyError) as error:
                raise ModelError(
                    f"{name} of {path} cannot be read ({error}): the file is damaged or was cut short; copy "
                    "it again"
                ) from error
        if not tensor.is_floating_point():
            raise ModelError(f"{name} is stored as {tensor.dtype}: give a checkpoint with float weights")
        return require_finite(name, tensor.to(torch.float32))


def _refuse_index(folder: Path, file: str, indexed: Collection[str], present: Collection[str]) -> None:
    absent, extra = sorted(set(indexed) - set(present)), sorted(set(present) - set(indexed))
    lacks = f"lacks {len(absent)} of its tensors by the index (first {absent[0]})" if absent else ""
    has = f"has {len(extra)} that the index does not have there (first {extra[0]})" if extra else ""
    raise ModelError(
        f"{file} of {folder} {' and '.join(filter(None, (lacks, has)))}: shards and {INDEX} are "
        "of two models",
        absent=len(absent),
        extra=len(extra),
    )


class RandomWeights(_DenseWeights):
    """Weights for a model that has a shape only: normal values, norm weights 1, biases 0.

    A tensor depends on (seed, name) alone, so the order in which tensors are asked for does not matter.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], *, seed: int, std: float) -> None:
        self._shapes = shapes
        self._seed = seed
        self._std = std

    def names(self) -> Collection[str]:
        return self._shapes.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        require_name(name, self._shapes, "the model")
        return self._shapes[name]

    def dense(self, name: str) -> Tensor:
        shape = self.shape(name)
        if name.endswith(".bias"):
            return torch.zeros(shape)
        if len(shape) == 1 and "norm" in name:
            return torch.ones(shape)
        digest = hashlib.sha256(f"{self._seed} {name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
        return torch.empty(shape).normal_(0.0, self._std, generator=generator)


def require_finite(name: str, tensor: Tensor) -> Tensor:
    """`tensor` itself; ModelError with the counts when it has NaN or Inf values."""
    if tensor.numel() == 0:
        return tensor
    # Extremes show both without a temporary as large as the tensor.
    if not torch.isfinite(torch.stack(torch.aminmax(tensor))).all():
        nans, infs = int(tensor.isnan().sum()), int(tensor.isinf().sum())
        raise ModelError(
            f"{name} has {nans} NaN and {infs} Inf values of {tensor.numel()}: the checkpoint is damaged, "
            "or was trained to divergence",
            nan=nans,
            inf=infs,
            elements=tensor.numel(),
        )
    return tensor


def require_name(name: str, names: Collection[str], where: str) -> None:
    """ModelError that names the nearest `names` when `name` is none of them."""
    if name in names:
        return
    nearest = difflib.get_close_matches(name, list(names)[:_COMPARED], n=3, cutoff=0.5)
    hint = f"; the nearest names are {', '.join(nearest)}" if nearest else ""
    raise ModelError(f"{where} has no tensor {name} among its {len(names)}{hint}")
