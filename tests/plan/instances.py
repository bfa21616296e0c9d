"""Instances for tests and benchmarks: the shape of a checkpointed training step, and random live ranges."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from lowpeak_compiler.plan.place.problem import Buffer, MemoryProblem


def training_step(layers: int, tiles: int, seed: int, alignment: int = 64) -> MemoryProblem:
    """One forward and backward of a decoder with LoRA, checkpointed per layer and tiled over tokens.

    About layers x (26 + 40 x tiles) buffers. Adapters live the whole step, gradients from their
    definition to the end, a checkpoint of layer i from its forward to its backward, K/V and their gradients
    for one layer, everything else for a few steps. `seed` draws widths, ranks and what is checkpointed.
    """
    rng = random.Random(seed)
    rows = rng.choice([48, 64, 100, 128, 256])
    hidden = rng.choice([576, 960, 2048, 3072]) * 4
    key_value = hidden // rng.choice([1, 3, 4, 8])
    mlp = int(hidden * rng.choice([2.67, 3, 3.5, 4]))
    rank = rng.choice([4, 8, 16])
    targets = rng.choice([2, 4, 7])
    keeps_attention = rng.random() < 0.5
    recorded: list[tuple[str, int, int, int]] = []
    live: dict[str, tuple[int, int]] = {}
    clock = 0

    def step(define: dict[str, int], kill: tuple[str, ...] = ()) -> None:
        """Define values (name -> bytes) in this step; those in `kill` are read for the last time."""
        nonlocal clock
        live.update({name: (clock, size) for name, size in define.items()})
        clock += 1
        for name in kill:
            start, size = live.pop(name)
            recorded.append((name, start, clock, size))

    widths = [hidden if target % 2 else mlp for target in range(targets)]
    step(
        {
            f"adapter.{layer}.{target}.{side}": rank * (hidden if side == "a" else width)
            for layer in range(layers)
            for target, width in enumerate(widths)
            for side in "ab"
        }
    )
    step({f"checkpoint.0.{tile}": rows * hidden for tile in range(tiles)})

    def forward_tile(prefix: str, tag: str, tile: int, residual: str) -> None:
        """Recomputable part of a layer for one tile, up to the activated MLP."""
        step({f"{prefix}norm{tag}": rows * hidden, f"{prefix}var{tag}": rows * 4})
        step({f"{prefix}q{tag}": rows * hidden, f"{prefix}lora_q{tag}": rows * rank * 4})
        step({f"{prefix}attention{tag}": rows * hidden, f"{prefix}lse{tag}": rows * 96})
        step({f"{prefix}residual{tag}": rows * hidden}, (f"{prefix}norm{tag}", f"{prefix}lora_q{tag}"))
        step({f"{prefix}norm2{tag}": rows * hidden}, (f"{prefix}var{tag}",))
        step({f"{prefix}gate{tag}": rows * mlp})
        step({f"{prefix}up{tag}": rows * mlp, f"{prefix}lora_up{tag}": rows * rank * 4})
        step({f"{prefix}act{tag}": rows * mlp}, (f"{prefix}lora_up{tag}",))

    for layer in range(layers):
        for tile in range(tiles):
            tag = f".{layer}.{tile}"
            step({f"knorm{tag}": rows * hidden})
            step({f"k{tag}": rows * key_value})
            step({f"v{tag}": rows * key_value}, (f"knorm{tag}",))
        for tile in range(tiles):
            tag = f".{layer}.{tile}"
            forward_tile("f.", tag, tile, f"checkpoint{tag}")
            step({f"checkpoint.{layer + 1}.{tile}": rows * hidden}, (f"f.gate{tag}", f"f.up{tag}"))
            step({}, (f"f.act{tag}", f"f.norm2{tag}", f"f.residual{tag}", f"f.q{tag}"))
            if keeps_attention:
                live[f"kept{tag}"] = live[f"f.attention{tag}"]
                del live[f"f.attention{tag}"]
                step({}, (f"f.lse{tag}",))
            else:
                step({}, (f"f.attention{tag}", f"f.lse{tag}"))
        step({}, tuple(f"{name}.{layer}.{tile}" for name in "kv" for tile in range(tiles)))

    vocabulary_rows = rng.choice([16, 32, rows])
    for tile in range(tiles):
        step({f"logits.{tile}": vocabulary_rows * hidden * rng.choice([4, 10])})
        step({f"dlogits.{tile}": live[f"logits.{tile}"][1]}, (f"logits.{tile}",))
        step(
            {f"dhidden.{layers}.{tile}": rows * hidden},
            (f"dlogits.{tile}", f"checkpoint.{layers}.{tile}"),
        )
    for layer in reversed(range(layers)):
        for tile in range(tiles):
            tag = f".{layer}.{tile}"
            step({f"rk{tag}": rows * key_value, f"rv{tag}": rows * key_value})
        step({f"{name}.{layer}.{tile}": rows * key_value for name in ("dk", "dv") for tile in range(tiles)})
        for tile in reversed(range(tiles)):
            tag = f".{layer}.{tile}"
            incoming = f"dhidden.{layer + 1}.{tile}"
            forward_tile("b.", tag, tile, f"checkpoint{tag}")
            step({f"dact{tag}": rows * mlp}, (f"b.act{tag}",))
            step({f"dgate{tag}": rows * mlp}, (f"b.gate{tag}",))
            step({f"dup{tag}": rows * mlp}, (f"dact{tag}", f"b.up{tag}"))
            if tile == tiles - 1:
                step(
                    {
                        f"grad.{layer}.{t}.{s}": live[f"adapter.{layer}.{t}.{s}"][1]
                        for t in range(targets)
                        for s in "ab"
                    }
                )
            step({f"dnorm2{tag}": rows * hidden}, (f"dgate{tag}", f"dup{tag}", f"b.norm2{tag}"))
            step({f"dresidual{tag}": rows * hidden}, (f"dnorm2{tag}", incoming, f"b.residual{tag}"))
            step({f"dattention{tag}": rows * hidden})
            kept = (f"kept{tag}",) if keeps_attention else ()
            step({f"dq{tag}": rows * hidden}, (f"dattention{tag}", f"b.attention{tag}", f"b.lse{tag}", *kept))
            step({f"dhidden{tag}": rows * hidden}, (f"dq{tag}", f"b.q{tag}"))
            ended = tuple(f"{name}{tag}" for name in ("rk", "rv", "dk", "dv", "dresidual", "checkpoint"))
            step({}, ended)
    step({}, tuple(live))
    return MemoryProblem(tuple(Buffer(*value, alignment=alignment) for value in recorded))


def random_live_ranges(count: int, seed: int, mean_lifetime: int = 40) -> MemoryProblem:
    """`count` buffers of skewed sizes and mostly short live ranges; two percent live far longer."""
    rng = random.Random(seed)
    buffers = []
    for index in range(count):
        long_lived = rng.random() < 0.02
        lifetime = 1 + int(count / 3 * rng.random() if long_lived else rng.expovariate(1 / mean_lifetime))
        lower = rng.randrange(count)
        size = int(2 ** rng.uniform(4, 16)) if long_lived else int(2 ** rng.uniform(6, 22))
        buffers.append(Buffer(str(index), lower, lower + lifetime, size, rng.choice([1, 16, 64])))
    return MemoryProblem(tuple(buffers))


def problems() -> st.SearchStrategy[MemoryProblem]:
    """Up to 20 buffers in 12 steps, some without bytes, of odd sizes and mixed alignments."""
    fields = st.tuples(
        st.integers(0, 8), st.integers(1, 4), st.integers(0, 40), st.sampled_from([1, 3, 8, 16])
    )
    return st.lists(fields, min_size=1, max_size=20).map(
        lambda rows: MemoryProblem(
            tuple(
                Buffer(str(index), lower, lower + lifetime, size, alignment)
                for index, (lower, lifetime, size, alignment) in enumerate(rows)
            )
        )
    )
