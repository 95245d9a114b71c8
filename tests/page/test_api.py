"""The real app over HTTP: what a script that calls ``/predict`` meets."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import draw_photo
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from resnet_demo.inference.engine import Engine
from resnet_demo.inputs.photo_decoding import open_photo
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.records import Gate


@pytest.fixture(scope="module")
def client(server: str) -> Client:
    return Client(server, verbose=False)


@pytest.fixture(scope="module")
def engine(weights_dir: Path) -> Engine:
    """The same network without the page, to compare with."""
    return Engine(available_networks(weights_dir), "cpu")


def ask(client: Client, path: Path) -> dict:
    return client.predict(handle_file(path), api_name="/predict")


def saved(tmp_path: Path, image: Image.Image, name: str = "photo.png") -> Path:
    image.save(tmp_path / name)
    return tmp_path / name


def test_predict_describes_the_answer_and_every_block(client: Client, engine: Engine, tmp_path: Path) -> None:
    path = saved(tmp_path, draw_photo(1))
    answer = ask(client, path)
    run = engine.run(open_photo(path))
    assert set(answer) == {
        "label",
        "confidences",
        "logit",
        "network",
        "device",
        "milliseconds",
        "notice",
        "blocks",
    }
    assert answer["label"] == run.prediction.label == answer["confidences"][0]["label"]
    assert answer["logit"] == pytest.approx(run.prediction.logit, abs=1e-5)
    assert sum(c["confidence"] for c in answer["confidences"]) == pytest.approx(1)
    assert (answer["logit"] > 0) == (answer["label"] == "dog")
    assert answer["network"] == "test-net"
    assert answer["notice"] == ""
    assert answer["device"] == "CPU"
    assert 0 < answer["milliseconds"] < 60_000
    assert [b["shape"] for b in answer["blocks"]] == [
        [32, 90, 90], [64, 45, 45], [128, 23, 23], [256, 12, 12], [512, 6, 6],
    ]  # fmt: skip
    for told, block in zip(answer["blocks"], run.blocks, strict=True):
        assert told["name"] == block.name
        for key in ("residual_norm", "shortcut_norm", "output_norm", "cosine"):
            assert told[key] == pytest.approx(getattr(block, key), rel=1e-4)
        streams = block.residual.astype(np.float64), block.shortcut.astype(np.float64)
        assert told["residual_norm"] == pytest.approx(np.linalg.norm(streams[0]), rel=1e-2)
        cosine = (streams[0] * streams[1]).sum() / np.linalg.norm(streams[0]) / np.linalg.norm(streams[1])
        assert told["cosine"] == pytest.approx(cosine, abs=1e-2)


def interleaved(server: str, count: int, request: Callable[[Client, int], Any], people: int = 4) -> list[Any]:
    """The answers to ``count`` requests of as many people at once, each one's own requests one after the
    other: a client of Gradio's gives an answer up when two threads use it while its stream closes."""

    def all_of(person: int) -> dict[int, Any]:
        client = Client(server, verbose=False)
        return {i: request(client, i) for i in range(person, count, people)}

    with ThreadPoolExecutor(people) as pool:
        found = {i: answer for answers in pool.map(all_of, range(people)) for i, answer in answers.items()}
    return [found[i] for i in range(count)]


def test_twenty_interleaved_requests_of_four_people_get_their_own_answers(
    server: str, engine: Engine, tmp_path: Path
) -> None:
    paths = [saved(tmp_path, draw_photo(seed), f"{seed}.png") for seed in range(20)]
    runs = [engine.run(open_photo(path)) for path in paths]
    expected = [run.prediction.logit for run in runs]
    norms = [run.blocks[0].residual_norm for run in runs]
    assert len({round(norm, 2) for norm in norms}) == 20  # or a mix-up could hide
    answers = interleaved(server, 20, lambda person, i: ask(person, paths[i]))
    assert [a["logit"] for a in answers] == pytest.approx(expected, abs=1e-5)
    assert [a["blocks"][0]["residual_norm"] for a in answers] == pytest.approx(norms, abs=1e-3)


@pytest.mark.parametrize("kind", ["garbage", "empty", "truncated"])
def test_what_is_no_photo_gets_one_clear_sentence_and_the_app_goes_on(
    client: Client, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "photo.jpg"
    draw_photo(3).save(path)
    data = path.read_bytes()
    path.write_bytes(
        {"garbage": b"not a photo at all" * 50, "empty": b"", "truncated": data[: len(data) // 2]}[kind]
    )
    with pytest.raises(AppError) as caught:
        ask(client, path)
    sentence = str(caught.value)
    assert 20 < len(sentence) <= 200
    assert sentence.endswith(".")
    assert not re.search(r"Traceback|/tmp|/root|None", sentence)
    assert ask(client, saved(tmp_path, draw_photo(4)))["label"] in ("cat", "dog")


@pytest.mark.parametrize("size", [(1, 1), (4000, 20), (20, 4000)])
def test_odd_sizes_get_a_prediction(client: Client, tmp_path: Path, size: tuple[int, int]) -> None:
    assert ask(client, saved(tmp_path, Image.new("RGB", size, (90, 120, 30))))["label"] in ("cat", "dog")


def test_an_unknown_network_is_named_in_the_error(client: Client, tmp_path: Path) -> None:
    with pytest.raises((AppError, ValueError), match="no-such-net"):
        client.predict(handle_file(saved(tmp_path, draw_photo(5))), "no-such-net", api_name="/predict")


ENDPOINTS = {
    "/train_race",
    "/predict",
    "/switch_off",
    "/knock_out",
    "/paths",
    "/attack",
    "/pixel_attribution",
    "/read_out_places",
    "/deletion_insertion",
    "/feature_visualization",
    "/iterative_inference",
    "/class_activation",
    "/read_out",
    "/receptive_field",
    "/gradient_flow",
    "/listen",
    "/read",
    "/teach_begin",
    "/teach_add",
    "/teach_fit",
    "/teach_answer",
    "/teach_end",
}


def test_the_experiments_are_offered_and_nothing_else(client: Client) -> None:
    described = client.view_api(return_format="dict")["named_endpoints"]
    assert set(described) == ENDPOINTS
    for name, endpoint in described.items():
        others = {"/listen": "sound", "/read": "text", "/train_race": "blocks"}
        others |= {"/teach_begin": "network", "/teach_fit": "teaching", "/teach_end": "teaching"}
        first = {**others, "/feature_visualization": "network"}.get(name, "photo")
        assert endpoint["parameters"][0]["parameter_name"] == first


def test_switch_off_answers_as_the_engine_with_gates_and_spares_everyone_else(
    client: Client, engine: Engine, tmp_path: Path
) -> None:
    path = saved(tmp_path, draw_photo(11))
    whole = ask(client, path)
    gates = [[0, 1], [1, 1], [1, 0], [0.5, 1], [1, 1]]
    told = client.predict(handle_file(path), "test-net", gates, api_name="/switch_off")
    run = engine.run(open_photo(path), gates=[Gate(*map(float, pair)) for pair in gates])
    assert told["logit"] == pytest.approx(run.prediction.logit, abs=1e-4)
    assert told["blocks"][0]["residual_norm"] == 0
    assert told["logit"] != whole["logit"]
    assert ask(client, path)["logit"] == whole["logit"]
    for bad in (None, [], [[1, 1]] * 4, [[2, 1]] * 5, "x"):
        with pytest.raises(AppError, match=r"gates cannot be read.*\.$"):
            client.predict(handle_file(path), "test-net", bad, api_name="/switch_off")


def test_every_experiment_answers_with_numbers_that_agree(client: Client, tmp_path: Path) -> None:
    photo = handle_file(saved(tmp_path, draw_photo(12)))
    answer = client.predict(photo, api_name="/predict")
    best = answer["confidences"][0]["confidence"]
    lost = client.predict(photo, "test-net", api_name="/knock_out")
    assert (lost["label"], lost["whole"]) == (answer["label"], pytest.approx(best, abs=1e-4))
    assert [len(lost[k]) for k in ("without_branch", "without_shortcut", "paths")] == [5, 5, 32]
    looks = client.predict(photo, "test-net", api_name="/class_activation")
    assert np.sum(looks["places"]) + looks["bias"] == pytest.approx(looks["logit"], abs=1e-3)
    assert np.sum(looks["channels"]) + looks["bias"] == pytest.approx(answer["logit"], rel=1e-2, abs=1e-2)
    reads = client.predict(photo, "test-net", api_name="/read_out")
    assert [read["block"] for read in reads] == [block["name"] for block in answer["blocks"]]
    assert all(0 < read["confidence"] < 1 for read in reads)
    fields = client.predict(photo, "test-net", api_name="/receptive_field")
    assert len(fields) == 20
    assert fields[0] == {"block": "blocks.0", "stream": "shortcut", "jump": 2, "low": 0, "high": 0, "size": 1}
    flow = client.predict(photo, 20, True, api_name="/gradient_flow")
    assert len(flow["with_shortcuts"]) == len(flow["without"]) == 21
    with pytest.raises(AppError, match=r"depth cannot be shown.*\.$"):
        client.predict(photo, 1000, True, api_name="/gradient_flow")


def test_paths_sum_to_the_logit(client: Client, tmp_path: Path) -> None:
    photo = handle_file(saved(tmp_path, draw_photo(13)))
    told = client.predict(photo, "test-net", api_name="/paths")
    assert set(told) == {"paths", "biases", "logit"}
    assert len(told["paths"]) == 32
    total = sum(path["share"] for path in told["paths"]) + sum(bias["share"] for bias in told["biases"])
    assert total == pytest.approx(told["logit"], rel=1e-9)
    assert told["logit"] == pytest.approx(client.predict(photo, api_name="/predict")["logit"], rel=1e-3)


def test_an_attack_and_pixels_are_told_as_numbers(client: Client, tmp_path: Path) -> None:
    photo = handle_file(saved(tmp_path, draw_photo(14)))
    told = client.predict(photo, "test-net", 4, api_name="/attack")
    assert told["epsilon"] == 4
    assert [len(told[drift]) for drift in ("drift", "noise_drift")] == [6, 6]
    assert told["flipped"] == (told["before"]["label"] != told["after"]["label"])
    assert 0 < told["drift"][0] < 0.1
    with pytest.raises(AppError, match=r"cannot be explained.*\.$"):
        client.predict(photo, "test-net", 1000, api_name="/attack")
    found = client.predict(photo, "test-net", api_name="/pixel_attribution")
    assert [part["method"] for part in found] == ["gradient × input", "integrated gradients", "full gradient"]
    logit = client.predict(photo, api_name="/predict")["logit"]
    assert np.sum(found[2]["map"]) == pytest.approx(logit, rel=1e-3, abs=1e-3)


def test_read_outs_are_told_by_place(client: Client, tmp_path: Path) -> None:
    photo = handle_file(saved(tmp_path, draw_photo(15)))
    found = client.predict(photo, "test-net", api_name="/read_out_places")
    reads = client.predict(photo, "test-net", api_name="/read_out")
    assert len(found) == 5
    for place, read in list(zip(found, reads, strict=True))[:4]:
        assert place["block"] == read["block"]
        assert np.sum(place["places"]) + place["bias"] == pytest.approx(read["logit"], rel=5e-3, abs=5e-3)
    assert client.predict(photo, "test-net", api_name="/iterative_inference") == {}


def test_a_map_is_tested_and_a_channel_excited(client: Client, tmp_path: Path) -> None:
    photo = handle_file(saved(tmp_path, draw_photo(16)))
    found = client.predict(photo, "test-net", api_name="/deletion_insertion")
    assert set(found) == {"deletion", "insertion", "random_deletion", "random_insertion"}
    best = client.predict(photo, api_name="/predict")["confidences"][0]["confidence"]
    assert found["deletion"]["confidence"][0] == pytest.approx(best, abs=2e-3)
    for curve in found.values():
        assert len(curve["confidence"]) == 37
        assert 0 <= curve["area"] <= 1
    told = client.predict("test-net", 1, "residual", 5, api_name="/feature_visualization")
    assert told["steps"] == 64
    assert told["picture"].startswith("data:image/png;base64,")
    with pytest.raises(AppError, match=r"Blocks are 0 to 4, got 9\.$"):
        client.predict("test-net", 9, "residual", 5, api_name="/feature_visualization")
    with pytest.raises(AppError, match=r"cannot be explained.*\.$"):
        client.predict("test-net", 1, "nothing", 5, api_name="/feature_visualization")


def test_lesions_of_one_visitor_never_show_in_anothers_answer(
    server: str, engine: Engine, tmp_path: Path
) -> None:
    """200 interleaved requests, with and without gates."""
    paths = [saved(tmp_path, draw_photo(seed, 90, 60), f"{seed}.png") for seed in range(5)]
    shut = [[0, 1], [1, 1], [1, 1], [1, 0.5], [1, 1]]
    gates = [Gate(*map(float, pair)) for pair in shut]
    whole = [engine.run(open_photo(path)).prediction.logit for path in paths]
    cut = [engine.run(open_photo(path), gates=gates).prediction.logit for path in paths]

    def request(person: Client, i: int) -> float:
        photo = handle_file(paths[i % 5])
        if i % 3:
            return float(person.predict(photo, "test-net", api_name="/predict")["logit"])
        return float(person.predict(photo, "test-net", shut, api_name="/switch_off")["logit"])

    answers = interleaved(server, 200, request)
    assert answers == pytest.approx([whole[i % 5] if i % 3 else cut[i % 5] for i in range(200)], abs=1e-4)


def test_train_race_streams_its_states_and_ends_with_the_record(client: Client) -> None:
    job = client.submit(3, 12, 4, api_name="/train_race")
    record = job.result(timeout=120)
    assert {key: record[key] for key in ("blocks", "steps", "seed")} == {"blocks": 3, "steps": 12, "seed": 4}
    assert record.keys() == {"blocks", "steps", "seed", "residual", "plain", "seconds"}
    for kind in ("residual", "plain"):
        assert record[kind].keys() == {"train_error", "test_accuracy"}
    told = job.outputs()
    assert told[-1] == record and any(event.get("event") == "state" for event in told)
    for bad in ((1, 12, 0), (3, 500, 0), (3, 12, -1), (3.5, 12, 0)):
        with pytest.raises(AppError, match=r"must be a whole number from .*\.$"):
            client.predict(*bad, api_name="/train_race")


def test_what_was_assumed_of_a_photo_is_said(client: Client, tmp_path: Path) -> None:
    """12 bits in a PNG of 16: white is the largest of 12."""
    ramp = np.linspace(0, 4095, 200 * 180).astype(np.uint16).reshape(180, 200)
    answer = ask(client, saved(tmp_path, Image.fromarray(ramp), "deep.png"))
    assert "12 bits" in answer["notice"]
