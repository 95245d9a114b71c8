"""What is taken home: complete, readable without us, and the same every time."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo
from PIL import Image

import resnet_demo
from resnet_demo import serialize as export
from resnet_demo.app import no_engine
from resnet_demo.drawing.streams import View
from resnet_demo.inference.engine import Engine, EngineError
from resnet_demo.inference.interface import Limits
from resnet_demo.inference.lazy import Deferred
from resnet_demo.inference.run_cache import KeptRuns
from resnet_demo.inputs.preprocessing import fit_photo
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.panels.own.export import ExportPanel, take_html
from resnet_demo.panels.own.report import bundle, report_html, sheets, snippet
from resnet_demo.panels.page import GONE, Page
from resnet_demo.records import Gate, Run
from resnet_demo.serialize import record_of, save_streams


@pytest.fixture(scope="module")
def engine(weights_dir: Path) -> Engine:
    return Engine(available_networks(weights_dir), "cpu")


@pytest.fixture(scope="module")
def made(engine: Engine) -> Run:
    return engine.run(draw_photo(1))


def test_the_archive_holds_everything_and_says_what_it_is(made: Run) -> None:
    data = bundle(made, View(block=1), "")
    assert bundle(made, View(block=1), "") == data  # no clock in it
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    names = set(archive.namelist())
    assert {"README.md", "record.json", "streams.npz", "photo.png", "report.html", "reproduce.py"} <= names
    assert len([n for n in names if n.startswith("sheets/")]) == 20
    record = json.loads(archive.read("record.json"))
    assert record["label"] == made.prediction.label
    assert record["blocks"][0]["shape"] == [32, 90, 90]
    assert {"python", "torch", "gradio"} <= record["versions"].keys()
    with np.load(io.BytesIO(archive.read("streams.npz"))) as arrays:
        assert np.array_equal(arrays["photo"], made.photo)
        for block in made.blocks:
            assert np.array_equal(arrays[f"{block.name}/residual"], block.residual)
            total = arrays[f"{block.name}/residual"].astype(np.float32) + arrays[f"{block.name}/shortcut"]
            assert total == pytest.approx(arrays[f"{block.name}/pre_activation"], rel=2e-2, abs=2e-2)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(archive.read("photo.png")))), made.photo)
    assert str(len(made.blocks)) in str(record_of(made)["trace"])


def test_sheets_are_large_enough_to_be_looked_at(made: Run) -> None:
    for block in made.blocks:
        found = sheets(block)
        assert [name.split("-")[1] for name in found] == ["residual", "shortcut", "pre_activation", "output"]
        for png in found.values():
            picture = Image.open(io.BytesIO(png))
            assert picture.width >= 8 * 90
            assert picture.mode == "P"


def test_the_snippet_makes_the_same_run(made: Run, engine: Engine, weights_dir: Path, tmp_path: Path) -> None:
    gates = [Gate(0, 1), *[Gate()] * 4]
    gated = engine.run(made.photo, gates=gates)
    code = snippet(gated, View(block=2))
    assert "Gate(0, 1), Gate()" in code
    draw_photo(1).save(tmp_path / "photo.jpg", format="PNG")
    start = (
        "import sys, functools\nfrom pathlib import Path\nimport resnet_demo.inference.engine as e,"
        " resnet_demo.networks.checkpoints as w\n"
    )
    start += f"e.available_networks = lambda: w.available_networks(Path({str(weights_dir)!r}))\n"
    done = subprocess.run(
        [sys.executable, "-c", start + code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    label, ratio, _ = done.stdout.split()
    block = gated.blocks[2]
    assert label == gated.prediction.label
    assert float(ratio) == pytest.approx(block.residual_norm / block.shortcut_norm, rel=1e-3)
    assert (tmp_path / "streams.npz").exists()


@pytest.mark.parametrize("gates", [(), (Gate(1, 0), *[Gate()] * 4)])
def test_the_script_of_the_archive_runs_where_the_archive_was_unpacked(
    tmp_path: Path, gates: tuple[Gate, ...]
) -> None:
    run = Engine(device="cpu").run(draw_photo(3), gates=gates)  # of the networks that ship
    zipfile.ZipFile(io.BytesIO(bundle(run, View(), ""))).extractall(tmp_path / "unpacked")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "unpacked" / "reproduce.py")],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    label, confidence = done.stdout.split()
    assert (label, float(confidence)) == (
        run.prediction.label,
        pytest.approx(run.prediction.confidences[0].confidence, abs=1e-3),
    )
    with (
        np.load(tmp_path / "unpacked" / "streams.npz") as before,
        np.load(tmp_path / "unpacked" / "again.npz") as after,
    ):
        assert set(before) == set(after)
        for name in before:
            assert after[name].astype(np.float32) == pytest.approx(before[name].astype(np.float32), abs=0.02)


def test_the_report_stands_alone_and_escapes(made: Run) -> None:
    html = report_html(replace(made, network="<x>"), View(), ".a{}")
    assert "<title>" in html
    assert "&lt;x&gt;" in html
    assert "<x>" not in html
    assert "<button" not in html
    assert 'src="http' not in html
    assert "url(http" not in html


def test_the_panel_hands_out_files_for_the_right_key_alone(made: Run) -> None:
    kept = KeptRuns()
    key = kept.put(made)
    take = ExportPanel(Page(Deferred(no_engine), (), kept, Limits(), [])).take
    assert key in take_html(made, key, View())
    assert "is-empty" in take_html(None, None, View())
    for what, start in (
        ("zip", b"PK"),
        ("output", b"\x89PNG"),
        ("residual", b"\x89PNG"),
        ("report", b"<!doctype"),
        ("graph", b"<svg xmlns="),
    ):
        told = take({"key": key, "block": 1, "what": what})
        assert base64.b64decode(told["data"]).startswith(start)
    assert take({"key": "guess", "block": 1, "what": "zip"}) == {"error": GONE}
    for bad in (None, {}, {"key": key, "what": "../x"}, {"key": 5, "what": "zip"}, {"key": key}):
        assert set(take(bad)) == {"error"}


def test_the_library_is_five_lines(made: Run, tmp_path: Path) -> None:
    assert set(resnet_demo.__all__) >= {"Engine", "open_photo", "save_streams", "capture_blocks"}
    for name in resnet_demo.__all__:
        assert getattr(resnet_demo, name) is not None
    with pytest.raises(AttributeError, match="no attribute"):
        _ = resnet_demo.nothing
    path = save_streams(made, tmp_path / "s.npz")
    with np.load(path) as arrays:
        assert arrays["blocks.4/output"].shape == (512, 6, 6)


def test_a_batch_gives_each_photo_its_own_run(engine: Engine) -> None:
    photos = [draw_photo(seed) for seed in range(5)]
    for photo, together in zip(photos, engine.run(photos), strict=True):
        alone = engine.run(photo)
        assert together.prediction.logit == pytest.approx(alone.prediction.logit, abs=1e-4)
        assert together.blocks[3].residual_norm == pytest.approx(alone.blocks[3].residual_norm, rel=1e-4)
        assert np.array_equal(together.photo, alone.photo)
    assert engine.run([]) == []


def test_numbers_need_no_map_on_the_host(engine: Engine) -> None:
    photo = fit_photo(draw_photo(1), engine.network().card.preprocessing)
    (found,) = engine.run([photo], keep=())
    assert [block.shape for block in found.blocks][-1] == (512, 6, 6)
    assert not any(block.streams for block in found.blocks)
    assert (found.activation, found.read_outs) == (None, ())
    whole = export.run_as_dict(engine.run(photo))
    for block, other in zip(export.run_as_dict(found)["blocks"], whole["blocks"], strict=True):
        assert (block.pop("name"), block.pop("shape")) == (other.pop("name"), other.pop("shape"))
        assert block == pytest.approx(other, rel=1e-5)
    assert engine.run([], keep=()) == []


def test_only_the_streams_asked_for_are_kept(engine: Engine) -> None:
    photo = draw_photo(1)
    run = engine.run(photo, keep=["output", "residual"])
    assert [tuple(block.streams) for block in run.blocks] == [("residual", "output")] * 5
    whole = engine.run(photo)
    assert np.array_equal(run.blocks[2].output, whole.blocks[2].output)
    assert run.activation is not None
    with pytest.raises(KeyError):
        _ = run.blocks[0].shortcut
    with pytest.raises(EngineError, match="No stream is called 'sum'"):
        engine.run(photo, keep=("sum",))


def test_versions_leave_out_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PACKAGES", ("numpy", "no-such-package"))
    assert set(export.versions()) == {"python", "numpy"}
