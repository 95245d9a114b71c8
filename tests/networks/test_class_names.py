"""Class names in the forms that people have them, one line a case."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import lively
from example_networks import field
from safetensors.torch import save_file

from resnet_demo.networks.cards import CheckpointError
from resnet_demo.networks.class_names import read_class_names
from resnet_demo.networks.own_networks import OwnNetwork, load_own

NAMES = ("ant", "bee", "cat", "dog")
LINES = "ant\nbee\ncat\ndog\n"
TWO = ("tench", "goldfish")


def as_json(found: Any, encoding: str = "utf-8") -> bytes:
    return json.dumps(found, ensure_ascii=False).encode(encoding)


FORMS: list[tuple[str, bytes, tuple[str, ...]]] = [
    ("JSON list", as_json(NAMES), NAMES),
    ("JSON list with a byte order mark", as_json(NAMES, "utf-8-sig"), NAMES),
    ("JSON list in UTF-16", as_json(NAMES, "utf-16"), NAMES),
    ("JSON list in UTF-16 without mark", as_json(NAMES, "utf-16-le"), NAMES),
    ("JSON list in UTF-16, big end", codecs.BOM_UTF16_BE + as_json(NAMES, "utf-16-be"), NAMES),
    ("JSON list, indented", json.dumps(NAMES, indent=2).encode(), NAMES),
    ("number to name", as_json({"0": "ant", "1": "bee", "2": "cat", "3": "dog"}), NAMES),
    ("number to name, out of order", as_json({"3": "dog", "1": "bee", "0": "ant", "2": "cat"}), NAMES),
    ("number to name, from one", as_json({"1": "ant", "2": "bee", "3": "cat", "4": "dog"}), NAMES),
    ("more than ten", as_json({str(i): f"n{i}" for i in range(12)}), tuple(f"n{i}" for i in range(12))),
    ("name to number", as_json({"ant": 0, "bee": 1, "cat": 2, "dog": 3}), NAMES),
    ("name to number, out of order", as_json({"dog": 3, "cat": 2, "ant": 0, "bee": 1}), NAMES),
    ("ImageNet's class index", as_json({"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}), TWO),
    ("list of pairs", as_json([["n01440764", "tench"], ["n01443537", "goldfish"]]), TWO),
    ("id2label", as_json({"model_type": "resnet", "id2label": dict(enumerate(NAMES))}), NAMES),
    ("label2id", as_json({"model_type": "resnet", "label2id": {n: i for i, n in enumerate(NAMES)}}), NAMES),
    ("timm's label_names", as_json({"architecture": "resnet18", "label_names": NAMES}), NAMES),
    ("under classes", as_json({"classes": NAMES}), NAMES),
    ("objects with names", as_json([{"id": i, "name": n} for i, n in enumerate(NAMES)]), NAMES),
    ("objects out of order", as_json([{"id": 1, "name": "goldfish"}, {"id": 0, "name": "tench"}]), TWO),
    ("lines", LINES.encode(), NAMES),
    ("lines of Windows", LINES.replace("\n", "\r\n").encode(), NAMES),
    ("lines of an old Mac", LINES.replace("\n", "\r").encode(), NAMES),
    ("lines with a byte order mark", LINES.encode("utf-8-sig"), NAMES),
    ("lines in UTF-16", LINES.encode("utf-16"), NAMES),
    ("lines with empty ones", b"\n ant \n\nbee\ncat\t\ndog\n\n", NAMES),
    (
        "lines with commas",
        b"tench, Tinca tinca\ngoldfish, C. auratus\n",
        ("tench, Tinca tinca", "goldfish, C. auratus"),
    ),
    ("lines in Latin-1", "canapé\nmaïs\n".encode("latin-1"), ("canapé", "maïs")),
    ("lines in UTF-8", "猫\nñandú\n".encode(), ("猫", "ñandú")),
    ("numbered lines", b"0 ant\n1 bee\n2 cat\n3 dog\n", NAMES),
    ("numbered lines with colons", b"0: ant\n1: bee\n2: polar bear\n", ("ant", "bee", "polar bear")),
    ("names that begin with numbers", b"4 door car\n2 door car\n", ("4 door car", "2 door car")),
    ("ImageNet's synsets", b"n01440764 tench\nn01443537 goldfish\n", TWO),
    ("CSV, number first", b"0,ant\n1,bee\n2,cat\n3,dog\n", NAMES),
    ("CSV, number last", b"ant,0\nbee,1\ncat,2\ndog,3\n", NAMES),
    ("CSV with a heading", b"id,name\n0,ant\n1,bee\n2,cat\n3,dog\n", NAMES),
    ("CSV with semicolons, out of order", b"id;name\n1;goldfish\n0;tench\n", TWO),
    ("CSV with tabs", b"0\ttench\n1\tgoldfish\n", TWO),
    ("CSV of three columns", b"index,synset,name\n0,n01440764,tench\n1,n01443537,goldfish\n", TWO),
    ("CSV of three columns, the name first", b"name;id;count\ntench;0;500\ngoldfish;1;500\n", TWO),
    ("CSV of three columns without a heading", b"0,n01440764,tench\n1,n01443537,goldfish\n", TWO),
    ("CSV of pandas, with its own numbers", b",class\n0,tench\n1,goldfish\n", TWO),
    ("TSV with a heading", b"class_id\tclass_name\n1\tgoldfish\n0\ttench\n", TWO),
    (
        "lines with a comma each",
        b"tench, freshwater\ngoldfish, pond\n",
        ("tench, freshwater", "goldfish, pond"),
    ),
    ("YAML list", b"- ant\n- bee\n- cat\n- dog\n", NAMES),
    ("YAML with a remark", b"# of the garden\n- ant\n- bee\n- cat\n- dog\n", NAMES),
    (
        "YAML of Ultralytics",
        b"path: ../data\ntrain: images\nnames:\n  0: ant\n  1: bee\n  2: cat\n  3: dog\n",
        NAMES,
    ),
    ("YAML of Ultralytics, in one line", b"nc: 4\nnames: ['ant', 'bee', 'cat', 'dog']\n", NAMES),
    ("YAML of names and numbers", b"classes:\n  ant: 0\n  bee: 1\n  cat: 2\n  dog: 3\n", NAMES),
    ("JSON lines", b'{"id": 1, "name": "goldfish"}\n{"id": 0, "name": "tench"}\n', TWO),
    ("JSON lines of labels", b'{"label": "tench"}\n{"label": "goldfish"}\n', TWO),
    (
        "lists in a list",
        as_json([["tench", "Tinca tinca"], ["goldfish", "Carassius auratus"]]),
        ("Tinca tinca", "Carassius auratus"),
    ),
    ("id2label out of order, as text", as_json({"id2label": {"1": "goldfish", "0": "tench"}}), TWO),
    ("class_to_idx", as_json({"class_to_idx": {"goldfish": 1, "tench": 0}}), TWO),
    ("two classes of one name, as ImageNet has", as_json(["crane", "crane"]), ("crane", "crane")),
    ("a name with a colon", b"fish: tench\nfish: goldfish\n", ("fish: tench", "fish: goldfish")),
    ("CSV with quotes", b'0,"tench, Tinca tinca"\n1,"ray"\n', ("tench, Tinca tinca", "ray")),
]

NO_FORMS: list[tuple[str, bytes]] = [
    ("an empty file", b""),
    ("only blanks", b" \n \n"),
    ("an empty list", b"[]"),
    ("an empty object", b"{}"),
    ("half a list", b'["ant", "be'),
    ("numbers", b"[1, 2]"),
    ("nothing", b"[null, null]"),
    ("an empty name", as_json(["ant", ""])),
    ("a gap", as_json({"0": "ant", "2": "cat"})),
    ("two of one number", as_json({"ant": 0, "bee": 0})),
    ("a name of a thousand letters", as_json(["a" * 1000])),
    ("a picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    ("deeply nested", b"[" * 100_000),
    ("id2label with a gap", as_json({"id2label": {"0": "ant", "3": "bee"}})),
    ("YAML without names", b"nc: 3\nnames:\n"),
    ("YAML that makes objects", b"- !!python/object/apply:os.system ['true']\n"),
    ("half a YAML", b"names: [ant, bee\n"),
    ("something else", as_json({"width": "3", "height": "4"})),
]


@pytest.mark.parametrize(("what", "text", "wanted"), FORMS, ids=[form[0] for form in FORMS])
def test_the_forms(what: str, text: bytes, wanted: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "names").write_bytes(text)
    assert read_class_names(tmp_path / "names") == wanted


@pytest.mark.parametrize(("what", "text"), NO_FORMS, ids=[form[0] for form in NO_FORMS])
def test_what_is_no_list(what: str, text: bytes, tmp_path: Path) -> None:
    (tmp_path / "names.json").write_bytes(text)
    with pytest.raises(CheckpointError, match=r"^names\.json .*\.$"):
        read_class_names(tmp_path / "names.json")


CONFIG = as_json({"model_type": "resnet", "id2label": dict(enumerate(NAMES))})
NUMBERED = ("class 0", "class 1", "class 2", "class 3")
# files beside mine.safetensors, and the names that are taken
BESIDE: list[tuple[str, dict[str, bytes], tuple[str, ...]]] = [
    ("nothing", {}, NUMBERED),
    ("of the same stem", {"mine.classes.json": as_json(NAMES)}, NAMES),
    ("of the same stem, as text", {"mine.classes.txt": LINES.encode()}, NAMES),
    ("labels.txt", {"labels.txt": LINES.encode()}, NAMES),
    ("config.json of transformers", {"config.json": CONFIG}, NAMES),
    (
        "the stem before config.json",
        {"config.json": CONFIG, "mine.classes.txt": b"e\nf\ng\nh"},
        tuple("efgh"),
    ),
    ("labels.txt of another network", {"labels.txt": b"a\nb\n"}, NUMBERED),
    ("an unrelated mine.json", {"mine.json": as_json({"lr": 0.1})}, NUMBERED),
    ("a mine.json that is a list", {"mine.json": b"[1, 2]"}, NUMBERED),
]


@pytest.mark.parametrize(("what", "files", "wanted"), BESIDE, ids=[case[0] for case in BESIDE])
def test_names_that_lie_beside(
    what: str, files: dict[str, bytes], wanted: tuple[str, ...], tmp_path: Path
) -> None:
    save_file(lively(field("BasicBlock", (1, 1, 1, 1))).state_dict(), tmp_path / "mine.safetensors")  # type: ignore[arg-type]
    for name, text in files.items():
        (tmp_path / name).write_bytes(text)
    _model, card = load_own(OwnNetwork("mine", tmp_path / "mine.safetensors"))
    assert card.classes == wanted
    assert any("--classes" in said for said in card.assumed) == (wanted == NUMBERED)


INSIDE: list[tuple[str, Callable[[], dict[str, Any]]]] = [
    ("class_to_idx", lambda: {"class_to_idx": {n: i for i, n in enumerate(NAMES)}}),
    ("classes", lambda: {"classes": list(NAMES)}),
    ("OpenMMLab's meta", lambda: {"meta": {"CLASSES": NAMES, "epoch": 3}}),
    ("OpenMMLab's meta of today", lambda: {"meta": {"dataset_meta": {"classes": NAMES}}}),
    ("names, numbered", lambda: {"names": dict(enumerate(NAMES))}),
    ("Lightning's hyper_parameters", lambda: {"hyper_parameters": {"lr": 0.1, "class_names": list(NAMES)}}),
]


@pytest.mark.parametrize(("what", "entries"), INSIDE, ids=[case[0] for case in INSIDE])
def test_names_that_lie_in_the_checkpoint(
    what: str, entries: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    state = lively(field("BasicBlock", (1, 1, 1, 1))).state_dict()  # type: ignore[arg-type]
    torch.save({"state_dict": state, **entries()}, tmp_path / "mine.pth")
    _model, card = load_own(OwnNetwork("mine", tmp_path / "mine.pth", allow_pickle=True))
    assert card.classes == NAMES
