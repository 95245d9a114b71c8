"""Gradients of fresh networks against loops written anew, and what is stored of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from resnet_demo.panels.learn.gradient_acts import act_sentences, acts_html, change
from resnet_demo.race.data import load
from resnet_demo.race.gradients import (
    LAGS,
    autocorrelation,
    block_gradients,
    derivatives,
    gradient_acts,
    line,
    settled,
)
from resnet_demo.race.networks import build
from resnet_demo.race.stored_gradients import DEPTHS, stored_gradients


def test_norms_are_those_of_a_pass_written_anew() -> None:
    digits = load("digits")
    x, y = torch.from_numpy(digits.train[:64]), torch.from_numpy(digits.train_labels[:64])
    for kind, norms in (("plain", False), ("plain", True), ("residual", True)):
        network = build(kind, 4, 0, norms=norms)
        values = [x]
        for module in [network.stem, *network.blocks]:
            values.append(module(values[-1]))
            values[-1].retain_grad()
        cross_entropy(network.linear(values[-1].mean((2, 3))), y).backward()
        expected = [float(value.grad.norm()) for value in values[1:]]
        assert block_gradients(build(kind, 4, 0, norms=norms), x, y) == pytest.approx(expected, rel=1e-4)


def test_a_derivative_is_the_slope_of_the_logit() -> None:
    digits = load("digits")
    network = settled(build("residual", 3, 1), digits).double()
    pictures = line(digits, 2).double()
    slopes = derivatives(network, pictures)
    with torch.no_grad():
        logits = network(pictures)[:, 0].numpy()
    apart = float((pictures[-1] - pictures[0]).norm()) / 255
    # the logit is what its slopes add up to
    assert logits[-1] - logits[0] == pytest.approx((slopes[1:] + slopes[:-1]).sum() / 2 * apart, rel=0.02)


def test_white_noise_has_no_memory_and_brown_noise_has_one() -> None:
    rng = np.random.default_rng(0)
    white = rng.normal(size=20_000)
    assert np.abs(autocorrelation(white)).max() < 0.03
    brown = np.cumsum(white[:256])
    assert autocorrelation(brown)[0] > 0.9
    assert np.array_equal(autocorrelation(np.ones(9), 3), np.ones(3))


def test_what_is_stored_was_measured() -> None:
    found = stored_gradients()
    assert list(found) == [str(depth) for depth in DEPTHS]
    again = gradient_acts(5)
    for act, norms in again.norms.items():
        assert found["5"]["norms"][act] == pytest.approx(norms, rel=1e-2)
    for depth, told in found.items():
        assert told["blocks"] == int(depth)
        assert all(len(trace) == 256 and max(map(abs, trace)) == 1 for trace in told["traces"].values())
        assert all(len(values) == LAGS for values in told["correlations"].values())


def test_the_lesson_is_in_the_numbers() -> None:
    deep = stored_gradients()["50"]
    norms, alike = deep["norms"], deep["correlations"]
    assert norms["without_norms"][0] < 1e-10 * norms["without_norms"][-1]
    assert norms["with_norms"][0] > 1e4 * norms["with_norms"][-1]
    assert norms["with_norms"][0] > 1e3 * norms["residual"][0]
    assert norms["rezero"][:-1] == pytest.approx([norms["rezero"][0]] * 50)  # ReLUs let no more through
    assert abs(alike["plain"][0]) < 0.1 < 0.5 < alike["residual"][0] < alike["shallow"][0]


def test_sentences_follow_the_numbers() -> None:
    assert change([1.0, 1.01]) == "It keeps its size"
    assert change([0.0, 1.0]).startswith("It dies")
    assert change([5.0, 1.0]) == "It grows 5.0-fold" and change([1.0, 5.0]) == "It shrinks 5.0-fold"
    assert change([1e7, 1.0]) == "It grows about 10⁷-fold"
    norms = {
        "without_norms": [1.0, 2.0],
        "with_norms": [9.0, 1.0],
        "residual": [3.0, 1.0],
        "rezero": [1.0, 1.0],
    }
    assert act_sentences(norms)["residual"] == (
        "It grows 3.0-fold; with branches that start at zero (ReZero) it keeps its size."
    )
    html = acts_html(
        {"5": {"norms": norms, "correlations": {n: [0.5] for n in ("shallow", "plain", "residual")}}}
    )
    assert "It grows 9.0-fold." in html and "0.50 with one block" in html
