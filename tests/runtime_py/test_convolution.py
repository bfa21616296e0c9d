"""The gradient of a frozen convolution is a transposed one, which the stock kernels have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lowpeak import compile_for_device
from lowpeak_runtime.train.executorch_session import ExecuTorchProgram
from tests.models import Function


def test_a_convolution_in_the_runtime(tmp_path: Path) -> None:
    def loss(m: nn.Module, x: Tensor) -> Tensor:
        return (m.last(m.first(m.a(x).transpose(1, 2))[..., :9]) ** 2).mean()

    torch.manual_seed(0)
    first = nn.Conv1d(4, 4, 3, padding=2, groups=4).requires_grad_(False)
    last = nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2).requires_grad_(False)
    module, batch = Function(loss, a=nn.Linear(4, 4), first=first, last=last), {"x": torch.randn(2, 9, 4)}
    artifact = compile_for_device(
        module, 100, example_batch=batch, quantization="none", out=tmp_path / "artifact"
    )
    program = ExecuTorchProgram(artifact.file("program.pte"), artifact.file("weights.ptd"), artifact.manifest)
    expected = module(**batch)
    expected.backward()
    assert program.step(batch) == pytest.approx(expected.item(), rel=1e-5)
    for name, gradient in program.gradients.items():
        torch.testing.assert_close(gradient, module.get_parameter(name).grad, rtol=1e-4, atol=1e-7)
