"""llama.cpp generates greedily, for benchmarks/generate.py: FOLDER GGUF IDS TOKENS THREADS -> a JSON object.

FOLDER has llama.cpp's shared libraries, of version 0.5.0 as for its structs: those of the npm package
@node-llama-cpp/linux-x64@3.22.1, folder bins/linux-x64. IDS is a JSON list. Its options are its defaults.
"""

from __future__ import annotations

import ctypes
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

CONTEXT = 512
pointer, integer = ctypes.c_void_p, ctypes.c_int32


class ModelParams(ctypes.Structure):
    """llama_model_params, which the defaults are right for."""

    _fields_ = [("bytes", ctypes.c_ubyte * 256)]


class ContextParams(ctypes.Structure):
    """llama_context_params, as far as it is set here."""

    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("n_ctx", "n_batch", "n_ubatch")),
        ("sequences_and_outputs", ctypes.c_uint32 * 4),
        *((name, integer) for name in ("n_threads", "n_threads_batch")),
        ("rest", ctypes.c_ubyte * 320),
    ]


class Batch(ctypes.Structure):
    """llama_batch."""

    _fields_ = [
        ("n_tokens", integer),
        ("token", ctypes.POINTER(integer)),
        *((name, pointer) for name in ("embd", "pos", "n_seq_id", "seq_id", "logits")),
    ]


def library(folder: Path) -> ctypes.CDLL:
    """With the signatures of what is called."""
    for name in ("libggml-base.so", "libggml.v0.5.0.so"):
        ggml = ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    ggml.ggml_backend_load_all_from_path(str(folder).encode())
    llama = ctypes.CDLL(str(folder / "libllama.v0.5.0.so"))
    tokens = ctypes.POINTER(integer)
    signatures: dict[str, tuple[list[Any], Any]] = {
        "model_default_params": ([], ModelParams),
        "context_default_params": ([], ContextParams),
        "model_load_from_file": ([ctypes.c_char_p, ModelParams], pointer),
        "init_from_model": ([pointer, ContextParams], pointer),
        "batch_get_one": ([tokens, integer], Batch),
        "decode": ([pointer, Batch], integer),
        "model_get_vocab": ([pointer], pointer),
        "vocab_n_tokens": ([pointer], integer),
        "get_logits_ith": ([pointer, integer], ctypes.POINTER(ctypes.c_float)),
    }
    for name, (takes, gives) in signatures.items():
        function = getattr(llama, f"llama_{name}")
        function.argtypes, function.restype = takes, gives
    return llama


def main() -> None:
    folder, gguf, prompt, count, threads = sys.argv[1:]
    llama = library(Path(folder))
    model = llama.llama_model_load_from_file(gguf.encode(), llama.llama_model_default_params())
    options = llama.llama_context_default_params()
    if options.n_ctx != CONTEXT:
        raise SystemExit("llama_context_params is another struct: give version 0.5.0")
    options.n_threads = options.n_threads_batch = int(threads)
    context = llama.llama_init_from_model(model, options)
    size = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))

    def next_of(ids: list[int]) -> int:
        tokens = (integer * len(ids))(*ids)
        if llama.llama_decode(context, llama.llama_batch_get_one(tokens, len(ids))) != 0:
            raise SystemExit("llama.cpp cannot decode")
        return int(np.ctypeslib.as_array(llama.llama_get_logits_ith(context, -1), (size,)).argmax())

    ids = [next_of(json.loads(prompt))]
    wall, processor = time.perf_counter(), time.process_time()
    while len(ids) < int(count):
        ids.append(next_of(ids[-1:]))
    told = {
        "ids": ids,
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
