"""The folder command: what it looks at, what it writes and where, and how it ends when something is in the
way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo, lively
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import resnet18

from resnet_demo import serialize as export
from resnet_demo.inference.engine import Engine
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.tools import run_folder as run
from resnet_demo.tools.find_photos import ending, find_photos

ROOT = Path(__file__).resolve().parents[2]
LINUX = sys.platform == "linux"


@pytest.fixture
def small_menu(weights_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks of ``weights_dir`` in the place of those that ship."""
    monkeypatch.setattr("resnet_demo.inference.engine.WEIGHTS", weights_dir)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos in folders, with the same names in several of them."""
    folder = tmp_path_factory.mktemp("album")
    for i, name in enumerate(
        ("cat/001.jpg", "cat/001.png", "dog/001.jpg", "dog/002.jpg", "001.jpg", "dog/cat/001.jpg")
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        draw_photo(i, 80, 60).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred photos: more than are run before anybody can react."""
    photos = tmp_path_factory.mktemp("many")
    draw_photo(1, 60, 60).save(photos / "000.jpg")
    for i in range(1, 200):
        os.link(photos / "000.jpg", photos / f"{i:03}.jpg")
    return photos


def streams(out: Path) -> dict[str, bytes]:
    """Every file of ``out`` and the photo that its streams are of."""
    return {
        path.relative_to(out).as_posix(): np.load(path)["photo"].tobytes()
        for path in sorted(out.rglob("*.npz"))
    }


def left_over(out: Path) -> list[str]:
    return [str(path) for path in out.rglob("*") if path.is_file() and path.suffix != ".npz"]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "resnet_demo", "run", *map(str, arguments)]


def started(arguments: Sequence[str | Path], **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        text=True,
        timeout=200,
        check=False,
        stderr=subprocess.PIPE,
        **more,  # type: ignore[call-overload]
    )


def test_the_command_runs_folders_and_names_what_it_cannot_read(
    tmp_path: Path, weights_dir: Path, small_menu: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for i in range(20):
        draw_photo(i, 60, 50).save(folder / ("sub" if i % 2 else ".") / f"{i:02}.png")
    (folder / "bad.jpg").write_bytes(b"no photo")
    (folder / "notes.txt").write_text("not looked at")
    assert run.main([str(folder), str(tmp_path / "gone.jpg"), "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert len(lines) == 20
    engine = Engine(available_networks(weights_dir), "cpu")
    for line in lines:
        with Image.open(line["photo"]) as photo:
            expected = engine.run(photo.convert("RGB")).prediction.logit
        assert line["logit"] == pytest.approx(expected, abs=1e-4)
    assert "bad.jpg" in told.err
    assert "gone.jpg" in told.err
    assert len(list((tmp_path / "out").rglob("*.npz"))) == 20
    assert run.main([str(tmp_path / "out")]) == 2
    assert "No photos were found" in capsys.readouterr().err


def test_the_command_says_the_same_without_keeping_streams(
    tmp_path: Path, weights_dir: Path, small_menu: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(run.BATCH + 3):
        draw_photo(i, 60 + i, 50).save(tmp_path / f"{i:02}.png")
    (tmp_path / "05.png").write_bytes(b"no photo")
    assert run.main([str(tmp_path)]) == 1
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [Path(line["photo"]).stem for line in lines] == [f"{i:02}" for i in range(run.BATCH + 3) if i != 5]
    assert "05.png" in told.err
    engine = Engine(available_networks(weights_dir), "cpu")
    for line in lines:
        with Image.open(line.pop("photo")) as photo:
            expected = export.run_as_dict(engine.run(photo.convert("RGB")))
        assert line.keys() == expected.keys()
        for block, other in zip(line["blocks"], expected["blocks"], strict=True):
            assert (block.pop("name"), block.pop("shape")) == (other.pop("name"), other.pop("shape"))
            assert block == pytest.approx(other, rel=1e-4, abs=1e-5)
        assert line["label"] == expected["label"]
        assert line["logit"] == pytest.approx(expected["logit"], abs=1e-4)
        assert line["milliseconds"] > 0


@pytest.mark.usefixtures("small_menu")
def test_streams_keep_the_folders_and_none_takes_the_place_of_another(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run.main([str(album), "--out", str(out), "--device", "cpu"]) == 0
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert "6 of 6 photos run" in told.err
    kept = streams(out)
    assert kept.keys() == {
        "001.npz", "cat/001.npz", "cat/001-2.npz", "dog/001.npz", "dog/002.npz", "dog/cat/001.npz"
    }  # fmt: skip
    assert len(set(kept.values())) == 6
    assert {Path(line["photo"]).relative_to(album).as_posix(): line["streams"] for line in lines} == {
        "001.jpg": str(out / "001.npz"),
        "cat/001.jpg": str(out / "cat" / "001.npz"),
        "cat/001.png": str(out / "cat" / "001-2.npz"),
        "dog/001.jpg": str(out / "dog" / "001.npz"),
        "dog/002.jpg": str(out / "dog" / "002.npz"),
        "dog/cat/001.jpg": str(out / "dog" / "cat" / "001.npz"),
    }
    assert run.main([str(album), "--out", str(out), "--device", "cpu"]) == 0  # the same photos again
    assert streams(out) == kept
    assert left_over(out) == []


@pytest.mark.usefixtures("small_menu")
def test_a_later_run_takes_nothing_from_an_earlier_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.npz").write_bytes(b"somebody's own file")
    for seed, name in enumerate(("one/a.jpg", "two/a.jpg")):
        (tmp_path / name).parent.mkdir()
        draw_photo(seed, 60, 60).save(tmp_path / name)
        assert run.main([str((tmp_path / name).parent), "--out", str(out), "--device", "cpu"]) == 0
    assert (out / "a.npz").read_bytes() == b"somebody's own file"
    assert sorted(path.name for path in out.iterdir()) == ["a-2.npz", "a-3.npz", "a.npz"]
    both = [str(tmp_path / "one" / "a.jpg"), str(tmp_path / "two")]
    assert run.main([*both, "--out", str(tmp_path / "both"), "--device", "cpu"]) == 0
    assert streams(tmp_path / "both").keys() == {"one/a.npz", "two/a.npz"}  # what the arguments do not share


@pytest.mark.usefixtures("small_menu")
def test_names_of_every_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    names = [b"new\nline.jpg", b"esc\x1b[31m.jpg", b".hidden.jpg", b"..jpg", b"n" * 251 + b".jpg", b"n" * 255,
             b"IMG.0001", b"IMG.0002", "größe.JPEG".encode()]  # fmt: skip
    if LINUX:
        names.append(b"latin-\xe9.jpg")
    for seed, name in enumerate(names):
        draw_photo(seed, 40, 30).save(tmp_path / "photo.jpg")
        os.rename(tmp_path / "photo.jpg", os.path.join(os.fsencode(folder), name))
    (folder / "broken\n\x1b[31m.jpg").write_bytes(b"no photo")
    assert run.main([str(folder), "--out", str(out), "--device", "cpu"]) == 1
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert {os.fsencode(line["photo"]) for line in lines} == {
        os.path.join(os.fsencode(folder), name) for name in names
    }
    assert len(set(streams(out).values())) == len(names)
    (wrong,) = [line for line in told.err.splitlines() if "broken" in line]
    assert "\x1b" not in wrong  # a name gives the terminal no orders


def test_what_is_looked_at(tmp_path: Path) -> None:
    draw_photo(1, 40, 30).save(tmp_path / "a.jpg")
    photo = (tmp_path / "a.jpg").read_bytes()
    for name in ("b.jfif", "c.jpe", "d.HEIC", "no-ending", "IMG.0001", "upper.JPG", ".hidden"):
        (tmp_path / name).write_bytes(photo)
    (tmp_path / "text-without-ending").write_text("BM is how this text begins")
    (tmp_path / "notes.txt").write_bytes(photo)
    (tmp_path / "empty").touch()
    (tmp_path / "._a.jpg").write_bytes(b"\0\x05\x16\x07" + bytes(100))
    (tmp_path / "sound.mp3").write_bytes(b"ID3")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.npz").touch()
    found = find_photos([tmp_path], tmp_path / "out")
    assert sorted(path.name for path in found.photos) == sorted(
        ["a.jpg", "b.jfif", "c.jpe", "d.HEIC", "no-ending", "IMG.0001", "upper.JPG", ".hidden"]
    )
    assert found.skipped == {"without ending": 2, ".txt": 1, ".jpg": 1, ".mp3": 1}
    assert [ending(name) for name in ("a.JPG", "a.tar.gz", "a.0001", "a. b", "a")] == [
        ".jpg",
        ".gz",
        "",
        "",
        "",
    ]
    assert run.told_skipped(found) == "5 other files skipped (2 without ending, 1 .jpg, 1 .mp3, 1 .txt)"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_photos_without_an_ending_are_known_by_their_beginning(tmp_path: Path, kind: str) -> None:
    draw_photo(1, 40, 30).save(tmp_path / "photo", kind)
    assert find_photos([tmp_path]).photos == [tmp_path / "photo"]


@pytest.mark.skipif(os.name == "nt", reason="links and pipes")
def test_loops_of_links_and_pipes_are_no_trap(tmp_path: Path) -> None:
    real = tmp_path / "photos" / "real"
    real.mkdir(parents=True)
    draw_photo(1, 40, 30).save(real / "a.jpg")
    (real / "up").symlink_to("..")
    (tmp_path / "photos" / "again").symlink_to("real")
    (real / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(real / "pipe.jpg")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    draw_photo(2, 40, 30).save(elsewhere / "b.jpg")
    (real / "linked").symlink_to(elsewhere)
    found = find_photos([tmp_path / "photos", real, real / "a.jpg"])
    assert [path.relative_to(real).as_posix() for path in found.photos] == [
        "a.jpg",
        "gone.jpg",
        "linked/b.jpg",
    ]
    assert found.skipped == {"special": 1}


@pytest.mark.usefixtures("small_menu")
def test_a_folder_that_cannot_be_listed_is_told(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "cat":
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert run.main([str(album), "--device", "cpu"]) == 1
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 3
    assert f"{album / 'cat'}: The folder could not be read (Permission denied)." in told.err


def test_many_photos_are_found_quickly(tmp_path: Path) -> None:
    for i in range(10_000):
        if i % 1000 == 0:
            (tmp_path / f"{i:05}").mkdir()
        (tmp_path / f"{i // 1000 * 1000:05}" / f"{i:05}.jpg").touch()
    began = time.monotonic()
    assert len(find_photos([tmp_path]).photos) == 10_000
    assert time.monotonic() - began < 30


@pytest.mark.usefixtures("small_menu")
def test_a_network_of_ones_own_as_in_the_app(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, weights = tmp_path / "a.jpg", tmp_path / "mine.safetensors"
    draw_photo(1).save(photo)
    save_file({k: v.contiguous() for k, v in lively(resnet18(num_classes=3)).state_dict().items()}, weights)
    classes = tmp_path / "names.json"
    classes.write_text('["red", "green", "blue"]')
    own = ["--checkpoint", str(weights), "--classes", str(classes), "--device", "cpu"]
    assert run.main([str(photo), *own]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["network"], len(line["blocks"])) == ("mine", 8)
    assert line["label"] in ("red", "green", "blue")
    assert run.main([str(photo), *own, "--network", "test-net"]) == 0
    assert json.loads(capsys.readouterr().out)["network"] == "test-net"
    assert run.main([str(photo), "--network", "nobody", "--device", "cpu"]) == 2
    assert "There is no network called 'nobody'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run.main([str(photo), "--checkpoint", str(tmp_path / "none.safetensors")])
    assert "none.safetensors is not a file" in capsys.readouterr().err
    weights.write_bytes(b"no weights")
    assert run.main([str(photo), *own]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.usefixtures("small_menu")
def test_a_folder_that_cannot_be_written_to_is_one_sentence(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere") if LINUX else None):
        if out is not None:
            assert run.main([str(album), "--out", str(out)]) == 2
            told = capsys.readouterr()
            assert told.out == ""
            assert told.err.count("\n") == 1
            assert f"{out} cannot be written to: " in told.err


@pytest.mark.usefixtures("small_menu")
def test_a_disk_that_becomes_full_leaves_no_half_file(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = np.savez_compressed, tmp_path / "out"

    def savez(file: object, **arrays: object) -> None:
        whole(file, **arrays)  # type: ignore[arg-type]
        if len(streams(out)) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", savez)
    assert run.main([str(album), "--out", str(out), "--device", "cpu"]) == 2
    told = capsys.readouterr()
    assert told.err.splitlines()[-1] == f"{out} cannot be written to: No space left on device."
    assert len(told.out.splitlines()) == 2
    assert len(streams(out)) == 2
    assert left_over(out) == []


@pytest.mark.skipif(os.name == "nt", reason="limits of the system")
def test_a_real_limit_on_files_ends_in_one_sentence(album: Path, tmp_path: Path) -> None:
    import resource

    done = started(
        [album, "--out", tmp_path / "out", "--device", "cpu"],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"{tmp_path / 'out'} cannot be written to: File too large."
    assert "Traceback" not in done.stderr
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


@pytest.mark.skipif(os.name == "nt", reason="a shell's pipe")
def test_a_reader_that_goes_away_ends_it_in_one_sentence(many: Path) -> None:
    with subprocess.Popen(
        command(many, "--device", "cpu"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()  # as head -1 does
        process.stdout.close()
        told = process.stderr.read()
    assert told.splitlines()[-1] == "Stopped, since nobody reads the output any more."
    assert "Traceback" not in told
    assert "Exception ignored" not in told


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_ends_it_in_one_sentence(album: Path) -> None:
    with open("/dev/full", "w") as full:
        done = started([album, "--device", "cpu"], stdout=full)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "The output cannot be written: No space left on device."
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("early", [True, False])
def test_a_stop_leaves_no_half_file(many: Path, tmp_path: Path, asked: signal.Signals, early: bool) -> None:
    out = tmp_path / "out"
    with subprocess.Popen(
        command(many, "--out", out, "--device", "cpu"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        if early:
            time.sleep(0.4)  # while torch is imported
        else:
            process.stdout.readline()
        process.send_signal(asked)
        _, told = process.communicate(timeout=60)
    assert process.returncode in (128 + asked, -asked)
    assert "Traceback" not in told
    if asked == signal.SIGINT:
        assert told.splitlines()[-1] == "Stopped."
    if not early:
        assert 0 < len(streams(out)) < 200
        assert left_over(out) == []
