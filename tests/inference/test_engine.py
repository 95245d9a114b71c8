"""The engine: same answers as the bare network, one visitor's run at a time, a device that fails."""

from __future__ import annotations

import io
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_photo
from PIL import Image

from resnet_demo.i18n import later, say, speaking
from resnet_demo.inference import forward as forward_module
from resnet_demo.inference.devices import best_device
from resnet_demo.inference.engine import Engine, EngineError
from resnet_demo.inference.forward import to_tensor
from resnet_demo.inference.interface import as_pixels
from resnet_demo.inference.prediction import predict
from resnet_demo.inputs.photo_decoding import PhotoError
from resnet_demo.inputs.preprocessing import fit_photo, read_photo
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.records import STREAM_NAMES, Gate
from resnet_demo.serialize import run_as_dict


@pytest.fixture(scope="module")
def engine(weights_dir: Path) -> Engine:
    return Engine(available_networks(weights_dir), "cpu")


def test_a_run_is_what_the_network_says(engine: Engine) -> None:
    photo = draw_photo(0)
    net = engine.network()
    pixels = fit_photo(photo, net.card.preprocessing)
    with torch.inference_mode():
        logit = float(net.model(to_tensor(pixels, net.card.preprocessing))[0, 0])
    run = engine.run(photo)
    assert run.prediction.logit == logit  # bit for bit, hooks and all
    assert np.array_equal(run.photo, pixels)
    assert run.prediction.confidences[1].confidence == pytest.approx(1 / (1 + np.exp(abs(logit))))
    assert run.notice == ""
    assert run.timings.total >= run.timings.forward > 0


def test_a_photo_may_be_its_file_its_path_or_its_pixels(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    draw_photo(5, 800, 600).save(path, quality=90)
    pixels = read_photo(path, engine.network().card.preprocessing)
    for photo in (path, str(path), path.read_bytes(), pixels):
        for run in (engine.run(photo), engine.run([photo])[0]):
            assert np.array_equal(run.photo, pixels)
    with pytest.raises(PhotoError, match="is damaged"):
        engine.run(path.read_bytes()[:3000])


def test_the_streams_of_a_run_add_up(engine: Engine) -> None:
    for block in engine.run(draw_photo(1)).blocks:
        total = block.residual.astype(np.float32) + block.shortcut.astype(np.float32)
        assert np.allclose(block.pre_activation, total, atol=2e-2, rtol=2e-3)  # float16 on the host
        assert np.array_equal(block.output, np.maximum(block.pre_activation, 0))


def test_the_trace_names_every_layer_with_its_time(engine: Engine) -> None:
    run = engine.run(draw_photo(2))
    assert [line.name for line in run.trace] == [
        "input", *(f"blocks.{i}" for i in range(5)), "avgpool", "flatten", "linear",
    ]  # fmt: skip
    assert all(line.milliseconds is not None and line.milliseconds >= 0 for line in run.trace[1:])
    assert sum(line.parameters for line in run.trace) == 4_888_897
    assert sum(line.flops for line in run.trace) == pytest.approx(4.44e9, rel=0.01)


def test_runs_from_many_threads_do_not_mix_and_leave_no_hook(engine: Engine) -> None:
    photos = [draw_photo(seed, 60, 50) for seed in range(24)]
    alone = [engine.run(photo) for photo in photos]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(engine.run, photos))
    for one, other in zip(alone, together, strict=True):
        # photos that waited together share a pass, whose sums may be added in another order
        assert one.prediction.logit == pytest.approx(other.prediction.logit, abs=1e-5)
        for a, b in zip(one.blocks, other.blocks, strict=True):
            assert np.allclose(a.output, b.output, rtol=2**-10, atol=1e-4)  # one step of float16
            assert np.allclose(a.residual, b.residual, rtol=2**-10, atol=1e-4)
    model = engine.network().model
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_run_cannot_be_changed(engine: Engine) -> None:
    with pytest.raises(FrozenInstanceError):
        engine.run(draw_photo(3)).network = "other"  # type: ignore[misc]


def test_unknown_names_are_one_sentence(engine: Engine) -> None:
    with pytest.raises(EngineError, match="no network called 'x'"):
        engine.run(draw_photo(0), "x")
    with pytest.raises(EngineError, match="unknown"):
        best_device("tpu")
    with pytest.raises(EngineError, match="No network found"):
        Engine({})


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device whose absence is tested")
def test_a_device_that_is_not_there_is_refused_and_auto_takes_the_cpu() -> None:
    with pytest.raises(EngineError, match="does not work here"):
        best_device("cuda")
    if not torch.backends.mps.is_available():
        assert best_device("auto").type == "cpu"


def test_a_device_that_fails_at_run_time_falls_back_to_the_cpu(
    weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = Engine(available_networks(weights_dir), "cpu")
    net = fresh.network()
    net.device = torch.device("meta")  # a device on which no number can be read
    monkeypatch.setattr(forward_module, "device_name", lambda d: d.type.upper())
    run = fresh.run(draw_photo(4))
    assert run.device == "CPU"
    assert "META failed" in run.notice
    assert fresh.run(draw_photo(4)).prediction == run.prediction


def test_a_failure_on_the_cpu_is_one_sentence_and_the_next_run_works(
    weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = Engine(available_networks(weights_dir), "cpu")
    model = fresh.network().model
    handle = model.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("out of memory")))
    with pytest.raises(EngineError, match="failed on this photo"):
        fresh.run(draw_photo(5))
    handle.remove()
    assert fresh.run(draw_photo(5)).prediction.label in ("cat", "dog")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_confidences_are_calibrated_by_the_temperature(engine: Engine) -> None:
    card = replace(engine.network().card, temperature=2.0)
    answer = predict(np.array([3.0], np.float32), card)
    assert answer.label == "dog"
    assert answer.logit == 3.0
    assert answer.confidences[0].confidence == pytest.approx(1 / (1 + np.exp(-1.5)))


def test_a_photo_whose_values_float16_cannot_hold_is_run_again(weights_dir: Path) -> None:
    fresh = Engine(available_networks(weights_dir), "cpu")
    network = fresh.network()
    photo = draw_photo(3)
    before = fresh.run(photo)
    passes: list[int] = []
    network.model.register_forward_pre_hook(lambda *_: passes.append(1))
    fresh.run(photo)
    assert len(passes) == 1
    first = network.model.blocks[0].downsample  # type: ignore[union-attr, index]
    first.register_forward_hook(lambda _m, _a, out: 1e5 * out)
    run = fresh.run(photo)
    assert len(passes) == 3
    assert run.blocks[0].shortcut.dtype == np.float32
    assert np.isfinite(run.blocks[0].shortcut).all()
    assert run.blocks[0].residual.dtype == np.float16
    assert np.array_equal(run.blocks[0].residual, before.blocks[0].residual)


def test_photos_that_wait_together_share_a_pass_and_keep_their_answers(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [draw_photo(seed, 60, 50) for seed in range(6)]
    alone = [engine.run(photo) for photo in photos]
    passes: list[int] = []
    forward = forward_module._forward

    def counted(net, arithmetic, x, gates, keep):
        passes.append(len(x))
        return forward(net, arithmetic, x, gates, keep)

    monkeypatch.setattr(forward_module, "_forward", counted)
    with ThreadPoolExecutor(6) as pool, engine.network().lock:  # the network is busy while they come
        coming = [pool.submit(engine.run, photo) for photo in photos]
        while len(engine.network().batcher(STREAM_NAMES)._waiting) < 6:
            time.sleep(0.001)
        engine.network().lock.release()
        runs = [run.result(30) for run in coming]
        engine.network().lock.acquire()
    assert passes == [6]
    for run, expected in zip(runs, alone, strict=True):
        assert run.prediction.label == expected.prediction.label
        assert run.prediction.logit == pytest.approx(expected.prediction.logit, abs=1e-5)


def test_gates_of_one_visitor_never_show_in_anothers_answer(engine: Engine) -> None:
    photos = [draw_photo(seed, 60, 50) for seed in range(5)]
    closed = (Gate(residual=0), Gate(), Gate(shortcut=0.5), Gate(), Gate())
    jobs = [(photos[i % 5], closed if i % 3 == 0 else ()) for i in range(200)]
    alone = {
        (i, gates): engine.run(photo, gates=gates) for i, photo in enumerate(photos) for gates in (closed, ())
    }
    assert all(alone[i, closed].prediction.logit != alone[i, ()].prediction.logit for i in range(5))
    with ThreadPoolExecutor(6) as pool:
        runs = list(pool.map(lambda job: engine.run(job[0], gates=job[1]), jobs))
    for i, (run, (_, gates)) in enumerate(zip(runs, jobs, strict=True)):
        expected = alone[i % 5, gates]
        assert run.prediction.logit == pytest.approx(expected.prediction.logit, abs=1e-5)
        assert run.gates == gates
        assert run.blocks[4].output_norm == pytest.approx(expected.blocks[4].output_norm, abs=1e-5)


def test_a_run_of_pixels_seen_before_is_the_same_run(engine: Engine) -> None:
    first = engine.run(draw_photo(8))
    again = engine.run(first.photo, gates=[Gate()] * 5)
    assert again.prediction == first.prediction
    assert again.gates == ()


def test_where_it_looks_and_the_lesions_agree_with_the_logit(engine: Engine) -> None:
    run = engine.run(draw_photo(9))
    assert run.activation is not None
    assert run.activation.logit == pytest.approx(run.prediction.logit, abs=2e-2)  # from float16 maps
    found = engine.ablation(run)
    whole = run.prediction.confidences[0]
    assert (found.label, found.whole) == (whole.label, pytest.approx(whole.confidence, abs=1e-5))
    assert found.paths[-1] == pytest.approx(found.whole, abs=1e-5)
    off = engine.run(run.photo, gates=[Gate(residual=0), *[Gate()] * 4])
    answer = run.classes.index(whole.label)
    assert found.without_branch[0] == pytest.approx(off.prediction.chances[answer], abs=1e-4)


def test_what_is_measured_on_the_device_is_what_the_streams_say(engine: Engine) -> None:
    """Means are taken in float32 where the streams are; the page could take them from its own too."""
    for block in engine.run(draw_photo(3)).blocks:
        assert block.means is not None
        bare = replace(block, means=None, adds=None)
        assert np.allclose(block.activity, bare.activity, atol=1e-3, rtol=1e-3)  # those are of float16
        assert np.allclose(block.added, bare.added, atol=1e-3, rtol=1e-3)
        assert block.sum_norm == pytest.approx(
            np.linalg.norm(block.pre_activation.astype(np.float32)), rel=1e-3
        )


ARRAYS = {  # what is given, the picture that it is
    "RGB": lambda photo: (np.asarray(photo), photo),
    "grey": lambda photo: (np.asarray(photo.convert("L")), photo.convert("L")),
    "grey, one channel": lambda photo: (np.asarray(photo.convert("L"))[:, :, None], photo.convert("L")),
    "RGBA": lambda photo: (np.asarray(photo.convert("RGBA")), photo),
    "mirrored, not contiguous": lambda photo: (
        np.asarray(photo)[:, ::-1],
        photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    ),
    "read-only": lambda photo: (
        np.frombuffer(photo.tobytes(), np.uint8).reshape(*photo.size[::-1], 3),
        photo,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("size", [(640, 480), (90, 200), (144, 144), (5, 3)])
def test_an_array_of_any_size_is_resized_as_the_photo_is(
    engine: Engine, kind: str, size: tuple[int, int]
) -> None:
    array, photo = ARRAYS[kind](draw_photo(4, *size))
    wanted = engine.run(photo)
    assert np.array_equal(engine.run(array).photo, wanted.photo)
    assert engine.run([array, array])[1].prediction.logit == pytest.approx(wanted.prediction.logit, abs=1e-4)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((20, 20, 3), np.float32),
        np.zeros((20, 20), bool),
        np.zeros((20, 20, 3), np.uint16),
        np.zeros((20, 20, 2), np.uint8),
        np.zeros((1, 20, 20, 3), np.uint8),
        np.zeros((0, 20, 3), np.uint8),
        np.zeros((3, 20, 20), np.uint8),
    ],
    ids=lambda array: f"{array.shape} {array.dtype}",
)
def test_an_array_that_is_no_picture_says_what_one_is(engine: Engine, array: np.ndarray) -> None:
    with pytest.raises(
        PhotoError, match=r"as an array is \(height, width, 3\), uint8 of 0 to 255; this one is"
    ):
        engine.run(array)


def test_what_the_network_takes_has_a_name_of_its_own(engine: Engine) -> None:
    """With a recipe that resizes what already has the side of the input, as torchvision's does."""
    from resnet_demo import NetworkInput

    run = engine.run(draw_photo(4, 300, 200))
    info = replace(engine.info(), preprocessing=replace(engine.info().preprocessing, crop_share=0.5))
    assert isinstance(run.photo, NetworkInput)
    assert as_pixels(run.photo, info) is run.photo
    assert np.array_equal(as_pixels(NetworkInput.of(np.asarray(run.photo)), info), run.photo)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):  # as it goes to other machines
        noted = NetworkInput.of(np.asarray(run.photo), later("of {bits} bits", bits=12))
        there = pickle.loads(pickle.dumps(noted, protocol))
        assert isinstance(there, NetworkInput) and np.array_equal(there, noted)
        assert there.notice == "of 12 bits" and there.notice.pattern == "of {bits} bits"
    plain = np.array(run.photo, subok=False)
    assert not np.array_equal(as_pixels(plain, info), run.photo)
    assert as_pixels(run.photo[:50, :50], info).shape == run.photo.shape  # a part of it is a picture
    with pytest.raises(ValueError, match="uint8 is needed"):
        NetworkInput.of(np.zeros((3, 3), np.uint8))


def test_what_was_assumed_of_a_photo_is_said_with_its_run(engine: Engine) -> None:
    """Of a file alone: 12 bits in a PNG of 16. It stays with the photo when gates send it through again."""
    buffer = io.BytesIO()
    ramp = np.linspace(0, 4095, 200 * 180).astype(np.uint16).reshape(180, 200)
    Image.fromarray(ramp).save(buffer, "PNG")
    run = engine.run(buffer.getvalue())
    assert "12 bits" in run.notice
    assert "12 bits" in engine.run(run.photo, gates=[Gate(0), *[Gate()] * 4]).notice
    assert "12 bits" in run_as_dict(run)["notice"]
    assert engine.run(draw_photo(1)).notice == ""
    with speaking("es"):
        assert say(run.notice) != str(run.notice)
