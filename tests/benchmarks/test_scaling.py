"""How cost grows, and what other tools take: the arithmetic, and that every row can be measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import peers, scaling
from benchmarks.scaling import Row
from benchmarks.timing import jpeg
from resnet_demo.inference.engine import Engine
from resnet_demo.networks.checkpoints import available_networks


def test_exponents_are_slopes_of_logarithms() -> None:
    assert scaling.exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
    rows = [Row("side", n, n**2, 1.0, 5.0 * n, 7.0 * n**2) for n in (90, 180, 720)]
    rows += [Row("clients", n, 0.0, 1.0, 3.0 * n, 0.0) for n in (1, 4, 32)]
    found = scaling.exponents(rows)
    assert found == pytest.approx(
        {
            "side_exponent": 1,
            "side_over_work_exponent": 0.5,
            "side_memory_over_work_exponent": 1,
            "clients_exponent": 1,  # no work of a forward pass to compare with
        }
    )
    lines = scaling.table(rows).splitlines()
    assert len(lines) == 1 + len(rows)
    assert lines[1].split()[:2] == ["side", "90"]


def test_every_quantity_can_be_measured(weights_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "SIDES", (40, 80))
    monkeypatch.setattr(scaling, "DEPTHS", (18, 50))
    data = jpeg()
    rows = scaling.by_side(data, 1) + scaling.by_depth(data, 1)
    rows += scaling.by_channels(Engine(available_networks(weights_dir), "cpu"), data, 1)
    rows += scaling.by_clients(lambda clients: 10.0 * clients, 12.0)
    assert [row.what for row in rows[:4]] == ["side", "side", "BasicBlock", "Bottleneck"]
    assert rows[1].work == pytest.approx(4 * rows[0].work, rel=0.1)  # halved sides are rounded up
    assert all(row.ours > 0 for row in rows)
    assert all(row.megabytes > 0 for row in rows if row.what != "clients")
    assert rows[3].megabytes == pytest.approx(44.3, rel=0.01)  # in float16: nothing overflowed


def test_other_tools_that_are_not_installed_are_left_out_with_a_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def torchlens(*_: object) -> None:
        raise ImportError("no module named torchlens")

    for name in ("captum", "grad_cam", "mmengine", "matplotlib"):
        monkeypatch.setattr(peers, name, lambda *_: lambda: None)
    monkeypatch.setattr(peers, "torchlens", torchlens)
    found = peers.things(jpeg(), (1, 3, 48, 48))
    assert "torchlens" not in found
    assert "torchlens is left out" in capsys.readouterr().err
    found["forward"]()
    pictures = found["ours"]()
    assert len(pictures) == 6
    assert all("data:image/png" in picture for picture in pictures)
