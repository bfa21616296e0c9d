import torch
from expecttest import assert_expected_inline

from compiler.passes.runner import Runner
from compiler.passes.sigmoid_by_exp import SigmoidByExp
from tests.evaluate import GraphBuilder, distance, evaluate

aten = torch.ops.aten


def graph_of_sigmoid(size: int):
    build = GraphBuilder()
    x = build.input("x", size)
    value = build.call(aten.sigmoid.default, x)
    return build.finish(build.call(aten.sum.default, value), value)


def test_dump():
    graph = graph_of_sigmoid(4)
    graph.gradients = ("x",)
    runner = Runner()
    runner.run(graph, [SigmoidByExp()])
    assert runner.applied == {"SigmoidByExp": 1}
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
    SigmoidByExp().run(graph)
    _, value = evaluate(graph, [x])
    expected = torch.sigmoid(x.double())
    assert distance(value, expected.float()) < 1e-7
    normal = expected > 1e-37
    assert ((value.double() - expected)[normal] / expected[normal]).abs().max() < 3e-7
    assert value[-1] == 0
