import copy

import pytest
import torch
from expecttest import assert_expected_inline
from torch import Tensor, nn

from lowpeak import Artifact, compile_for_device, train
from lowpeak_compiler.budget.targets import TARGETS
from lowpeak_compiler.passes.lower.replace_inexact import REPLACEMENTS, ReplaceInexact
from lowpeak_compiler.passes.runner import Runner
from lowpeak_runtime.train.executorch_session import ExecuTorchProgram
from tests.evaluate import GraphBuilder, distance, evaluate

aten = torch.ops.aten
SIGMOID = ReplaceInexact(frozenset({aten.sigmoid.default}))


def graph_of_sigmoid(size: int):
    build = GraphBuilder()
    x = build.input("x", size)
    value = build.call(aten.sigmoid.default, x)
    return build.finish(build.call(aten.sum.default, value), value)


def test_dump():
    graph = graph_of_sigmoid(4)
    graph.gradients = ("x",)
    runner = Runner()
    runner.run(graph, [SIGMOID])
    assert runner.applied == {"ReplaceInexact": 1}
    assert_expected_inline(
        graph.dump(),
        """\
x: float32[4] = adapter x
neg_default: float32[4] = aten.neg.default(x)
exp_default: float32[4] = aten.exp.default(neg_default)
add_scalar: float32[4] = aten.add.Scalar(exp_default, 1)
reciprocal_default: float32[4] = aten.reciprocal.default(add_scalar)
sum_default: float32[] = aten.sum.default(reciprocal_default)
return sum_default, reciprocal_default""",
    )


def test_parity_for_every_size_of_operand():
    graph = graph_of_sigmoid(2001)
    x = torch.cat([torch.linspace(-80, 80, 2000), torch.tensor([-1000.0])])
    SIGMOID.run(graph)
    _, value = evaluate(graph, [x])
    expected = torch.sigmoid(x.double())
    assert distance(value, expected.float()) < 1e-7
    normal = expected > 1e-37
    assert ((value.double() - expected)[normal] / expected[normal]).abs().max() < 3e-7
    assert value[-1] == 0


def test_every_target_replaces_what_has_rules():
    for target in TARGETS.values():
        assert target.inexact <= REPLACEMENTS.keys()
    assert set().union(*(target.inexact for target in TARGETS.values())) == REPLACEMENTS.keys()


class Normed(nn.Module):
    """The norm of rows far from zero, whose gradient goes through the norm."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.norm = nn.Linear(6, 6), norm
        self.norm.requires_grad_(False)

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        y = self.norm(self.first(x) + offset)
        return (y * torch.linspace(-1, 2, 6, dtype=y.dtype) + y.pow(3)).mean()


NORMS = {
    "layer": lambda: nn.LayerNorm(6),
    "group": lambda: nn.GroupNorm(2, 6),
    "instance": lambda: nn.Sequential(nn.Unflatten(1, (2, 3)), nn.InstanceNorm1d(2), nn.Flatten(1)),
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_loss_and_gradients_of_norms_on_executorch(norm, offset, tmp_path):
    """Where eager float32 has lost digits by itself, ours are as near to float64 as eager's."""
    module, batch, artifact = compiled_norm(norm, offset, tmp_path, "executorch")
    program = ExecuTorchProgram(artifact.file("program.pte"), artifact.file("weights.ptd"), artifact.manifest)
    loss, gradients = step(copy.deepcopy(module).double(), {k: v.double() for k, v in batch.items()})
    eager_loss, eager = step(module, batch)
    ours = program.step(artifact.manifest.largest.batch.graph_inputs(batch))
    assert abs(ours - loss) <= max(1e-5 * abs(loss), 2 * abs(eager_loss - loss))
    for name, gradient in program.gradients.items():
        allowed = max(1e-5, 2 * distance(eager[name], gradients[name]))
        assert distance(gradient, gradients[name]) <= allowed, name


@pytest.mark.parametrize("norm", NORMS)
def test_loss_of_norms_on_onnxruntime(norm, tmp_path):
    module, batch, artifact = compiled_norm(norm, 1000.0, tmp_path, "onnxruntime")
    loss, _ = step(copy.deepcopy(module).double(), {k: v.double() for k, v in batch.items()})
    eager, _ = step(module, batch)
    report = train(artifact, [batch], steps=1, out=tmp_path / "run")
    assert abs(report.losses[0] - loss) <= max(1e-5 * abs(loss), 2 * abs(eager - loss))


def test_constant_rows_are_no_nan(tmp_path):
    _, _, artifact = compiled_norm("layer", 0.0, tmp_path, "executorch")
    batch = {"x": torch.zeros(8, 6), "offset": torch.full((8, 6), 12345.678)}
    program = ExecuTorchProgram(artifact.file("program.pte"), artifact.file("weights.ptd"), artifact.manifest)
    program.parameters["first.bias"].zero_()
    assert program.step(artifact.manifest.largest.batch.graph_inputs(batch)) == 0
    assert all(gradient.isfinite().all() for gradient in program.gradients.values())


def compiled_norm(norm, offset, folder, target) -> tuple[nn.Module, dict[str, Tensor], Artifact]:
    module = Normed(NORMS[norm]())
    batch = {"x": torch.randn(8, 6, generator=torch.Generator().manual_seed(2))}
    batch["offset"] = torch.full((8, 6), offset)
    artifact = compile_for_device(
        module, 100, example_batch=batch, quantization="none", target=target, out=folder / "artifact"
    )
    return module, batch, artifact


def step(module: nn.Module, batch: dict[str, Tensor]) -> tuple[float, dict[str, Tensor]]:
    loss = module(**batch)
    names, parameters = zip(*[(n, p) for n, p in module.named_parameters() if p.requires_grad], strict=True)
    return loss.item(), dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def test_rows_that_are_added_come_one_after_the_other():
    build = GraphBuilder()
    x, ids, rows = (
        build.input("x", 7, 4),
        build.input("ids", 2, 50, dtype=torch.int64),
        build.input("rows", 2, 50, 4),
    )
    graph = build.finish(build.call(aten.index_put.default, x, [ids], rows, True))
    values = [torch.randn(7, 4), torch.randint(0, 7, (2, 50)), torch.randn(2, 50, 4)]
    (expected,) = evaluate(graph, values)
    assert ReplaceInexact(frozenset({aten.index_put.default})).run(graph) == 1
    assert [node.target for node in graph.operations()][-1] is aten.scatter_add.default
    assert distance(evaluate(graph, values)[0], expected) < 1e-6
