"""How far each form of the loss is from the exact one: tiles, masked logits, a softmax over a subset.

    python -m benchmarks.loss [--seq-len 256] [--subset-sizes 1000,2000,4000] [--ratio 0.3]

Hidden rows, output matrix and labels are real: the demo model's last hidden states on two examples of its
data. Compared are the loss and its gradient by the hidden rows; an error is relative: the norm of the
difference over the norm.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from dataclasses import dataclass, replace
from importlib.metadata import version

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn.functional import cosine_similarity, cross_entropy, linear

from lowpeak.demo import demo_data
from lowpeak.demo_model import fetch_demo_model
from lowpeak_artifact.batch import IGNORE_INDEX, BatchSpec
from lowpeak_compiler.frontend.capture import capture
from lowpeak_compiler.frontend.differentiate import differentiate
from lowpeak_compiler.frontend.model.source import open_model
from lowpeak_compiler.ir.graph import Adapter, Batch, Constant
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.loss.lower_loss import LowerLoss
from lowpeak_compiler.passes.loss.mask_logits import MaskLogits
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from lowpeak_runtime.data.data import ExampleList, batches
from lowpeak_runtime.data.jsonl import read_jsonl
from lowpeak_runtime.data.subset import choose_subset

BATCH = 2
TILES = ((512, 49152), (512, 16384), (512, 4096), (128, 16384))
"""(rows of a chunk, columns of a tile)."""
MASKED_TILE = 16384


@dataclass(frozen=True)
class Rows:
    """`hidden` [rows, width], `head` [V, width], `targets` [rows], -100 for none, `labels` of the data."""

    hidden: Tensor
    head: Tensor
    targets: Tensor
    labels: Tensor


class Loss(nn.Module):
    """The hidden rows are what is trained, so that their gradient comes out."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.hidden = nn.Parameter(rows.hidden.clone())
        self.head = nn.Parameter(rows.head, requires_grad=False)

    def forward(self, targets: Tensor) -> Tensor:
        return cross_entropy(linear(self.hidden, self.head), targets)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seq-len", type=int, default=256)
    parser.add_argument("--subset-sizes", default="1000,2000,4000")
    parser.add_argument("--ratio", type=float, default=0.3)
    options = parser.parse_args()
    rows = demo_rows(options.seq_len)
    counted = int((rows.targets != IGNORE_INDEX).sum())
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {version('torch')}")
    print(f"{len(rows.hidden)} rows, {counted} with a label; head {list(rows.head.shape)}")
    tiled(rows)
    masked(rows, math.ceil(len(rows.hidden) * options.ratio))
    subsets(rows, [int(size) for size in options.subset_sizes.split(",")])


def tiled(rows: Rows) -> None:
    true_loss, true_gradient = torch_step(rows.hidden.double(), rows.head.double(), rows.targets)
    loss, gradient = torch_step(rows.hidden, rows.head, rows.targets)
    print(f"\nexact loss, {true_loss:.6f}; errors against torch in float64")
    print(f"{'rows x columns':>14} {'loss':>8} {'gradient':>9} {'seconds':>8}")
    print(f"{'torch float32':>14} {_off(loss, true_loss):8.1e} {_error(gradient, true_gradient):9.1e}")
    for chunk, tile in TILES:
        tile_loss, gradient, seconds = compiled_step(rows, chunk, tile)
        errors = f"{_off(tile_loss, true_loss):8.1e} {_error(gradient, true_gradient):9.1e}"
        print(f"{f'{chunk} x {tile}':>14} {errors} {seconds:8.2f}")


def masked(rows: Rows, most: int) -> None:
    """Logits for `most` rows, against logits for every row with the same labels."""
    counted = (rows.targets != IGNORE_INDEX).cumsum(0)
    few = replace(rows, targets=torch.where(counted <= most, rows.targets, IGNORE_INDEX))
    every, every_gradient, _ = compiled_step(few, len(rows.hidden), MASKED_TILE)
    loss, gradient, _ = compiled_step(few, most, MASKED_TILE, most)
    print(f"\nlogits for {most} of {len(rows.hidden)} rows, errors against logits for all")
    print(f"loss {_off(loss, every):.1e}, gradient {_error(gradient, every_gradient):.1e}")


def subsets(rows: Rows, sizes: list[int]) -> None:
    _, exact = torch_step(rows.hidden, rows.head, rows.targets)
    some = rows.targets != IGNORE_INDEX
    print("\nsoftmax over a subset: its gradient against the exact one")
    print(f"{'tokens':>7} {'chosen by':>24} {'loss':>7} {'cosine':>7} {'row, median':>12} {'row, least':>11}")
    for labels, whose in ((rows.targets[some].unique(), "batch"), (rows.labels, "data")):
        for size in sizes:
            chosen_by = f"{len(labels)} labels of the {whose}"
            if size < len(labels):
                print(f"{size:7} {chosen_by:>24} refused: more labels than tokens")
                continue
            subset = choose_subset(labels, rows.head, size)
            positions = torch.searchsorted(subset, rows.targets.clamp(min=0))
            positions = torch.where(some, positions, IGNORE_INDEX)
            loss, gradient = torch_step(rows.hidden, rows.head[subset], positions)
            row = cosine_similarity(gradient[some], exact[some], dim=1)
            whole = cosine_similarity(gradient.flatten(), exact.flatten(), dim=0)
            print(f"{size:7} {chosen_by:>24} {loss:7.4f} {whole:7.4f} {row.median():12.4f} {row.min():11.4f}")


def demo_rows(seq_len: int) -> Rows:
    """The model in eager float32 on the first batch of the demo data."""
    model = open_model(fetch_demo_model(lambda text: None))
    with demo_data() as data:
        examples = read_jsonl(data, model.load_tokenizer())
    source = ExampleList(examples)
    batch = next(batches(source, seq_lens=[seq_len], batch_size=BATCH, pad_token_id=0, seed=0)).tensors
    decoder = model.skeleton().model
    assert isinstance(decoder, nn.Module)
    values = {name: model.weights.dense(name) for name in model.weights.names()}
    own = {name.removeprefix("model."): value for name, value in values.items() if name != "lm_head.weight"}
    with torch.no_grad():
        hidden = functional_call(decoder, own, (), {"input_ids": batch["input_ids"]}).last_hidden_state
    targets = torch.full_like(batch["labels"], IGNORE_INDEX)
    targets[:, :-1] = batch["labels"][:, 1:]
    labelled = {label for example in examples for label in example.truncated(seq_len).labels}
    labels = torch.tensor(sorted(labelled - {IGNORE_INDEX}))
    return Rows(hidden.flatten(0, 1), values["lm_head.weight"], targets.flatten(), labels)


def torch_step(hidden: Tensor, head: Tensor, targets: Tensor) -> tuple[float, Tensor]:
    hidden = hidden.clone().requires_grad_()
    loss = cross_entropy(linear(hidden, head), targets)
    (gradient,) = torch.autograd.grad(loss, [hidden])
    return loss.item(), gradient


def compiled_step(rows: Rows, chunk: int, tile: int, most: int | None = None) -> tuple[float, Tensor, float]:
    """Loss, gradient and seconds of the compiler's graph, run in torch. `most`: rows that have logits."""
    forward = capture(Loss(rows), {"targets": (tuple(rows.targets.shape), torch.int64)})
    runner = Runner()
    runner.run(forward, [*([MaskLogits(most)] if most else []), ChunkedLoss()])
    joint = differentiate(forward)
    runner.run(joint, [Normalize(), LowerLoss(chunk, tile)])
    labels = rows.targets.roll(1)[None]
    batch = BatchSpec(True, 1, len(rows.targets), most).graph_inputs({"input_ids": labels, "labels": labels})
    values = []
    for _, role in joint.inputs():
        match role:
            case Batch(name):
                values.append(batch[name].flatten())
            case Constant():
                values.append(role.value)
            case Adapter():
                values.append(rows.hidden)
            case _:
                values.append(rows.head)
    interpreter = fx.Interpreter(fx.GraphModule({}, joint.graph))
    started = time.perf_counter()
    with torch.no_grad():
        loss, gradient = interpreter.run(*values)
    return loss.item(), gradient, time.perf_counter() - started


def _off(actual: float, expected: float) -> float:
    return abs(actual - expected) / expected


def _error(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).norm() / expected.norm()).item()


if __name__ == "__main__":
    main()
