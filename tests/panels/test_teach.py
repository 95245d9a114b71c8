"""Teach it: what comes of pictures of one's own, what is refused, and that nothing is mixed or kept."""

from __future__ import annotations

import base64
import io
import json
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import KNOWS, draw_photo
from PIL import Image

from resnet_demo.inference.engine import Engine
from resnet_demo.inference.interface import EngineError, Limits
from resnet_demo.inference.lazy import Deferred
from resnet_demo.inference.run_cache import KeptRuns
from resnet_demo.inputs.photo_decoding import open_photo
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.networks.checkpoints import available_networks, load_checkpoint
from resnet_demo.panels.own import teach, teaching_files, teachings
from resnet_demo.panels.own.taught_network import lend_taught
from resnet_demo.panels.own.teachings import Taught, Teaching, TeachingError, Teachings
from resnet_demo.panels.page import Page

RED, GREEN, BLUE = range(3)


def picture(seed: int, colour: int, side: int = 90) -> bytes:
    """A JPEG of one colour more than the others, and noise."""
    rng = np.random.default_rng(1000 * colour + seed)
    pixels = rng.integers(0, 90, (side, side, 3))
    pixels[..., colour] += 150
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def url(data: bytes, kind: str = "image/jpeg") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.fixture(scope="module")
def engine(weights_dir: Path) -> Engine:
    return Engine(available_networks(weights_dir), "cpu")


@pytest.fixture
def page(engine: Engine) -> Page:
    menu = (MenuEntry("test-net", KNOWS, 5),)
    return Page(Deferred(lambda: engine), menu, KeptRuns(), Limits(), [teach.TeachPanel])


@pytest.fixture
def panel(page: Page) -> teach.TeachPanel:
    (found,) = page.panels
    assert isinstance(found, teach.TeachPanel)
    return found


def begun(
    panel: teach.TeachPanel, names: tuple[str, ...] = ("red", "green", "blue")
) -> tuple[str, list[int]]:
    """A ticket, and the ids of its classes."""
    ticket = panel.teachings.begin(None).ticket
    ids = [panel.change({"ticket": ticket, "what": "class", "name": name})["id"] for name in names]
    return ticket, ids


def filled(panel: teach.TeachPanel, each: int = 6, names: tuple[str, ...] = ("red", "green", "blue")) -> str:
    """A ticket of classes with pictures."""
    ticket, ids = begun(panel, names)
    for colour, id_ in enumerate(ids):
        for start in range(0, each, teach.FILES):
            files = [url(picture(i, colour)) for i in range(start, min(each, start + teach.FILES))]
            told = panel.add({"ticket": ticket, "class": id_, "files": files, "network": "test-net"})
            assert told["refused"] == [] and len(told["added"]) == len(files)
    return ticket


def test_pictures_are_taught_and_the_same_network_answers_everywhere(
    panel: teach.TeachPanel, page: Page, engine: Engine
) -> None:
    ticket = filled(panel)
    told = panel.teach({"ticket": ticket, "language": "es"})
    assert (
        "de 18 imágenes" in told["report"] and "<svg" in told["report"] and 'class="band"' in told["report"]
    )
    live = panel.look({"ticket": ticket, "file": url(picture(99, GREEN))})["classes"]
    assert live[0][0] == "green" and sum(chance for _, chance in live) == pytest.approx(1)

    teaching = panel.teachings.get(ticket)
    taught = teach.taught_in(teaching)
    entry = lend_taught(page, "me", teaching, taught)
    assert "red, green, blue" in entry.shown and "18 pictures" in entry.knows
    run = engine.run(picture(99, GREEN), entry.name)
    assert run.classes == ("red", "green", "blue") and len(run.blocks) == taught.best + 1 == entry.blocks
    assert dict(live) == pytest.approx({c.label: c.confidence for c in run.prediction.confidences}, abs=1e-4)
    assert run.activation is not None
    assert run.activation.logit == pytest.approx(run.prediction.logit, rel=1e-3)
    assert [read.accuracy for read in run.read_outs] == pytest.approx(
        [r.right(taught.labels) / 18 for r in taught.read_outs[: taught.best + 1]]
    )
    assert run.read_outs[-1].logit == pytest.approx(run.prediction.logit, rel=1e-3)
    assert len(engine.ablation(run).without_branch) == len(run.blocks)

    before = engine.run(picture(99, GREEN), "test-net")
    assert before.classes == ("cat", "dog")  # what was taught is as it was
    assert lend_taught(page, "me", teaching, taught) == entry  # once is enough
    panel.teach({"ticket": ticket})
    again = lend_taught(page, "me", teaching, teach.taught_in(teaching))
    assert again.name != entry.name and [e.name for e in page.lending.of("me")] == [again.name]
    assert page.lending.of("you") == [] and again.name in page.lending.html("me")
    page.lending.leave("me")
    with pytest.raises(EngineError, match="no network"):
        engine.run(picture(99, GREEN), again.name)


def test_two_classes_become_one_logit_as_of_cat_and_dog(
    panel: teach.TeachPanel, page: Page, engine: Engine
) -> None:
    ticket = filled(panel, 6, ("red", "green"))
    panel.teach({"ticket": ticket})
    teaching = panel.teachings.get(ticket)
    entry = lend_taught(page, "me", teaching, teach.taught_in(teaching))
    live = panel.look({"ticket": ticket, "file": url(picture(99, GREEN))})["classes"]
    run = engine.run(picture(99, GREEN), entry.name)
    assert run.prediction.logit > 0 and run.prediction.label == "green" == live[0][0]
    assert run.prediction.confidences[0].confidence == pytest.approx(live[0][1], abs=1e-4)
    assert run.read_outs[-1].confidence == pytest.approx(live[0][1], abs=1e-4)


def test_a_broken_picture_costs_one_sentence_and_nothing_else(panel: teach.TeachPanel) -> None:
    ticket, (first, *_) = begun(panel)
    files = [url(picture(0, RED)), url(b"no photo"), "http://example.org/a.jpg", url(picture(1, RED)), 5]
    told = panel.add({"ticket": ticket, "class": first, "files": files})
    assert len(told["added"]) == 2 and len(told["refused"]) == 3
    assert all(sentence.endswith(".") and len(sentence) <= 200 for sentence in told["refused"])
    state = panel.state({"ticket": ticket})
    assert [len(c["shown"]) for c in state["classes"]] == [2, 0, 0]
    shown = state["classes"][0]["shown"][0][1]
    small = Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2])))
    assert small.size == (56, 56) and small.convert("RGB").resize((1, 1)).getpixel((0, 0))[0] > 120


@pytest.mark.parametrize(
    "request_",
    [
        None,
        {},
        {"ticket": 5},
        {"ticket": "x" * 1000},
        {"ticket": ["a"]},
        {"files": []},
        {"files": [url(b"x")] * 9, "class": 1},
        {"files": "x", "class": 1},
        {"files": [url(b"x")], "class": "1"},
        {"files": [url(b"x")], "class": 10**9},
        {"files": [url(b"A" * 1_200_000)], "class": 1},
        {"what": "something", "id": 1},
        {"what": "name", "id": "1", "name": {"a": 1}},
        {"jpeg": "data:,"},
    ],
)
def test_what_is_no_request_gets_a_sentence(panel: teach.TeachPanel, request_: Any) -> None:
    ticket, _ = begun(panel)
    if isinstance(request_, dict) and "ticket" not in request_ and request_:
        request_ = {"ticket": ticket, **request_}
    for function in (panel.add, panel.change, panel.teach, panel.look, panel.take):
        told = function(request_)
        for sentence in [told.get("error"), *told.get("refused", ())]:
            assert sentence is None or (sentence.endswith(".") and len(sentence) <= 250)
        assert told.get("added", []) == []
    assert len(panel.teachings.get(ticket).examples) == 0


def test_it_says_what_is_missing(panel: teach.TeachPanel) -> None:
    ticket, (first, second) = begun(panel, ("red", ""))
    assert "no picture" in panel.take({"ticket": ticket, "what": "teaching"})["error"]
    assert "press “Teach it” first" in panel.look({"ticket": ticket, "file": url(picture(0, 0))})["error"]
    files = [url(picture(i, RED)) for i in range(5)]
    panel.add({"ticket": ticket, "class": first, "files": files})
    assert panel.teach({"ticket": ticket})["error"] == "2 has too few pictures: 0, and at least 5 are needed."
    panel.add({"ticket": ticket, "class": second, "files": files})
    panel.change({"ticket": ticket, "what": "name", "id": second, "name": " red\n"})
    assert "Two classes are called red" in panel.teach({"ticket": ticket})["error"]
    panel.change({"ticket": ticket, "what": "name", "id": second, "name": "<b>also red"})
    report = panel.teach({"ticket": ticket})["report"]
    assert "no more surely than by guessing" in report and "<b>also" not in report
    assert "With 5 pictures of a class" in report and "background" in report
    panel.change({"ticket": ticket, "what": "remove class", "id": second})
    assert "At least 2 classes" in panel.teach({"ticket": ticket})["error"]
    for _ in range(9):
        panel.change({"ticket": ticket, "what": "class"})
    assert "At most 10 classes" in panel.change({"ticket": ticket, "what": "class"})["error"]


def test_a_picture_that_was_taken_away_is_not_learned(panel: teach.TeachPanel) -> None:
    ticket = filled(panel, 6, ("red", "green"))
    state = panel.state({"ticket": ticket})
    for id_, _ in state["classes"][0]["shown"][:2]:
        panel.change({"ticket": ticket, "what": "remove", "id": id_})
    assert "red has too few pictures: 4" in panel.teach({"ticket": ticket})["error"]


def test_the_network_taken_home_opens_again_as_a_checkpoint(panel: teach.TeachPanel, tmp_path: Path) -> None:
    ticket = filled(panel)
    panel.teach({"ticket": ticket})
    told = panel.take({"ticket": ticket, "what": "network"})
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(told["data"]))) as archive:
        archive.extractall(tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    _, card = load_checkpoint(path)
    assert card.classes == ("red", "green", "blue") and card.n == 18 and "18 pictures" in card.knows
    assert card.details["pictures"] == {"red": 6, "green": 6, "blue": 6}
    assert card.interval is not None and card.interval[0] < card.accuracy <= card.interval[1] + 1e-9
    assert available_networks(tmp_path) == {"my-classes": path}
    live = panel.look({"ticket": ticket, "file": url(picture(99, BLUE))})["classes"]
    (tmp_path / "photo.jpg").write_bytes(picture(99, BLUE))
    run = Engine({"my-classes": path}, "cpu").run(tmp_path / "photo.jpg")
    found = {c.label: c.confidence for c in run.prediction.confidences}
    assert found == pytest.approx(dict(live), abs=5e-3)  # stored in float16
    code = (tmp_path / "use.py").read_text()
    compile(code, "use.py", "exec")
    assert path.name in code


def test_a_teaching_goes_on_tomorrow(panel: teach.TeachPanel, tmp_path: Path) -> None:
    ticket = filled(panel)
    panel.teach({"ticket": ticket})
    taught = teach.taught_in(panel.teachings.get(ticket))
    told = panel.take({"ticket": ticket, "what": "teaching"})
    path = tmp_path / "teaching.zip"
    path.write_bytes(base64.b64decode(told["data"]))
    other = panel.teachings.begin("tomorrow")
    panel.go_on(other, str(path))
    assert other.version == 1 and other.taught is None
    assert panel.state({"ticket": other.ticket})["classes"][1]["name"] == "green"
    again = other.teach()
    assert again.best == taught.best and (again.labels == taught.labels).all()
    weight = taught.answering.weight
    assert again.answering.weight == pytest.approx(weight, abs=0.02 * float(np.abs(weight).max()))  # float16
    ids = list(other.classes)
    told = panel.add({"ticket": other.ticket, "class": ids[0], "files": [url(picture(50, RED))]})
    assert len(told["added"]) == 1


def rewritten(path: Path, target: Path, change: Any) -> str:
    """A teaching's file with its note changed."""
    with zipfile.ZipFile(path) as archive:
        note, numbers = json.loads(archive.read("teaching.json")), archive.read("channel-means.f16")
    found = change(note, numbers)
    note, numbers = (note, numbers) if found is None else found
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("teaching.json", note if isinstance(note, str | bytes) else json.dumps(note))
        archive.writestr("channel-means.f16", numbers)
    return str(target)


HOSTILE: dict[str, Any] = {
    "another format": lambda note, _: note.update(format="x"),
    "no classes": lambda note, _: note.update(classes=[]),
    "many classes": lambda note, _: note.update(classes=note["classes"] * 9),
    "many pictures": lambda note, _: note["classes"][0].update(shown=["a"] * 5000),
    "classes of numbers": lambda note, _: note.update(classes=5),
    "a long picture": lambda note, _: note["classes"][0].update(shown=["A" * 20_000]),
    "blocks beyond all": lambda note, _: note.update(blocks=[["a", 10**12]]),
    "blocks of none": lambda note, _: note.update(blocks=[["a", -1]]),
    "fewer numbers": lambda note, numbers: (note, numbers[:-2]),
    "numbers that are none": lambda note, numbers: (note, b"\xff" * len(numbers)),
    "no numbers": lambda note, numbers: (note, b""),
    "a deep note": lambda note, numbers: ("[" * 100_000, numbers),
    "a list": lambda note, numbers: ("[1]", numbers),
    "a bomb": lambda note, numbers: (note, b"\0" * 80_000_000),
    "another network": lambda note, _: note.update(network="../../etc/passwd"),
    "weights that differ": lambda note, _: note.update(fingerprint=[1.0] * 5),
    "other blocks": lambda note, _: note["blocks"].reverse(),
    "a fingerprint of text": lambda note, _: note.update(fingerprint=["a"]),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_that_lies_is_refused_and_changes_nothing(
    kind: str, panel: teach.TeachPanel, tmp_path: Path
) -> None:
    ticket = filled(panel, 5, ("red", "green"))
    (tmp_path / "good.zip").write_bytes(
        base64.b64decode(panel.take({"ticket": ticket, "what": "teaching"})["data"])
    )
    bad = rewritten(tmp_path / "good.zip", tmp_path / "bad.zip", HOSTILE[kind])
    teaching = panel.teachings.get(ticket)
    with pytest.raises(TeachingError) as refused:
        panel.go_on(teaching, bad)
    assert str(refused.value).endswith(".") and len(str(refused.value)) < 200
    assert len(teaching.examples) == 10 and teaching.version == 0


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\0" * 1000, picture(0, 0)])
def test_what_is_no_zip_is_refused(data: bytes, panel: teach.TeachPanel, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(TeachingError, match="no file of"):
        panel.go_on(panel.teachings.begin(None), str(tmp_path / "a.zip"))


def test_a_picture_in_a_file_is_a_jpeg_or_nothing(panel: teach.TeachPanel, tmp_path: Path) -> None:
    ticket = filled(panel, 5, ("red", "green"))
    (tmp_path / "good.zip").write_bytes(
        base64.b64decode(panel.take({"ticket": ticket, "what": "teaching"})["data"])
    )

    def change(note: dict[str, Any], _: bytes) -> None:
        note["classes"][0]["shown"][0] = "data:image/svg+xml;base64,PHN2Zy8+"
        note["classes"][0]["name"] = "a\u202e" + "b" * 500

    bad = rewritten(tmp_path / "good.zip", tmp_path / "bad.zip", change)
    panel.go_on(panel.teachings.get(ticket), bad)
    first = panel.state({"ticket": ticket})["classes"][0]
    assert first["shown"][0][1] == "" and first["shown"][1][1].startswith("data:image/jpeg")
    assert first["name"] == "a" + "b" * 39


def test_thirty_teach_at_once_and_nothing_is_lost_or_mixed(panel: teach.TeachPanel) -> None:
    """Everyone has colours of their own order, and gets the answer in their own words."""
    start = threading.Barrier(30)

    def student(number: int) -> tuple[str, list[Any]]:
        start.wait(60)
        names = tuple(f"{colour}-{number}" for colour in range(3))
        ticket, ids = begun(panel, names)
        for place, id_ in enumerate(ids):
            colour = (place + number) % 3
            files = [url(picture(100 * number + i, colour, 40)) for i in range(6)]
            while (told := panel.add({"ticket": ticket, "class": id_, "files": files})).get("busy"):
                threading.Event().wait(0.05)
            assert told["refused"] == [] and len(told["added"]) == 6
        while (told := panel.teach({"ticket": ticket})).get("busy"):
            threading.Event().wait(0.05)
        assert "of 18 pictures" in told["report"]
        while (told := panel.look({"ticket": ticket, "file": url(picture(9, number % 3, 40))})).get("busy"):
            threading.Event().wait(0.05)
        return ticket, told["classes"]

    with ThreadPoolExecutor(30) as pool:
        found = list(pool.map(student, range(30)))
    for number, (ticket, classes) in enumerate(found):
        assert {name for name, _ in classes} == {f"{colour}-{number}" for colour in range(3)}
        assert classes[0][0] == f"0-{number}"
        taught = teach.taught_in(panel.teachings.get(ticket))
        assert taught.answering.right(taught.labels) >= 16
        assert panel.teachings.get(ticket).size < 18 * (4 * 992 + 3000)
    assert len(panel.teachings) == 30
    assert panel.teachings.size() < 30 * 18 * (4 * 992 + 3000)


def block(count: int) -> Any:
    return SimpleNamespace(name="a", shape=(count, 1, 1), activity=np.zeros(count, np.float32))


def test_there_is_a_bound_for_one_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teachings, "EACH_BYTES", 100_000)
    all_of_them = Teachings(most=5, each=3, most_bytes=200_000)
    first = all_of_them.begin("s1", "school")
    label = first.add_class("a")
    kept = 0
    with pytest.raises(TeachingError, match="all the pictures"):
        for _ in range(100):
            all_of_them.make_room(20_000)
            first.keep(label, "net", [block(5000)], "")
            kept += 1
    assert kept == 4 and first.size <= 100_000
    second = all_of_them.begin("s2", "school")
    label = second.add_class("a")
    with pytest.raises(TeachingError, match="no more room"):
        for _ in range(100):
            all_of_them.make_room(40_000)
            second.keep(label, "net", [block(5000)], "")
    assert all_of_them.size() <= 200_000
    all_of_them.begin("s3", "school")
    with pytest.raises(TeachingError, match="no more room"):
        all_of_them.begin("s4", "school")
    assert all_of_them.of("s2") is second
    first.used -= teachings.IDLE_S + 1  # now it may go
    all_of_them.begin("s4", "school")
    with pytest.raises(TeachingError, match="put away"):
        all_of_them.get(first.ticket)
    all_of_them.leave("s2")
    all_of_them.leave(None)
    assert len(all_of_them) == 2


def test_a_class_and_a_network_have_their_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teachings, "MOST", 3)
    teaching = Teaching("t", None, "")
    label = teaching.add_class("a")
    for _ in range(3):
        teaching.keep(label, "net", [block(5)], "")
    with pytest.raises(TeachingError, match="at most 3"):
        teaching.keep(label, "net", [block(5)], "")
    other = teaching.add_class("b")
    with pytest.raises(TeachingError, match="another network"):
        teaching.keep(other, "other", [block(5)], "")
    with pytest.raises(TeachingError, match="taken away"):
        teaching.keep(999, "net", [block(5)], "")


def test_programs_teach_with_five_calls(panel: teach.TeachPanel, tmp_path: Path) -> None:
    calls = {function.__name__: function for function in panel.endpoints()}
    with pytest.raises(EngineError, match="no network called"):
        calls["teach_begin"]("nobody's")
    ticket = calls["teach_begin"]("test-net")["teaching"]
    for colour, name in enumerate(("red", "green")):
        for i in range(5):
            path = tmp_path / f"{name}{i}.jpg"
            path.write_bytes(picture(i, colour))
            counts = calls["teach_add"](str(path), ticket, name)
        assert counts[name] == 5
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    with pytest.raises(TeachingError, match="damaged"):
        calls["teach_add"](str(tmp_path / "bad.jpg"), ticket, "red")
    told = calls["teach_fit"](ticket)
    assert told["classes"] == ["red", "green"] and len(told["blocks"]) == 5
    assert np.sum(told["confusion"]) == told["pictures"] == 10
    assert told["best"] in [found["block"] for found in told["blocks"]]
    json.dumps(told)
    answer = calls["teach_answer"](str(tmp_path / "green0.jpg"), ticket)
    assert max(answer, key=answer.__getitem__) == "green" and sum(answer.values()) == pytest.approx(1)
    calls["teach_end"](ticket)
    with pytest.raises(TeachingError, match="put away"):
        calls["teach_fit"](ticket)


def test_networks_elsewhere_are_taught_and_answer_but_do_not_come_onto_the_menu(
    panel: teach.TeachPanel, page: Page, engine: Engine
) -> None:
    ticket = filled(panel, 5, ("red", "green"))
    panel.teach({"ticket": ticket})
    far = SimpleNamespace(run=engine.run, info=engine.info)
    page.engine = SimpleNamespace(get=lambda: far)  # type: ignore[assignment]
    assert panel.look({"ticket": ticket, "file": url(picture(9, RED))})["classes"][0][0] == "red"
    assert "other machines" in panel.take({"ticket": ticket, "what": "network"})["error"]
    teaching = panel.teachings.get(ticket)
    taught = teaching.taught
    assert isinstance(taught, Taught)
    with pytest.raises(TeachingError, match="other machines"):
        lend_taught(page, "me", teaching, taught)


def test_the_document_has_the_bounds_of_the_code() -> None:
    text = Path(teach.__file__).with_suffix(".md").read_text(encoding="utf-8")
    for said in (
        f"One visitor keeps at most {teachings.EACH_BYTES // 10**6} MB",
        f"all together {teachings.ALL_BYTES // 10**6} MB",
        f"{teachings.TEACHINGS} teachings, {teachings.OF_ADDRESS} of one address",
        f"idle for {teachings.IDLE_S / 60:.0f} minutes",
        f"at most {teaching_files.MOST_ZIP // 10**6} MB",
    ):
        assert said in text, said


def test_a_thumbnail_is_what_the_network_saw(engine: Engine, tmp_path: Path) -> None:
    draw_photo(3, 400, 200).save(tmp_path / "wide.png")
    from resnet_demo.panels.own.teach_pictures import looked_at

    found, refused = looked_at(engine, "test-net", [(tmp_path / "wide.png").read_bytes()])
    run = engine.run(open_photo(tmp_path / "wide.png"))
    assert refused == []
    for mine, theirs in zip(found[0][0], run.blocks, strict=True):
        assert mine.activity == pytest.approx(theirs.activity, rel=1e-3, abs=1e-5)
    assert len(found[0][1]) < teaching_files.MOST_SHOWN
