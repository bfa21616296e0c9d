"""LoRA matrices -> a GGUF file of the kind that llama.cpp loads with --lora."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lowpeak_artifact.disk import Need, cannot_write, require_room
from lowpeak_artifact.errors import ArtifactError, ModelError
from lowpeak_artifact.make_folder import make_folder
from lowpeak_compiler.frontend.model.gguf_file import GgufFile, import_gguf
from lowpeak_export.gguf.architectures import Base
from lowpeak_export.gguf.peft_files import Lora

QUERY, KEY = "q_proj", "k_proj"
HEAD = "lm_head"
ADAPTER = "adapter"


@dataclass(frozen=True)
class LoraTensor:
    """A layer's matrices as the file has them; it is written in float32."""

    name: str
    """GGUF's of the layer's weight: blk.0.attn_q.weight."""
    a: npt.NDArray[np.float32]
    b: npt.NDArray[np.float32]


def shared_alpha(loras: Sequence[Lora]) -> float:
    """scale * rank, which is one number for the whole file: the one that most layers have."""
    alphas = Counter(lora.scale * lora.rank for lora in loras if lora.scale)
    # llama.cpp takes 0 as if there were no scale.
    return alphas.most_common(1)[0][0] if alphas else 1.0


def tensors_of(loras: Sequence[Lora], base: Base, alpha: float) -> list[LoraTensor]:
    """Raises ModelError for a layer that the base has not, or not in llama.cpp."""
    gguf = import_gguf()
    (arch,) = (key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == base.architecture.name)
    names = gguf.get_tensor_name_map(arch, base.layers)
    tensors = []
    for lora in loras:
        name = names.get_name(lora.module)
        if name is None:
            raise ModelError(
                f"llama.cpp has no tensor for {lora.module} of a {base.architecture.name} model of "
                f"{base.layers} layers: is it the base that the adapter was trained for?",
                layers=base.layers,
            )
        if lora.module == HEAD and base.tied:
            raise ModelError(
                "the adapter has a LoRA on lm_head, which is the embedding in this model: llama.cpp has one "
                "tensor for both and cannot adapt only one of its uses. Train without lm_head"
            )
        if lora.module == HEAD and len(lora.b) != base.vocabulary:
            raise ModelError(
                f"lora_B of lm_head has {len(lora.b)} rows, the base a vocabulary of {base.vocabulary}: give "
                "the base with the vocabulary that the adapter was trained with",
                rows=len(lora.b),
            )
        # A layer of another scale * rank than the file's has the difference in its B.
        factor = lora.scale * lora.rank / alpha
        b = lora.b.float() if factor == 1 else lora.b.double().mul(factor).float()
        tensors.append(LoraTensor(f"{name}.weight", lora.a.float().numpy(), _rows(lora, b, base).numpy()))
    return tensors


def _rows(lora: Lora, b: Tensor, base: Base) -> Tensor:
    """The rows of B in the order of the layer's rows in llama.cpp."""
    heads = {QUERY: base.heads, KEY: base.key_heads}.get(lora.module.rpartition(".")[2])
    if heads is None or not base.architecture.interleaves:
        return b
    if len(b) % (2 * heads):
        raise ModelError(
            f"lora_B of {lora.module} has {len(b)} rows, which are no {heads} heads of an even size: is it "
            "the base that the adapter was trained for?"
        )
    return b.view(heads, 2, len(b) // heads // 2, -1).transpose(1, 2).reshape(b.shape)


def write_lora(path: Path, architecture: str, alpha: float, tensors: Sequence[LoraTensor], name: str) -> None:
    """Writes a temporary file beside `path` and renames it; an adapter's file there is replaced.

    Raises ArtifactError when there is another file, EnvironmentProblem when the disk refuses.
    """
    _require_replaceable(path)
    gguf = import_gguf()
    size = sum(tensor.a.nbytes + tensor.b.nbytes for tensor in tensors)
    require_room(Need(path.parent, (size,), "the adapter", "name a file on another disk with --out"))
    try:
        make_folder(path.parent)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as temporary:
            fresh = Path(temporary) / path.name
            writer = gguf.GGUFWriter(fresh, architecture)
            writer.add_type(gguf.GGUFType.ADAPTER)
            writer.add_name(name)
            writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
            writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
            writer.add_file_type(gguf.LlamaFileType.ALL_F32)
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
            for tensor in tensors:
                writer.add_tensor(f"{tensor.name}.lora_a", np.ascontiguousarray(tensor.a))
                writer.add_tensor(f"{tensor.name}.lora_b", np.ascontiguousarray(tensor.b))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
            fresh.replace(path)
    except OSError as error:
        raise cannot_write(f"the adapter of {size} bytes", path, error) from error


def _require_replaceable(path: Path) -> None:
    if not path.exists():
        return
    try:
        replaceable = path.is_file() and GgufFile(path).metadata.get("general.type") == ADAPTER
    except ModelError:
        replaceable = False
    if not replaceable:
        raise ArtifactError(f"{path} is there and is no GGUF adapter: give another file with --out")
