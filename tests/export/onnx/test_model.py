"""The models of compiled artifacts: whole and small, equal to the simulator, run in the planned order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnxruntime.training.api import CheckpointState, Module
from torch import Tensor, nn

import lowpeak
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.layout import CONSTANTS, SAFETENSORS_WEIGHTS
from lowpeak_artifact.onnx_layout import CHECKPOINT, EVAL_MODEL, OPTIMIZER_MODEL, TRAINING_MODEL
from lowpeak_export.onnx.model import GRADIENT_BUFFER, GRADIENT_DONE, LOSS, RESET
from lowpeak_export.onnx.runtime import SESSION_OPTIONS, session_options
from lowpeak_runtime.simulate.execute import Execution, execute
from tests.evaluate import distance
from tests.export.onnx.compiled import adapted, onnx_artifact
from tests.test_api import Classifier, classifier_batch
from tests.tiny import tiny_llama, tiny_qwen2

MODELS = (TRAINING_MODEL, EVAL_MODEL, OPTIMIZER_MODEL)
MODEL_KINDS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "llama": (tiny_llama, {}),
    "qwen2 int8, two rows": (tiny_qwen2, {"quantization": "int8", "batch_size": 2}),
    "qwen2 dense": (lambda: tiny_qwen2(num_hidden_layers=1), {"quantization": "none"}),
}


@pytest.fixture(scope="module", params=MODEL_KINDS)
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    make, options = MODEL_KINDS[request.param]
    return onnx_artifact(tmp_path_factory.mktemp("model") / "artifact", adapted(make()), **options)


@pytest.fixture(scope="module")
def recomputing(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """In less memory than keeping everything takes, so that operations run twice."""
    shape = {"hidden_size": 64, "intermediate_size": 512, "max_position_embeddings": 256}
    folder = tmp_path_factory.mktemp("recomputing") / "artifact"
    artifact = onnx_artifact(folder, adapted(tiny_llama(**shape)), budget_mb=14, seq_len=256)
    assert artifact.manifest.largest.plan.recomputed_operations > 0
    return artifact


def simulated(artifact: Artifact) -> Execution:
    inputs = batch_of(artifact)
    return execute(artifact.graph(), inputs, artifact.adapter(), artifact.tensor, artifact.constants())


def batch_of(artifact: Artifact) -> dict[str, Tensor]:
    sample = artifact.sample()
    assert sample is not None
    return artifact.manifest.largest.batch.graph_inputs(sample, sample.get("token_subset"))


def loaded(artifact: Artifact, name: str) -> onnx.ModelProto:
    return onnx.load(artifact.file(name), load_external_data=False)


def session_on(
    artifact: Artifact, name: str, options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(artifact.file(name)), options, providers=["CPUExecutionProvider"])


def numpy_of(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def test_models_are_valid_and_of_the_versions_that_the_runtime_reads(artifact: Artifact) -> None:
    for name in MODELS:
        onnx.checker.check_model(artifact.file(name), full_check=name == EVAL_MODEL)
        model = loaded(artifact, name)
        assert model.ir_version == 10
        assert {opset.domain: opset.version for opset in model.opset_import} == {"": 21, "com.microsoft": 1}
    assert artifact.file(CHECKPOINT).stat().st_size > 0


def test_inputs_and_outputs_are_those_of_the_training_api(artifact: Artifact) -> None:
    model = loaded(artifact, TRAINING_MODEL)
    batch = [record.name for record in artifact.manifest.largest.inputs]
    adapter = [record.name for record in artifact.manifest.parameters]
    buffers = [GRADIENT_BUFFER.format(name) for name in adapter]
    assert sorted(each.name for each in model.graph.input) == sorted([*batch, *adapter, *buffers, RESET])
    assert [each.name for each in model.graph.output] == [LOSS, *map(GRADIENT_DONE.format, adapter)]
    state = CheckpointState.load_checkpoint(artifact.file(CHECKPOINT))
    for name, value in artifact.adapter().items():
        assert torch.equal(torch.from_numpy(state.parameters[name].data), value)
        assert state.parameters[name].requires_grad


def test_frozen_tensors_lie_in_the_weights_file(artifact: Artifact) -> None:
    stored = {record.offset: record for record in artifact.manifest.weights}
    for name in (TRAINING_MODEL, EVAL_MODEL):
        inside, files = 0, set()
        for tensor in loaded(artifact, name).graph.initializer:
            if tensor.data_location != onnx.TensorProto.EXTERNAL:
                inside += tensor.ByteSize()
                assert tensor.ByteSize() < 128, f"{tensor.name} lies in the model"
                continue
            place = {entry.key: entry.value for entry in tensor.external_data}
            files.add(place["location"])
            end = int(place["offset"]) + int(place["length"])
            assert end <= artifact.file(place["location"]).stat().st_size
        assert SAFETENSORS_WEIGHTS in files <= {SAFETENSORS_WEIGHTS, CONSTANTS}
        assert inside < 20_000
    assert stored, "there are no weights: nothing is tested"


def test_training_loss_and_gradients_are_the_simulators(artifact: Artifact) -> None:
    assert_equals_the_simulator(artifact)


@pytest.mark.parametrize(
    "options",
    [{"trainable_ratio": 0.4}, {"loss": "subset", "subset_size": 64}],
    ids=["some labels", "subset"],
)
def test_other_losses_are_the_simulators(options: dict[str, Any], tmp_path: Path) -> None:
    artifact = onnx_artifact(tmp_path / "a", adapted(tiny_qwen2(num_hidden_layers=1)), **options)
    assert_equals_the_simulator(artifact)


class Plain(Classifier):
    """Activations, and a head whose bias is frozen; that of the middle is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.norm.requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        hidden = nn.functional.silu(self.trunk(x))
        middle = nn.functional.relu(self.middle(hidden)) + torch.tanh(self.middle(hidden))
        return nn.functional.cross_entropy(self.head(middle), y)


def test_a_plain_module_is_the_simulators(tmp_path: Path) -> None:
    artifact = lowpeak.compile_for_device(
        Plain(), 20, example_batch=classifier_batch(), target="onnxruntime", out=tmp_path / "a"
    )
    assert_equals_the_simulator(artifact)


def assert_equals_the_simulator(artifact: Artifact) -> None:
    expected = simulated(artifact)
    state = CheckpointState.load_checkpoint(artifact.file(CHECKPOINT))
    module = Module(artifact.file(TRAINING_MODEL), state, session_options=session_options(SESSION_OPTIONS))
    module.train()
    inputs = batch_of(artifact)
    loss = module(*(inputs[name].numpy() for name in module.input_names()))
    assert float(loss) == pytest.approx(expected.loss, rel=1e-5)
    assert list(expected.gradients) == [record.name for record in artifact.manifest.parameters]
    for name, gradient in expected.gradients.items():
        assert gradient.norm() > 0, f"the gradient of {name} is zero: nothing is tested"
        actual = torch.from_numpy(state.parameters[name].grad)
        assert distance(actual, gradient) < 1e-5, name


def test_the_eval_model_gives_the_loss(artifact: Artifact) -> None:
    session = session_on(artifact, EVAL_MODEL, session_options(SESSION_OPTIONS))
    (loss,) = session.run(None, numpy_of({**batch_of(artifact), **artifact.adapter()}))
    assert float(loss) == pytest.approx(simulated(artifact).loss, rel=1e-5)
    training = {node.name for node in loaded(artifact, TRAINING_MODEL).graph.node}
    evaluation = {node.name for node in loaded(artifact, EVAL_MODEL).graph.node}
    assert len(evaluation) < len(training) and evaluation <= training


def executed(artifact: Artifact, folder: Path, options: onnxruntime.SessionOptions) -> list[str]:
    """Names of the nodes that a step of the training model runs, in the order of their start."""
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = session_on(artifact, TRAINING_MODEL, options)
    adapter = artifact.adapter()
    buffers = {GRADIENT_BUFFER.format(name): torch.zeros_like(value) for name, value in adapter.items()}
    inputs = {**batch_of(artifact), **adapter, **buffers, RESET: torch.ones(1, dtype=torch.bool)}
    loss, *_ = session.run(None, numpy_of(inputs))
    assert float(loss) == pytest.approx(simulated(artifact).loss, rel=1e-4)
    events = json.loads(Path(session.end_profiling()).read_text())
    ran = [event for event in events if event.get("name", "").endswith("_kernel_time")]
    return [
        event["name"].removesuffix("_kernel_time") for event in sorted(ran, key=lambda event: event["ts"])
    ]


def operations_of(nodes: list[str]) -> list[str]:
    """Nodes of one operation are name, name.1, name.2 ... in this order, without others between them."""
    result: list[str] = []
    part = 0
    for node in nodes:
        name, _, number = node.partition(".")
        if number:
            part += 1
            assert result[-1] == name and number == str(part), f"{node} does not follow {result[-1]}"
        else:
            part = 0
            result.append(name)
    return result


def planned(artifact: Artifact) -> list[str]:
    return [operation.node for operation in artifact.graph().operations if not operation.view]


def of_the_plan(nodes: list[str]) -> list[str]:
    """Without what the training API adds: gradients into their buffers, the loss without axes."""
    return [name for name in nodes if ".accumulate." not in name and name != LOSS]


def test_operations_run_in_the_planned_order(artifact: Artifact, tmp_path: Path) -> None:
    assert_order(artifact, tmp_path)


def test_recomputations_run_in_the_planned_order(recomputing: Artifact, tmp_path: Path) -> None:
    assert_order(recomputing, tmp_path)


def assert_order(artifact: Artifact, tmp_path: Path) -> None:
    nodes = executed(artifact, tmp_path, session_options(artifact.manifest.session_options))
    operations, expected = operations_of(of_the_plan(nodes)), planned(artifact)
    assert [name for name in operations if name in set(expected)] == expected
    assert len(expected) == len(set(expected)) > 100
    views = {operation.node for operation in artifact.graph().operations if operation.view}
    assert set(operations) - set(expected) <= views
    file = [node.name for node in loaded(artifact, TRAINING_MODEL).graph.node]
    assert nodes == file


def test_a_gradient_is_taken_by_the_node_behind_its_operation(artifact: Artifact, tmp_path: Path) -> None:
    nodes = executed(artifact, tmp_path, session_options(artifact.manifest.session_options))
    graph = artifact.graph()
    views = {operation.node: operation.args[0].name for operation in graph.operations if operation.view}
    for name, gradient in zip(graph.gradients, graph.results[1:], strict=True):
        place = nodes.index(f"{gradient}.accumulate.{name}")
        while ".accumulate." in nodes[place]:
            place -= 1
        while gradient in views:
            gradient = views[gradient]
        assert nodes[place].partition(".")[0] == gradient


def test_default_options_keep_neither_order_nor_count(recomputing: Artifact, tmp_path: Path) -> None:
    """So that the equality above says something, and the manifest's options are needed."""
    nodes = executed(recomputing, tmp_path, onnxruntime.SessionOptions())
    expected = planned(recomputing)
    left = set(of_the_plan(nodes)) & set(expected)
    assert len(left) < len(expected)
    assert [name for name in nodes if name in left] != [name for name in expected if name in left]


def test_recomputations_are_nodes_of_their_own(recomputing: Artifact) -> None:
    names = [node.name for node in loaded(recomputing, TRAINING_MODEL).graph.node]
    again = [name for name in planned(recomputing) if "recomputed" in name]
    assert len(again) >= recomputing.manifest.largest.plan.recomputed_operations > 0
    assert set(again) <= set(names)


class Bessel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.i1(self.layer(x)).sum()


def test_an_operator_without_a_mapping_ends_the_compilation(tmp_path: Path) -> None:
    with pytest.raises(lowpeak.UnsupportedOperator, match=r"special_i1.*has no mapping to ONNX") as refused:
        lowpeak.compile_for_device(
            Bessel(),
            40,
            example_batch={"x": torch.ones(2, 4)},
            target="onnxruntime",
            out=tmp_path / "a",
        )
    assert "special_i1" in str(refused.value.numbers["operator"])
    assert not (tmp_path / "a").exists()
