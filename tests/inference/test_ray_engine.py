"""The networks on Ray Serve: the local engine's answers, and nobody notices a replica that dies.

Run on its own, after ``pip install -r requirements-ray.txt``: Ray starts processes that the other tests'
fixtures know nothing of.
"""

# ruff: noqa: E402
from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray", reason="Ray is not installed (requirements-ray.txt)")
pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

import torch
import yaml
from conftest import draw_photo, lively
from ray.exceptions import ActorDiedError
from rays import alive, children, cut, replicas, until
from test_public import jpeg

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.road_map import roadmap_html
from resnet_demo.drawing.streams import View
from resnet_demo.inference.engine import Engine, build_engine
from resnet_demo.inference.interface import (
    BUSY,
    FAILED,
    EngineConfig,
    EngineError,
    OwnCheckpoint,
    PhotoEngine,
    ReplicaConfig,
)
from resnet_demo.inference.ray_engine import TRIES, RayEngine
from resnet_demo.inference.ray_replica import Refused, deployment, stepwise, told
from resnet_demo.inputs.photo_decoding import open_photo
from resnet_demo.networks.checkpoints import Card, CheckpointError, save_checkpoint
from resnet_demo.networks.resnet import ResNet
from resnet_demo.panels.base import sentence_of
from resnet_demo.panels.explain.class_activation import activation_html
from resnet_demo.panels.explain.early_readout import decides_html
from resnet_demo.panels.look.block_diagram import how_html
from resnet_demo.panels.look.inside_block import inside_html
from resnet_demo.panels.own.compare import compare_html
from resnet_demo.panels.own.report import bundle
from resnet_demo.records import Gate, Preprocessing, Run
from resnet_demo.serialize import run_as_dict
from resnet_demo.tools.app_process import ROOT, Server, Visitor, free_port

CLOSED = (Gate(residual=0), Gate(), Gate(shortcut=0.5), Gate(), Gate())
STREAMS = ("residual", "shortcut", "pre_activation", "output")
CLUSTER = ROOT / "docs" / "ray" / "cluster.yaml"


@pytest.fixture(scope="module")
def local(weights_dir: Path) -> Engine:
    torch.set_num_threads(1)
    return build_engine(EngineConfig("cpu", weights_dir))


@pytest.fixture(scope="module")
def fleet(weights_dir: Path) -> Iterator[RayEngine]:
    """Two replicas on this machine."""
    engine = RayEngine(EngineConfig("cpu", weights_dir), ReplicaConfig(2, 2, cpus=0.9))
    yield engine
    engine.close()


def equal(one: Run, other: Run) -> None:
    """The same run, as near as sums in another order are the same."""
    assert one.prediction.label == other.prediction.label
    assert one.prediction.logit == pytest.approx(other.prediction.logit, abs=1e-5)
    assert one.prediction.chances == pytest.approx(other.prediction.chances, abs=1e-5)
    assert (one.network, one.device, one.classes) == (other.network, other.device, other.classes)
    assert np.array_equal(one.photo, other.photo)
    assert one.fields == other.fields
    for a, b in zip(one.blocks, other.blocks, strict=True):
        for norm in ("residual_norm", "shortcut_norm", "output_norm", "cosine"):
            assert getattr(a, norm) == pytest.approx(getattr(b, norm), rel=1e-5, abs=1e-5)
        for stream in STREAMS:
            x, y = getattr(a, stream), getattr(b, stream)
            assert (x.dtype, x.shape) == (y.dtype, y.shape)
            assert np.allclose(x, y, rtol=2**-10, atol=1e-4)  # one step of float16


def test_both_engines_are_what_the_page_asks_for(fleet: RayEngine, local: Engine) -> None:
    engines: tuple[PhotoEngine, PhotoEngine] = fleet, local
    assert engines[0].default == engines[1].default == "test-net"
    assert engines[0].info() == engines[1].info()
    assert len(replicas(fleet.name)) == 2


def test_answers_equal_the_local_engines(fleet: RayEngine, local: Engine) -> None:
    for seed in range(4):
        photo = draw_photo(seed)
        for gates in ((), CLOSED):
            ours, theirs = fleet.run(photo, gates=gates), local.run(photo, gates=gates)
            equal(ours, theirs)
            assert ours.gates == theirs.gates == gates
        assert ours.timings.total >= ours.timings.forward > 0
    again = fleet.run(ours.photo)  # the page sends a run's own photo when a slider moves
    equal(again, local.run(ours.photo))


def test_experiments_equal_the_local_engines(fleet: RayEngine, local: Engine) -> None:
    run = fleet.run(draw_photo(5))
    ours, theirs = fleet.ablation(run), local.ablation(run)
    assert ours.label == theirs.label
    for what in ("without_branch", "without_shortcut", "paths"):
        assert getattr(ours, what) == pytest.approx(getattr(theirs, what), abs=1e-5)
    progress: list[float] = []
    flow = fleet.gradient_flow(run, 6, True, progress.append)
    assert flow.with_shortcuts == pytest.approx(local.gradient_flow(run, 6, True).with_shortcuts, rel=1e-3)
    assert all(0 <= share <= 1 for share in progress)


def test_nothing_that_the_page_draws_writes_to_a_run(fleet: RayEngine, local: Engine) -> None:
    run = fleet.run(draw_photo(6))
    assert not any(getattr(block, stream).flags.writeable for block in run.blocks for stream in STREAMS)
    view = View(block=2)
    for html in (
        inside_html(run, view), roadmap_html(run, 2), activation_html(run), decides_html(run),
        compare_html(run, run, view), how_html(run, 2),
    ):  # fmt: skip
        assert "<" in html
    assert len(bundle(run, view, "")) > 10_000
    assert len(feature_maps.rank_channels(run.blocks[0].output, "variance", 6)) == 6
    theirs = local.run(run.photo)
    assert inside_html(run, view).count("<") == inside_html(replace(theirs), view).count("<")


def test_gates_belong_to_the_request(fleet: RayEngine, local: Engine) -> None:
    photos = [draw_photo(seed, 60, 50) for seed in range(3)]
    jobs = [(photos[i % 3], CLOSED if i % 4 == 0 else ()) for i in range(48)]
    alone = {(i, gates): local.run(p, gates=gates) for i, p in enumerate(photos) for gates in (CLOSED, ())}
    with ThreadPoolExecutor(6) as pool:
        runs = list(pool.map(lambda job: fleet.run(job[0], gates=job[1]), jobs))
    for i, (run, (_, gates)) in enumerate(zip(runs, jobs, strict=True)):
        assert run.gates == gates
        assert run.prediction.logit == pytest.approx(alone[i % 3, gates].prediction.logit, abs=1e-5)


def test_sentences_survive_the_trip(fleet: RayEngine, local: Engine) -> None:
    sentences = []
    for engine in (fleet, local):
        with pytest.raises(EngineError) as caught:
            engine.run(draw_photo(0), "x")
        sentences.append(sentence_of(caught.value))
        with pytest.raises(EngineError) as caught:
            engine.gradient_flow(local.run(draw_photo(0)), 1)
        sentences.append(sentence_of(caught.value))
    assert sentences[:2] == sentences[2:]
    assert "no network called 'x'" in sentences[0]


def test_an_unfit_checkpoint_is_refused_with_the_local_sentence(
    fleet: RayEngine, weights_dir: Path, tmp_path: Path
) -> None:
    model = lively(ResNet(3, widths=(4, 6)))
    checkpoint = save_checkpoint(
        model, Card("narrow", model.config, Preprocessing(32), ("cat", "dog")), tmp_path
    )
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    recipe = EngineConfig("cpu", weights_dir, OwnCheckpoint(checkpoint))
    sentences = []
    for build in (lambda: RayEngine(recipe, ReplicaConfig(1, 1, cpus=0.1)), lambda: build_engine(recipe)):
        with pytest.raises(CheckpointError) as caught:
            build()
        sentences.append(sentence_of(caught.value))
    assert sentences[0] == sentences[1]
    assert checkpoint.name in sentences[0]


def test_a_download_that_fails_is_an_engine_error_with_its_sentence() -> None:
    from resnet_demo.networks.download import DownloadError

    def fail() -> None:
        raise DownloadError("put it there yourself.")

    def bug() -> None:
        raise KeyError("a bug")

    refused = told(fail)
    assert isinstance(refused, Refused)
    assert repr(refused.error()) == repr(EngineError("put it there yourself."))
    with pytest.raises(KeyError):
        told(bug)


def test_a_download_tells_its_progress() -> None:
    import asyncio

    tell, go_on = [], threading.Event()

    def work(progress: Any) -> str:
        progress(0.25)
        go_on.wait(10)
        progress(1.0)
        return "there"

    async def listen() -> None:
        async for step in stepwise(work):
            tell.append(step)
            go_on.set()

    asyncio.run(listen())
    assert tell[0] == 0.25
    assert tell[-1] == "there"


def test_a_replica_killed_during_200_requests_loses_nothing(fleet: RayEngine, local: Engine) -> None:
    photos = [draw_photo(seed, 60, 50) for seed in range(10)]
    expected = [local.run(photo) for photo in photos]
    assert len({round(run.prediction.logit, 3) for run in expected}) == 10  # or a mix-up could hide
    assert until(lambda: len(replicas(fleet.name)) == 2)
    victim = replicas(fleet.name)[0]
    answered = 0
    lock = threading.Lock()

    def ask(i: int) -> Run:
        nonlocal answered
        run = fleet.run(photos[i % 10])
        with lock:
            answered += 1
            if answered == 50:  # in the middle: others are with both replicas now
                cut(victim)
        return run

    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(ask, range(200)))
    assert len(runs) == 200
    for i, run in enumerate(runs):
        equal(run, expected[i % 10])
    assert victim not in replicas(fleet.name)
    assert until(lambda: len(replicas(fleet.name)) == 2)  # and another one took its place


def test_with_every_replica_gone_a_visitor_waits_for_the_next(fleet: RayEngine, local: Engine) -> None:
    for pid in replicas(fleet.name):
        cut(pid)
    run = fleet.run(draw_photo(7))
    equal(run, local.run(draw_photo(7)))
    assert until(lambda: len(replicas(fleet.name)) == 2)


def test_a_photo_that_kills_is_given_up_and_a_long_wait_is_busy() -> None:
    engine = object.__new__(RayEngine)
    tried = []

    def die(_: float) -> None:
        tried.append(1)
        raise ActorDiedError()

    def wait(_: float) -> None:
        raise TimeoutError

    with pytest.raises(EngineError, match=FAILED):
        engine._persist("run", die, 60)
    assert len(tried) == TRIES
    with pytest.raises(EngineError, match=BUSY):
        engine._persist("run", wait, 60)


@pytest.mark.parametrize(
    ("has", "fleet_", "cpus", "gpus"),
    [
        ({"CPU": 2}, ReplicaConfig(2, 2), 1, 0),
        ({"CPU": 2}, ReplicaConfig(1, 1), 2, 0),
        ({"CPU": 2}, ReplicaConfig(1, 8), 1, 0),
        ({"CPU": 16, "GPU": 1}, ReplicaConfig(4, 4), 4, 0.25),
        ({"CPU": 16, "GPU": 4}, ReplicaConfig(2, 2), 8, 2),
        ({"CPU": 16, "GPU": 1}, ReplicaConfig(3, 3, cpus=0.5, gpus=0.3), 0.5, 0.3),
    ],
)
def test_cores_and_gpus_are_shared_out(
    has: dict[str, float], fleet_: ReplicaConfig, cpus: float, gpus: float
) -> None:
    made = deployment(EngineConfig(), fleet_, has)._bound_deployment
    assert made.ray_actor_options["num_cpus"] == cpus
    assert made.ray_actor_options["num_gpus"] == gpus
    assert made.init_args[1] == max(1, int(cpus))  # threads
    scaling = made._deployment_config.autoscaling_config
    if fleet_.least == fleet_.most:
        assert (made.num_replicas, scaling) == (fleet_.most, None)
    else:
        assert (scaling.min_replicas, scaling.max_replicas) == (fleet_.least, fleet_.most)


def test_the_real_app_answers_the_same_and_leaves_nothing_behind() -> None:
    expected = run_as_dict(build_engine(EngineConfig("cpu")).run(open_photo(jpeg(1))))
    server = Server(free_port(), ["--engine", "ray", "--replicas", "2", "--device", "cpu"])
    try:
        answer = Visitor(server.url).ask(jpeg(1))
        assert set(answer) == set(expected), answer
        for key in ("label", "network", "device"):
            assert answer[key] == expected[key]
        assert answer["logit"] == pytest.approx(expected["logit"], abs=1e-5)
        for told_, block in zip(answer["blocks"], expected["blocks"], strict=True):
            for key in ("name", "shape", "residual_norm", "shortcut_norm", "output_norm", "cosine"):
                assert told_[key] == (
                    pytest.approx(block[key], rel=1e-5) if isinstance(block[key], float) else block[key]
                )
        assert len(replicas(of=server.process.pid)) == 2
        unknown = Visitor(server.url).ask(jpeg(1), network="no-such-net")
        assert "no-such-net" in str(unknown["error"])
        started = set(children(server.process.pid))
    finally:
        server.close()
    assert until(lambda: not any(alive(pid) for pid in started), 30)


PAGE = """
import sys
sys.path.insert(0, "tests")
from conftest import draw_photo, lively
from resnet_demo.inference.interface import ReplicaConfig, EngineConfig
from resnet_demo.networks.resnet import ResNet
from resnet_demo.inference.ray_engine import RayEngine
engine = RayEngine(EngineConfig("cpu"), ReplicaConfig(1, 1, address=sys.argv[1], cpus=1))
print(engine.name, engine.run(draw_photo(3)).prediction.logit)
"""


def test_ray_outlives_the_thread_that_started_it() -> None:
    code = (
        "import threading, time; from resnet_demo.inference.ray_cluster import join_ray; "
        "starter = threading.Thread(target=join_ray); starter.start(); starter.join(); time.sleep(2); "
        "import ray; print(ray.get(ray.remote(lambda: 'alive').remote(), timeout=30))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == "alive", done.stderr[-2000:]


def test_an_address_where_nobody_answers_is_one_sentence() -> None:
    page = subprocess.run(
        [sys.executable, "-c", PAGE, f"127.0.0.1:{free_port()}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "No Ray cluster answers at 127.0.0.1:" in page.stderr


def test_the_cluster_file_is_one_that_ray_takes() -> None:
    jsonschema = importlib.import_module("jsonschema")
    import ray

    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    config = yaml.safe_load(CLUSTER.read_text(encoding="utf-8"))
    jsonschema.validate(config, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**config, "max_workers": "many"}, schema)
    assert config["head_node_type"] in config["available_node_types"]
    commands = " ".join(config["setup_commands"])
    assert "requirements-ray.txt" in commands
