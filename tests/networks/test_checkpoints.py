"""Checkpoints: what is saved comes back, and whatever is wrong with one is a sentence."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import lively
from safetensors.torch import load_file, save

from resnet_demo.networks.cards import WEIGHTS, read_menu
from resnet_demo.networks.checkpoints import (
    MAX_HEADER,
    Card,
    CheckpointError,
    available_networks,
    load_checkpoint,
    load_strictly,
    read_tensors,
    save_checkpoint,
)
from resnet_demo.networks.resnet import ResNet
from resnet_demo.records import Preprocessing
from resnet_demo.training.golden import golden_tensors, save_golden


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = lively(ResNet(3, widths=(4, 8)))
    card = Card(
        "tiny",
        model.config,
        Preprocessing(64, "pad"),
        ("cat", "dog"),
        0.9,
        10,
        (0.6, 0.98),
        1.5,
        "Knows little.",
    )
    return save_checkpoint(model, card, tmp_path)


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert len(sentence) <= 300
    assert "\n" not in sentence
    assert path.stem in sentence
    return sentence


def test_round_trip(saved: Path) -> None:
    model, card = load_checkpoint(saved)
    assert card.preprocessing == Preprocessing(64, "pad")
    assert (card.classes, card.interval, card.temperature) == (("cat", "dog"), (0.6, 0.98), 1.5)
    assert saved.stem == f"tiny-{card.sha256[:8]}"
    assert not model.training
    torch.manual_seed(0)
    original = lively(ResNet(3, widths=(4, 8)))
    for key, value in original.state_dict().items():
        loaded = model.state_dict()[key]
        assert loaded.dtype == value.dtype
        assert torch.equal(loaded, value.half().to(value.dtype) if value.is_floating_point() else value)
    assert {t.dtype for t in load_file(saved).values()} == {torch.float16, torch.int64}


def test_the_notebooks_network_fits_a_space_without_lfs(weights_dir: Path) -> None:
    (path,) = available_networks(weights_dir).values()
    assert path.stat().st_size < 10_000_000


def test_networks_are_found_and_junk_is_passed_over(saved: Path) -> None:
    folder = saved.parent
    (folder / "junk-00000000.safetensors").write_bytes(b"")
    (folder / "broken-11111111.safetensors").write_bytes(b"x")
    (folder / "broken-11111111.json").write_text("{")
    assert available_networks(folder) == {"tiny": saved}
    assert [(e.name, e.knows, e.blocks) for e in read_menu(folder)] == [("tiny", "Knows little.", 2)]
    assert available_networks(folder / "nowhere") == {}


def test_truncation_at_any_byte_is_noticed(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in [*range(0, 24), *range(24, len(whole), max(1, len(whole) // 60)), len(whole) - 1]:
        saved.write_bytes(whole[:length])
        assert "not the file its card describes" in refused(saved)
        with pytest.raises(CheckpointError):  # the tensors alone notice it too
            read_tensors("x", whole[:length])


def test_missing_directory_and_forbidden_files(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "missing" in refused(saved.with_name("gone-00000000.safetensors"))
    card = saved.with_suffix(".json").read_bytes()
    saved.unlink()
    assert "missing" in refused(saved)
    saved.mkdir()
    assert "directory" in refused(saved)
    saved.rmdir()
    saved.write_bytes(b"x")
    read = Path.read_bytes

    def forbidden(path: Path) -> bytes:
        if path == saved:
            raise PermissionError
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    assert "no permission" in refused(saved)
    assert saved.with_suffix(".json").read_bytes() == card


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.pop("linear.bias"), "lacks 1"),
        (lambda s: s.update(extra=torch.zeros(1)), "has 1 tensors that the network has not"),
        (lambda s: s.update({"linear.weight": torch.zeros(2, 8)}), "network needs"),
        (lambda s: s["linear.weight"].fill_(float("nan")), "not finite"),
        (lambda s: s["linear.weight"].fill_(float("inf")), "not finite"),
    ],
)
def test_what_does_not_fit_the_network_is_named(
    saved: Path, change: Callable[[dict[str, torch.Tensor]], object], reason: str
) -> None:
    model, _ = load_checkpoint(saved)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    before = {key: value.clone() for key, value in state.items()}
    change(state)
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_strictly(model, state, "file.safetensors")
    assert str(caught.value).startswith("file.safetensors")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_another_architecture_and_class_count(saved: Path) -> None:
    card_file = saved.with_suffix(".json")
    card = json.loads(card_file.read_text())
    card["config"]["widths"] = [4, 8, 16]
    card_file.write_text(json.dumps(card))
    assert "lacks" in refused(saved)
    card["config"]["widths"] = [4, 8]
    card["classes"] = ["cat", "dog", "bird"]
    card_file.write_text(json.dumps(card))
    assert "not a model card" in refused(saved)


def test_a_pickle_is_never_run(saved: Path, tmp_path: Path) -> None:
    sentinel = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return (open, (str(sentinel), "w"))

    buffer = io.BytesIO()
    torch.save({"linear.weight": Evil()}, buffer)
    for payload in (pickle.dumps(Evil()), buffer.getvalue()):
        saved.write_bytes(payload)
        refused(saved)
        with pytest.raises(CheckpointError):
            read_tensors("evil.safetensors", payload)
    assert not sentinel.exists()


def test_a_huge_header_is_refused_before_it_is_read() -> None:
    payload = (MAX_HEADER + 1).to_bytes(8, "little") + b"{" * 100
    with pytest.raises(CheckpointError, match="header"):
        read_tensors("big.safetensors", payload)
    assert read_tensors("fine", save({"a": torch.ones(2)}))["a"].tolist() == [1, 1]


def test_golden_tensors_are_reproducible(saved: Path, tmp_path: Path) -> None:
    model, _ = load_checkpoint(saved)
    path = save_golden(model, tmp_path / "golden.safetensors")
    stored = load_file(path)
    assert set(stored) == {"input", "logit", "blocks.0", "blocks.1"}
    for key, tensor in golden_tensors(model).items():
        assert torch.equal(tensor, stored[key])


def test_the_networks_that_ship_match_their_golden_tensors() -> None:
    networks = available_networks()
    assert networks, "weights/ must hold a network"
    model, card = load_checkpoint(networks["cats-and-dogs"])
    stored = load_file(WEIGHTS / "golden.safetensors")
    assert (WEIGHTS / "README.md").exists()
    assert (networks["cats-and-dogs"]).stat().st_size < 10_000_000
    assert card.accuracy is not None
    assert card.accuracy >= 0.88
    assert card.n == 2500
    for key, tensor in golden_tensors(model).items():
        assert torch.allclose(tensor, stored[key], atol=1e-3, rtol=1e-3), key


@pytest.mark.parametrize(("network", "side"), [("languages", 8), ("digits", 32)])
def test_the_networks_for_texts_and_words_match_their_golden_tensors(network: str, side: int) -> None:
    path = available_networks()[network]
    model, _ = load_checkpoint(path)
    stored = load_file(path.with_suffix(".golden.safetensors"))
    found = golden_tensors(model, side)
    assert set(stored) == set(found)
    for key, tensor in found.items():
        assert torch.allclose(stored[key], tensor, rtol=1e-4, atol=1e-4), key


def test_the_cifar_networks_that_ship_match_their_golden_tensors() -> None:
    networks = available_networks()
    for name, blocks in {"resnet-20": 9, "resnet-56": 27, "plain-20": 9, "plain-56": 27}.items():
        path = networks[name]
        model, card = load_checkpoint(path)
        stored = load_file(path.with_suffix(".golden.safetensors"))
        assert path.stat().st_size < 10_000_000 and card.n == 10_000 and card.blocks == blocks
        for key, tensor in golden_tensors(model, 16).items():
            assert torch.allclose(tensor, stored[key], atol=1e-3, rtol=1e-3), (name, key)


@pytest.mark.parametrize(
    "text",
    ["", "null", "5", '"card"', "[]", "[" * 100_000, "{}", "\x00", '{"config": {"widths": [4, 8]}}'],
    ids=["empty", "null", "number", "text", "list", "deep", "nothing", "zero", "half"],
)
def test_any_junk_beside_a_checkpoint_is_no_card_and_is_passed_over(saved: Path, text: str) -> None:
    saved.with_suffix(".json").write_text(text)
    assert "not a model card" in refused(saved)
    assert available_networks(saved.parent) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("interval", [1]),
        ("interval", 5),
        ("network", ["tiny"]),
        ("sha256", None),
        ("classes", [1, 2]),
        ("classes", None),
        ("temperature", 0),
        ("temperature", float("nan")),
        ("config", []),
        ("config", {"widths": []}),
        ("preprocessing", {"side": 3}),
        ("surprise", 1),
    ],
)
def test_a_card_with_one_impossible_entry_is_refused(saved: Path, key: str, value: object) -> None:
    card_file = saved.with_suffix(".json")
    card_file.write_text(json.dumps(json.loads(card_file.read_text()) | {key: value}))
    assert "not a model card" in refused(saved)
    assert available_networks(saved.parent) == {}


def test_a_card_that_is_not_text_is_refused(saved: Path) -> None:
    saved.with_suffix(".json").write_bytes(b"\xff\xfe\x00{")
    assert "not a model card" in refused(saved)


@pytest.mark.parametrize("widths", [[4.5, 8], [2**60, 2**60]], ids=["half a channel", "beyond memory"])
def test_a_network_that_cannot_be_built_is_a_sentence(saved: Path, widths: list[float]) -> None:
    card_file = saved.with_suffix(".json")
    card = json.loads(card_file.read_text())
    card["config"]["widths"] = widths
    card_file.write_text(json.dumps(card))
    assert "cannot be built" in refused(saved)


def test_one_altered_bit_is_noticed(saved: Path) -> None:
    whole = bytearray(saved.read_bytes())
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        whole[place] ^= 1
        saved.write_bytes(whole)
        assert "not the file its card describes" in refused(saved)
        whole[place] ^= 1
    saved.write_bytes(whole)
    load_checkpoint(saved)


def test_a_card_of_other_weights_is_noticed(saved: Path) -> None:
    card_file = saved.with_suffix(".json")
    card_file.write_text(json.dumps(json.loads(card_file.read_text()) | {"sha256": "0" * 64}))
    assert "00000000…" in refused(saved)


def test_damaged_headers_are_one_sentence_and_nothing_else() -> None:
    whole = save({"linear.weight": torch.ones(3, 4).half(), "none": torch.zeros(0), "count": torch.tensor(3)})
    generator = torch.Generator().manual_seed(0)
    refusals = 0
    for _ in range(2000):
        payload = bytearray(whole)
        place, value = torch.randint(0, 256, (2,), generator=generator).tolist()
        payload[place % len(whole)] = value
        try:
            read_tensors("bent.safetensors", bytes(payload))
        except CheckpointError as error:
            assert str(error).startswith("bent.safetensors ") and str(error).endswith(".")
            refusals += 1
    assert refusals > 1000


def test_values_that_overflow_the_networks_precision_are_refused(saved: Path) -> None:
    model, _ = load_checkpoint(saved)
    state = dict(model.state_dict())
    state["linear.bias"] = torch.tensor([1e300], dtype=torch.float64)  # finite, but not in float32
    with pytest.raises(CheckpointError, match=r"not finite, in linear\.bias"):
        load_strictly(model, state, "wide.safetensors")


def test_a_checkpoint_named_without_its_folder_is_said_to_be_missing_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert refused(Path("gone-00000000.safetensors")).endswith("missing from here/.")


def test_saving_leaves_no_half_file_and_names_the_file_by_its_hash(saved: Path) -> None:
    import hashlib

    assert {p.name for p in saved.parent.iterdir()} == {saved.name, saved.with_suffix(".json").name}
    digest = hashlib.sha256(saved.read_bytes()).hexdigest()
    assert json.loads(saved.with_suffix(".json").read_text())["sha256"] == digest
    assert saved.stem.rpartition("-")[2] == digest[:8]


@pytest.mark.parametrize(("logits", "classes"), [(1, ("cat",)), (1, ("a", "b", "c")), (3, ("a", "b"))])
def test_a_card_names_every_class(logits: int, classes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="class names, got"):
        Card("x", ResNet(3, widths=(4,), num_logits=logits).config, Preprocessing(), classes)
