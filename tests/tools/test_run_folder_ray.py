"""A folder on Ray Data: one row a photo, the local engine's numbers, and no part done twice."""

# ruff: noqa: E402
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed (requirements-ray.txt)")
pytest.importorskip("pyarrow", reason="pyarrow is not installed (requirements-ray.txt)")
pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

import pyarrow.parquet as pq
from conftest import draw_photo
from rays import alive, children, until

from resnet_demo.inference.interface import EngineConfig, EngineError
from resnet_demo.tools.app_process import ROOT
from resnet_demo.tools.run_folder_ray import (
    NORMS,
    agree,
    manifest_of,
    passes,
    relative,
    run_folder,
    write_part,
)

PER_PART = 40
COUNT = 480  # several tasks for each of two actors, so that parts come one after the other


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small photos in two folders, one of them no photo."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "b").mkdir()
    for i in range(COUNT - 1):
        draw_photo(i, 80, 60).save(folder / ("b" if i % 3 else ".") / f"{i:03}.jpg")
    (folder / "b" / "broken.jpg").write_bytes(b"not a photo at all" * 50)
    return folder


def command(photos: Path, out: Path) -> list[str]:
    code = (
        "import sys; from pathlib import Path; from resnet_demo.tools.find_photos import find_photos; "
        "from resnet_demo.tools.run_folder_ray import run_folder; "
        "from resnet_demo.inference.interface import EngineConfig; "
        f"found = find_photos([Path({str(photos)!r})]).photos; "
        f"sys.exit(run_folder(found, Path({str(out)!r}), None, EngineConfig('cpu'), per_part={PER_PART}))"
    )
    return [sys.executable, "-c", code]


def rows_in(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(out.glob("part-*.parquet")) for row in pq.read_table(path).to_pylist()]


@pytest.fixture(scope="module")
def unbroken(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The results of a run that nobody stopped, and its summary."""
    out = tmp_path_factory.mktemp("unbroken")
    done = subprocess.run(command(photos, out), cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1, done.stderr  # one photo has no answer
    return out, json.loads(done.stdout.splitlines()[-1])


def test_a_row_a_photo_with_the_local_engines_numbers(
    photos: Path, unbroken: tuple[Path, dict[str, Any]]
) -> None:
    from resnet_demo.inference.engine import build_engine
    from resnet_demo.inputs.photo_decoding import open_photo

    out, summary = unbroken
    rows = rows_in(out)
    assert [row["path"] for row in rows] == sorted(
        p.relative_to(photos).as_posix() for p in photos.rglob("*.jpg")
    )
    assert (summary["photos"], summary["errors"], summary["parts"]) == (COUNT, 1, 12)
    assert [pq.read_metadata(p).num_rows for p in sorted(out.glob("*.parquet"))] == [PER_PART] * 12
    engine = build_engine(EngineConfig("cpu"))
    for row in rows:
        if row["path"] == "b/broken.jpg":
            assert row["label"] is None
            assert row["error"].endswith(".")
            continue
        assert row["error"] is None
        if int(Path(row["path"]).stem) % 40:
            continue
        run = engine.run(open_photo(photos / row["path"]))
        assert row["label"] == run.prediction.label
        assert row["logit"] == pytest.approx(run.prediction.logit, abs=1e-5)
        assert [c["label"] for c in row["confidences"]] == [c.label for c in run.prediction.confidences]
        assert sum(c["confidence"] for c in row["confidences"]) == pytest.approx(1)
        for told, block in zip(row["blocks"], run.blocks, strict=True):
            assert told["name"] == block.name
            for norm in NORMS:
                assert told[norm] == pytest.approx(getattr(block, norm), rel=1e-5, abs=1e-5)


def test_killed_and_started_again_it_repeats_no_part_and_ends_with_the_same_rows(
    photos: Path, unbroken: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    process = subprocess.Popen(command(photos, tmp_path), cwd=ROOT, stdout=subprocess.DEVNULL)
    assert until(lambda: len(list(tmp_path.glob("part-*.parquet"))) >= 2, 120)
    # Ray ends too; its two agents find out a minute later that they are alone
    started = [pid for pid, words in children(process.pid).items() if "Agent" not in words]
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert until(lambda: not any(alive(pid) for pid in started), 60)
    there = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in tmp_path.glob("part-*.parquet")}
    assert 2 <= len(there) < 12, "it was killed too late to show anything"
    (tmp_path / ".part-00011.parquet.partial").write_bytes(b"PAR1 half")  # as if it had been writing
    again = subprocess.run(command(photos, tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=200)
    summary = json.loads(again.stdout.splitlines()[-1])
    assert summary["parts_done_before"] == len(there)
    assert summary["photos_run"] == COUNT - sum(pq.read_metadata(path).num_rows for path in there)
    for path, mark in there.items():
        assert (path.stat().st_mtime_ns, path.stat().st_ino) == mark
    assert rows_in(tmp_path) == rows_in(unbroken[0])  # bit for bit


def test_when_all_is_done_nothing_is_done(photos: Path, unbroken: tuple[Path, dict[str, Any]]) -> None:
    began = time.monotonic()
    again = subprocess.run(
        command(photos, unbroken[0]), cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert json.loads(again.stdout.splitlines()[-1])["photos_run"] == 0
    assert again.returncode == 1
    assert time.monotonic() - began < 60


def test_other_photos_are_not_mixed_with_those_before(
    photos: Path, unbroken: tuple[Path, dict[str, Any]]
) -> None:
    some = sorted(photos.rglob("*.jpg"))[:60]
    with pytest.raises(EngineError, match=r"holds the results of another run \(photos, list differ\)"):
        run_folder(some, unbroken[0], None, EngineConfig("cpu"), per_part=PER_PART)


def test_the_manifest_knows_a_photo_that_grew(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"1")
    root, paths = relative([tmp_path / "b.jpg", tmp_path / "a.jpg", tmp_path / "a.jpg"])
    assert (root, paths) == (tmp_path, ["a.jpg", "b.jpg"])
    out = tmp_path / "out"
    out.mkdir()
    agree(out, manifest_of(root, paths, "n", "w", 10))
    agree(out, manifest_of(root, paths, "n", "w", 10))
    (tmp_path / "a.jpg").write_bytes(b"12")
    with pytest.raises(EngineError, match="list differ"):
        agree(out, manifest_of(root, paths, "n", "w", 10))
    with pytest.raises(EngineError, match="network"):
        agree(out, manifest_of(root, paths, "other", "w", 10))


def test_passes_stay_inside_their_part() -> None:
    paths = [f"{i:03}.jpg" for i in range(45)]
    every = [(p["part"], p["start"], json.loads(p["paths"])) for p in passes(paths, range(3), 20)]
    assert [path for _, _, some in every for path in some] == paths
    assert [(part, start, len(some)) for part, start, some in every] == [
        (0, 0, 8), (0, 8, 8), (0, 16, 4), (1, 20, 8), (1, 28, 8), (1, 36, 4), (2, 40, 5),
    ]  # fmt: skip
    later = [(p["part"], p["start"], json.loads(p["paths"])) for p in passes(paths, [1, 2], 20)]
    assert later == every[3:]


def test_a_part_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_power(_: int) -> None:
        raise OSError("no power")

    monkeypatch.setattr(os, "fsync", no_power)
    with pytest.raises(OSError, match="no power"):
        write_part(tmp_path / "part-00000.parquet", [{"path": "a.jpg"}])
    assert not (tmp_path / "part-00000.parquet").exists()
