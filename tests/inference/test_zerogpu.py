"""ZeroGPU, imitated: the network runs in a fork that alone has the GPU, and answers as it does here.

``tests/zerogpu/spaces.py`` stands in for the package that the platform has installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import draw_photo
from test_public import jpeg

from resnet_demo.inference import zerogpu
from resnet_demo.inference.engine import NO_GPU, Engine, EngineError
from resnet_demo.inputs.photo_decoding import open_photo
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.records import Gate
from resnet_demo.tools.app_process import ROOT, Server, Visitor, free_port

IMITATION = Path(__file__).resolve().parents[1] / "zerogpu"


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """The real app as the platform starts it, and the folder in which the imitation keeps its log."""
    folder = tmp_path_factory.mktemp("zerogpu")
    port = free_port()
    told = {
        "SPACES_ZERO_GPU": "true",
        "SPACE_ID": "someone/resnet-demo",
        "SYSTEM": "spaces",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SSR_MODE": "True",
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
        "TORCH_HOME": str(folder / "torch"),
        "IMITATION": str(folder),
        "PYTHONPATH": str(IMITATION),
    }
    before = dict(os.environ)
    os.environ.update(told)
    try:
        server = Server(port)
    finally:
        os.environ.clear()
        os.environ.update(before)
    yield server, folder
    server.process.terminate()
    try:
        assert server.process.wait(20) == 0
    finally:
        server.process.kill()


def log(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


def close(ours: dict, theirs: dict) -> None:
    assert theirs["label"] == ours["label"]
    assert theirs["logit"] == pytest.approx(ours["logit"], abs=1e-4)
    for mine, other in zip(ours["blocks"], theirs["blocks"], strict=True):
        assert other["shape"] == mine["shape"]
        assert other["cosine"] == pytest.approx(mine["cosine"], abs=1e-4)
        assert other["residual_norm"] == pytest.approx(mine["residual_norm"], rel=1e-4)


def here() -> dict:
    from resnet_demo.serialize import run_as_dict

    return run_as_dict(Engine(available_networks(), "cpu").run(open_photo(jpeg(1))))


@pytest.mark.timeout(120)
def test_the_answer_is_the_one_that_it_gives_here(space: tuple[Server, Path]) -> None:
    server, folder = space
    assert log(folder)[:2] == ["moved before launch", "startup report"]
    theirs = Visitor(server.url).ask(jpeg(1))
    close(here(), theirs)
    assert theirs["device"] == "CUDA (NVIDIA Imitation)"  # so it did run there
    assert log(folder)[2:] == [f"call for {zerogpu.SECONDS} s", "forked"]


@pytest.mark.timeout(120)
def test_visitors_at_once_each_get_their_own_answer(space: tuple[Server, Path]) -> None:
    server, folder = space
    alone = [Visitor(server.url).ask(jpeg(seed))["logit"] for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda seed: Visitor(server.url).ask(jpeg(seed)), range(4)))
    assert [answer["logit"] for answer in answers] == pytest.approx(alone, abs=1e-4)
    assert {answer["device"] for answer in answers} == {"CUDA (NVIDIA Imitation)"}
    calls = [line for line in log(folder) if line.startswith("call")]
    assert 1 <= log(folder).count("forked") < len(calls)  # a fork that is idle is used again


@pytest.mark.timeout(120)
def test_without_a_gpu_it_runs_on_the_cpu(space: tuple[Server, Path]) -> None:
    server, folder = space
    (folder / "used-up").touch()
    try:
        theirs = Visitor(server.url).ask(jpeg(1))
    finally:
        (folder / "used-up").unlink()
    assert log(folder)[-1] == "refused"
    close(here(), theirs)
    assert theirs["device"] == "CPU"
    assert Visitor(server.url).ask(jpeg(1))["device"] == "CUDA (NVIDIA Imitation)"


def test_lesions_gates_and_networks_chosen_later_run_there_too(tmp_path: Path) -> None:
    """In one process, without the page: what the engine asks of the fork, and what of itself."""
    code = """
import gradio as gr, numpy as np
from resnet_demo.inference import zerogpu
from resnet_demo.inference.lazy import Deferred
def build():
    from resnet_demo.inference.engine import Engine
    from resnet_demo.networks.checkpoints import available_networks
    path = next(iter(available_networks().values()))  # one that sees
    return Engine({"first": path, "later": path}, "cpu")
engine = Deferred(build)
zerogpu.borrow(engine)
with gr.Blocks() as demo:
    pass
demo.launch(prevent_thread_lock=True, quiet=True)
from resnet_demo.inference.engine import Engine, Gate
from conftest import draw_photo
lent, plain = engine.get(), build()
gates = [Gate(residual=0), *[Gate()] * 4]
for name in ("first", "later", "first"):
    for chosen in ((), gates):
        ours, theirs = plain.run(draw_photo(1), name, chosen), lent.run(draw_photo(1), name, chosen)
        assert theirs.device.startswith("CUDA") and not theirs.notice, (theirs.device, theirs.notice)
        assert abs(ours.prediction.logit - theirs.prediction.logit) < 1e-4
        assert [line.name for line in ours.trace] == [line.name for line in theirs.trace]
        assert all(line.milliseconds is not None for line in theirs.trace[1:])
        assert np.allclose(ours.activation.places, theirs.activation.places, atol=1e-3)
        assert ours.read_outs and len(ours.read_outs) == len(theirs.read_outs)
    assert np.allclose(plain.ablation(ours).paths, lent.ablation(theirs).paths, atol=1e-4)
assert lent.run(draw_photo(1), here=True).device == "CPU"
"""
    environment = {
        **os.environ,
        "SPACES_ZERO_GPU": "1",
        "IMITATION": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(IMITATION), str(ROOT), str(ROOT / "tests")]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert log(tmp_path).count("forked") == 1
    assert log(tmp_path).count("moved in a fork") == 1  # the network chosen later
    assert len([line for line in log(tmp_path) if line.startswith("call")]) == 9


def test_elsewhere_is_ignored_when_nothing_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, expected in (("", False), ("0", False), ("1", True), ("true", True), ("TRUE", True)):
        monkeypatch.setenv("SPACES_ZERO_GPU", value)
        assert zerogpu.lent() is expected
    monkeypatch.delenv("SPACES_ZERO_GPU")
    assert not zerogpu.lent()


def test_what_fails_elsewhere_is_done_here_and_said(weights_dir: Path) -> None:
    engine = Engine(available_networks(weights_dir), "cpu")
    plain = engine.run(draw_photo(3))

    def fails(*_: object) -> None:
        raise ValueError("no GPU")

    engine.elsewhere = fails
    gates = [Gate(residual=0), *[Gate()] * 4]
    run = engine.run(draw_photo(3))
    assert run.prediction == plain.prediction
    assert run.notice == NO_GPU
    assert engine.run(run.photo, gates=gates).notice == NO_GPU
    assert engine.ablation(run).paths.shape == (32,)
    assert engine.run(run.photo, here=True).notice == ""  # nobody expected a GPU
    with pytest.raises(EngineError, match="no network called"):
        engine.run(draw_photo(3), "none")
