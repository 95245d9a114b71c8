"""The shape trace: shapes, FLOPs, parameters and times by hooks that do not stay."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from resnet_demo.analysis.layer_summary import stages, time_layers, trace_layers, with_times
from resnet_demo.networks.resnet import ResNet, count_parameters
from resnet_demo.tools.trace import main, trace_lines


def hooks_on(model: torch.nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_trace_prints_the_notebooks_five_lines() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "resnet_demo.tools.trace"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "input   - torch.Size([1, 3, 180, 180])",
        "blocks  - torch.Size([1, 512, 6, 6])",
        "avgpool - torch.Size([1, 512, 1, 1])",
        "flatten - torch.Size([1, 512])",
        "linear  - torch.Size([1, 1])",
    ]


def test_trace_of_other_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    main(["97", "131", "--channels", "1", "--batch", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["input   - torch.Size([2, 1, 97, 131])", "blocks  - torch.Size([2, 512, 4, 5])"]
    assert trace_lines(3, 1, 1)[1] == "blocks  - torch.Size([1, 512, 1, 1])"


@pytest.mark.parametrize("arguments", [["0"], ["180", "-3"], ["--channels", "0"], ["wide"]])
def test_impossible_sizes_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_flops_and_parameters_are_those_counted_by_hand() -> None:
    model = ResNet(3, widths=(4, 6))
    trace = trace_layers(model, torch.zeros(2, 3, 10, 8))
    by_name = {line.name: line for line in trace}
    assert [line.name for line in trace] == ["input", "blocks.0", "blocks.1", "avgpool", "flatten", "linear"]
    first = 2 * (10 * 8 * 9 * 3 * 4 + 10 * 8 * 9 * 4 * 4 + 5 * 4 * 3 * 4)  # conv1, conv2, shortcut
    assert by_name["blocks.0"].flops == first
    assert by_name["blocks.0"].shape == (4, 5, 4)
    assert by_name["linear"].flops == 2 * 6
    assert sum(line.parameters for line in trace) == count_parameters(model)
    assert hooks_on(model) == 0


def test_frozen_parameters_count_too() -> None:
    model = ResNet(3, widths=(4,)).requires_grad_(False)
    assert count_parameters(model) > 0


def test_tracing_gives_the_model_back_as_it_was_even_if_it_fails() -> None:
    model = ResNet(3, widths=(4, 6)).train()
    with pytest.raises(RuntimeError):
        trace_layers(model, torch.zeros(1, 5, 8, 8))
    assert model.training
    assert hooks_on(model) == 0


def test_times_are_taken_for_every_layer() -> None:
    model = ResNet(3, widths=(4, 6)).eval()
    x = torch.zeros(1, 3, 40, 40)
    trace = trace_layers(model, x)
    with time_layers(stages(model), torch.device("cpu")) as spent:
        model(x)
    timed = with_times(trace, spent)
    assert timed[0].milliseconds is None
    assert all(line.milliseconds is not None and line.milliseconds > 0 for line in timed[1:])
    with pytest.raises(KeyError), time_layers(stages(model), torch.device("cpu")):
        raise KeyError
    assert hooks_on(model) == 0
