"""Labelled photos: the same from folders and shards; what is wrong is said in a sentence."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_demo.inputs.photo_decoding import open_photo
from resnet_demo.inputs.preprocessing import fit_photo
from resnet_demo.records import Preprocessing
from resnet_demo.training.data import (
    CLASSES,
    DataError,
    Labelled,
    from_folder,
    from_hub,
    from_shards,
    load_photos,
    without,
)


def encoded(grey: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (grey, grey, grey)).save(buffer, kind)
    return buffer.getvalue()


def shard(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def folder(path: Path, members: dict[str, bytes]) -> Path:
    for name, data in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def test_shards_give_names_labels_numbers_and_bytes_in_order(tmp_path: Path) -> None:
    first = shard(tmp_path / "a.tar", {"dog.3.jpg": b"x", "cat.10000.png": b"y"})
    second = shard(tmp_path / "b.tar.gz", {"deep/down/cat.7.webp": b"z"}, "w:gz")
    found = list(from_shards([first, second]))
    assert found == [Labelled("dog.3", 1, b"x"), Labelled("cat.10000", 0, b"y"), Labelled("cat.7", 0, b"z")]
    assert [photo.number for photo in found] == [3, 10_000, 7]


def test_shards_skip_what_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (("bird", tarfile.DIRTYPE), ("wolf.1.jpg", tarfile.SYMTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/hostname"
            tar.addfile(member)
    assert list(from_shards([path])) == []


@pytest.mark.parametrize("name", ["bird.1.jpg", "Cat.1.jpg", "1.jpg", "catalogue.1.jpg"])
def test_a_member_of_another_class_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="class of cat, dog") as caught:
        list(from_shards([shard(tmp_path / "a.tar", {name: b""})]))
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize("packed", [False, True])
def test_a_shard_cut_off_anywhere_is_named_or_ends_between_two_photos(tmp_path: Path, packed: bool) -> None:
    noise = np.random.default_rng(0).bytes(3000)
    members = {"cat.1.jpg": noise, "dog.2.jpg": noise[::-1]}
    path = shard(tmp_path / "a.tar", members, "w:gz" if packed else "w")
    whole = path.read_bytes()
    refused = 0
    for length in range(0, min(len(whole), 7000), 97):
        path.write_bytes(whole[:length])
        try:
            found = list(from_shards([path]))
        except DataError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert [p.data for p in found] == list(members.values())[: len(found)]
    assert refused > 20


def test_a_missing_or_foreign_shard_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_text("no tar at all")
    (tmp_path / "folder.tar").mkdir()
    bent = bytearray(gzip.compress(b"x" * 10_000))
    bent[40] ^= 255
    (tmp_path / "bent.tar").write_bytes(bent)
    for name in ("text.tar", "folder.tar", "bent.tar", "missing.tar"):
        with pytest.raises(DataError, match="not a readable tar shard") as caught:
            list(from_shards([tmp_path / name]))
        assert name in str(caught.value)


def test_a_folder_gives_photos_of_any_depth_and_suffix_cats_first(tmp_path: Path) -> None:
    members = ["dog/b.JPG", "dog/x/a.png", "cat/17.jpeg", "cat/cat.10001.webp", "cat/notes.txt", "bird/1.jpg"]
    found = list(from_folder(folder(tmp_path, dict.fromkeys(members, b"?"))))
    assert [(p.name, p.label) for p in found] == [
        ("cat.17", 0),
        ("cat.cat.10001", 0),
        ("dog.b", 1),
        ("dog.a", 1),
    ]
    assert [p.number for p in found] == [17, 10_001, -1, -1]
    assert all(isinstance(p.data, Path) and p.data.exists() for p in found)


@pytest.mark.parametrize("present", [[], ["cat/1.jpg"], ["dog/1.jpg"], ["cat/1.jpg", "dog/readme.txt"]])
def test_a_folder_without_both_classes_is_refused(tmp_path: Path, present: list[str]) -> None:
    with pytest.raises(DataError, match=r"must hold photos in cat/ and dog/; (cat|dog)/ has none") as caught:
        list(from_folder(folder(tmp_path, dict.fromkeys(present, b"?"))))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "number"),
    [("cat.17", 17), ("cat.0", 0), ("cat", -1), ("cat.", -1), ("cat.-5", -1), ("cat.²", -1), ("cat.1a", -1)],
)
def test_numbers_of_names(name: str, number: int) -> None:
    assert Labelled(name, 0, b"").number == number


def test_without_lists_nothing_is_left_out(tmp_path: Path) -> None:
    photos = [Labelled(f"cat.{n}", 0, b"") for n in (1, 10_000)]
    assert list(without(photos, tmp_path)) == photos


def test_a_pair_within_one_half_stays_and_one_across_loses_its_training_photo(tmp_path: Path) -> None:
    (tmp_path / "near_duplicates.tsv").write_text(
        "cat.1\tcat.2\ncat.10003\tcat.3\ndog.4\tdog.10004\ndog.10005\tdog.10006\n"
    )
    names = [f"{c}.{n}" for c in CLASSES for n in (1, 2, 3, 4, 10_003, 10_004, 10_005)]
    kept = {p.name for p in without((Labelled(n, CLASSES.index(n[:3]), b"") for n in names), tmp_path)}
    assert set(names) - kept == {"cat.3", "dog.4"}


def test_suspects_leave_training_but_never_validation(tmp_path: Path) -> None:
    (tmp_path / "suspects.txt").write_text("cat.5\ndog.5\ncat.12000\n")
    names = ["cat.5", "dog.5", "dog.6", "cat.12000"]
    assert [p.name for p in without((Labelled(n, 0, b"") for n in names), tmp_path)] == ["dog.6", "cat.12000"]


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_photos_are_decoded_as_the_page_decodes_them(tmp_path: Path, resize: str) -> None:
    preprocessing = Preprocessing(24, resize)  # type: ignore[arg-type]
    data = [encoded(grey, kind) for grey, kind in ((10, "PNG"), (120, "JPEG"), (250, "BMP"))]
    file = tmp_path / "x.png"
    file.write_bytes(data[0])
    photos = [Labelled("dog.0", 1, file), Labelled("cat.1", 0, data[1]), Labelled("dog.2", 1, data[2])]
    pixels, labels = load_photos(photos, preprocessing)
    assert labels.tolist() == [1, 0, 1]
    assert pixels.shape == (3, 24, 24, 3)
    assert pixels.dtype == np.uint8
    for one, raw in zip(pixels, data, strict=True):
        assert np.array_equal(one, fit_photo(open_photo(raw), preprocessing))


def test_labels_stay_with_their_photos_when_some_cannot_be_opened(capsys: pytest.CaptureFixture[str]) -> None:
    photos = [
        Labelled(f"cat.{i}", i % 2, b"junk" if i % 5 == 0 else encoded(100 + 100 * (i % 2)))
        for i in range(300)
    ]  # more than are decoded at a time
    pixels, labels = load_photos(photos, Preprocessing(8))
    assert len(pixels) == len(labels) == 240
    assert np.array_equal(pixels[:, 0, 0, 0], 100 + 100 * labels)
    assert "60 of 300 photos could not be opened and are left out." in capsys.readouterr().out


def test_not_one_readable_photo_is_an_error() -> None:
    with pytest.raises(DataError, match=r"None of the 2 validation photos can be opened; look at cat\.1\."):
        load_photos(
            [Labelled("cat.1", 0, b""), Labelled("dog.1", 1, b"x")], Preprocessing(8), "validation photos"
        )


def test_the_hub_without_its_package_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)  # as if not installed
    with pytest.raises(DataError, match="pip install datasets"):
        next(from_hub())


def test_hub_rows_become_labelled_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import SimpleNamespace

    rows = [{"image": Image.new("L", (30, 20), 40 * i), "labels": i % 2} for i in range(4)]
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=lambda name, split: rows))
    found = list(from_hub("some/set"))
    assert [(p.name, p.label) for p in found] == [("cat.0", 0), ("dog.0", 1), ("cat.1", 0), ("dog.1", 1)]
    assert isinstance(found[3].data, bytes)
    assert np.abs(np.asarray(open_photo(found[3].data)).astype(int) - 120).max() <= 3

    def offline(name: str, split: str) -> None:
        raise ConnectionError("no route")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=offline))
    with pytest.raises(DataError, match="some/set could not be fetched from the hub: no route"):
        next(from_hub("some/set"))
