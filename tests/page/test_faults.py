"""When something fails inside: no hook left, no lock held, no gate left set, no other visitor's answer
changed."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from conftest import draw_photo
from test_public import jpeg

from resnet_demo.inference.engine import Engine, EngineError
from resnet_demo.inference.forward import to_tensor
from resnet_demo.inference.lazy import Deferred
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.panels.base import sentence_of
from resnet_demo.records import Gate
from resnet_demo.tools.app_process import Visitor

FAULTS = [
    RuntimeError("boom"),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
    ValueError("a bug"),
    KeyError("another"),
]
CLOSED = (Gate(residual=0), Gate(), Gate(shortcut=0.5), Gate(), Gate())


@pytest.fixture
def engine(weights_dir: Path) -> Engine:
    return Engine(available_networks(weights_dir), "cpu")


def untouched(engine: Engine) -> None:
    """Nothing of a run stays on the model."""
    network = engine.network()
    assert not network.lock.locked()
    for module in network.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
        assert not module.training
    assert not any(p.requires_grad for p in network.model.parameters())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("where", ["blocks.0.conv1", "blocks.2.downsample", "blocks.4", "linear"])
def test_a_fault_anywhere_in_the_network_leaves_nothing_behind(
    engine: Engine, where: str, fault: Exception
) -> None:
    photo = draw_photo(1)
    before = engine.run(photo)
    module = engine.network().model.get_submodule(where)
    forward = module.forward

    def fail(*_args: object) -> torch.Tensor:
        raise fault

    module.forward = fail
    for gates in ((), CLOSED):
        with pytest.raises((EngineError, type(fault))) as caught:
            engine.run(photo, gates=gates)
        sentence = sentence_of(caught.value)
        assert sentence.endswith(".")
        assert len(sentence) <= 200
        assert "boom" not in sentence
    with pytest.raises((EngineError, type(fault))):
        engine.ablation(before)
    module.forward = forward
    untouched(engine)
    after = engine.run(photo)
    assert after.prediction == before.prediction
    for one, other in zip(before.blocks, after.blocks, strict=True):
        assert np.array_equal(one.output, other.output)


def test_one_visitors_fault_is_not_anothers(engine: Engine) -> None:
    """Runs that fail between runs that do not."""
    photos = [draw_photo(seed, 60, 50) for seed in range(4)]
    expected = [engine.run(photo).prediction.logit for photo in photos]
    poison = draw_photo(99, 60, 50)
    network = engine.network()
    poisoned = to_tensor(engine.run(poison).photo, network.card.preprocessing)
    head = network.model.blocks[0]
    forward = head.forward

    def sometimes(x: torch.Tensor) -> torch.Tensor:
        if any(torch.equal(one, poisoned[0]) for one in x):  # alone, or in a pass with others
            raise RuntimeError("boom")
        return forward(x)

    head.forward = sometimes

    def come(i: int) -> bool:
        if i % 4 == 0:
            with pytest.raises(EngineError):
                engine.run(poison, gates=CLOSED if i % 8 else ())
            return True
        return engine.run(photos[i % 4]).prediction.logit == pytest.approx(expected[i % 4], abs=1e-5)

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(come, range(80)))
    head.forward = forward
    untouched(engine)


@pytest.fixture(scope="module")
def slow(
    weights_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Engine, threading.Event, threading.Event]]:
    """A server whose network waits, while told to, in the middle of its forward pass."""
    from resnet_demo import app
    from resnet_demo.page.layout import page_options

    engine = Engine(available_networks(weights_dir), "cpu")
    inside, go_on = threading.Event(), threading.Event()
    go_on.set()
    block = engine.network().model.blocks[2]
    forward = block.forward

    def wait(x: torch.Tensor) -> torch.Tensor:
        inside.set()
        go_on.wait(30)
        return forward(x)

    block.forward = wait
    deferred = Deferred(lambda: engine)
    demo = app.build_demo(deferred, weights_dir)
    deferred.start()
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **page_options())
    yield url.rstrip("/"), engine, inside, go_on
    go_on.set()
    demo.close()


def call(url: str) -> str:
    """Join the queue with a gated request: its event."""
    visitor = Visitor(url)
    photo = {"path": visitor.upload(jpeg(3)), "meta": {"_type": "gradio.FileData"}}
    gates = [[0, 1], [1, 1], [1, 0.5], [1, 1], [1, 1]]
    body = json.dumps({"data": [photo, None, gates]}).encode()
    status, text = visitor.request("POST", "/gradio_api/call/switch_off", body, "application/json")
    assert status == 200, text
    return str(json.loads(text)["event_id"])


@pytest.mark.parametrize("how", ["closed tab", "cancelled"])
def test_a_visitor_who_leaves_in_the_middle_leaves_nothing_behind(
    slow: tuple[str, Engine, threading.Event, threading.Event], how: str
) -> None:
    url, engine, inside, go_on = slow
    visitor = Visitor(url)
    expected = visitor.ask(jpeg(3))["logit"]
    inside.clear()
    go_on.clear()
    event = call(url)
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("GET", f"/gradio_api/call/switch_off/{event}")
    assert inside.wait(20)  # the network holds gates, hooks and lock now
    assert engine.network().lock.locked()
    if how == "cancelled":
        body = json.dumps({"event_id": event, "session_hash": "", "fn_index": 0}).encode()
        status, text = visitor.request("POST", "/gradio_api/cancel", body, "application/json")
        assert status < 500, text
    connection.close()
    go_on.set()
    assert visitor.ask(jpeg(3))["logit"] == expected
    deadline = time.monotonic() + 10
    while engine.network().lock.locked() and time.monotonic() < deadline:
        time.sleep(0.02)
    untouched(engine)
