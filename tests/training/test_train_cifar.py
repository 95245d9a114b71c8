"""Training on CIFAR archives: same order for all, resumed bit for bit, decayed in a branch."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_demo.training.cifar_data import CLASSES, CifarDataError, load, padded, random_crops, read_archives
from resnet_demo.training.train_cifar import CifarRecipe, batch_of, fresh, load_state, train

RECIPE = CifarRecipe(batch=8, warmup=4, precision="float32")


def write_archive(path: Path, count: int, side: int = 32, name: str = "{label}.{number}.jpg") -> None:
    """Small JPEGs in which a class is a colour, as a .tar.gz."""
    rng = np.random.default_rng(count)
    with tarfile.open(path, "w:gz") as tar:
        for i in rng.permutation(count):
            label = int(i) % 10
            pixels = rng.integers(0, 60, (side, side, 3)) + np.array([label * 19, 190 - label * 19, 90])
            buffer = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=80)
            member = tarfile.TarInfo(name.format(label=CLASSES[label], number=i))
            member.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(member, buffer)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cifar")
    write_archive(folder / "cifar10-train-0.tar.gz", 30)
    write_archive(folder / "cifar10-train-1.tar.gz", 40)  # the first thirty names again, and ten more
    write_archive(folder / "cifar10-test.tar.gz", 20)
    return folder


def same_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_archives_are_read_by_class_and_number_and_kept_decoded(data: Path, tmp_path: Path) -> None:
    pixels, labels = load(data, "train", tmp_path)
    assert pixels.shape == (40, 3, 32, 32) and pixels.dtype == np.uint8
    assert labels.tolist() == sorted(labels.tolist()) and set(labels) == set(range(10))
    means = [pixels[labels == k][:, 0].mean() for k in range(10)]
    assert means == sorted(means)  # the red of a class grows with its number
    again, _ = load(tmp_path / "no such folder", "train", tmp_path)
    assert np.array_equal(again, pixels)


@pytest.mark.parametrize(
    ("name", "side", "said"),
    [
        ("{label}-{number}.jpg", 32, "class.number"),
        ("llama.{number}.jpg", 32, "llama"),
        ("{label}.{number}.jpg", 31, "31×31"),
    ],
)
def test_other_archives_are_refused_in_a_sentence(tmp_path: Path, name: str, side: int, said: str) -> None:
    write_archive(tmp_path / "cifar10-test.tar.gz", 3, side, name)
    with pytest.raises(CifarDataError, match=said):
        read_archives([tmp_path / "cifar10-test.tar.gz"])
    with pytest.raises(CifarDataError, match="No pictures"):
        read_archives([])


def test_crops_are_windows_of_the_padded_picture_half_of_them_mirrored() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    around = padded(pixels)
    assert around.shape == (5, 3, 40, 40) and np.array_equal(around[:, :, 4:36, 4:36], pixels)
    assert around[0, :, 0, 0].tolist() == [125, 123, 114]  # the mean colour
    which = np.repeat(np.arange(5), 40)
    crops = random_crops(around, which, np.random.default_rng(2))
    mirrored, places = 0, set()
    for crop, picture in zip(crops, which, strict=True):
        found = [
            (top, left, flip)
            for top in range(9)
            for left in range(9)
            for flip in (1, -1)
            if np.array_equal(around[picture, :, top : top + 32, left : left + 32][..., ::flip], crop)
        ]
        assert len(found) == 1
        mirrored += found[0][2] == -1
        places.add(found[0][:2])
    assert 60 < mirrored < 140 and len(places) > 60


def test_every_epoch_is_a_new_order_of_all_pictures() -> None:
    recipe = CifarRecipe(batch=10, seed=4)
    first = np.concatenate([batch_of(step, 50, recipe) for step in range(5)])
    second = np.concatenate([batch_of(step, 50, recipe) for step in range(5, 10)])
    assert sorted(first) == sorted(second) == list(range(50))
    assert first.tolist() != second.tolist()
    assert (
        first.tolist()
        != np.concatenate([batch_of(s, 50, CifarRecipe(batch=10, seed=5)) for s in range(5)]).tolist()
    )


def test_the_rate_warms_up_stays_and_in_a_branch_falls_to_nearly_zero() -> None:
    recipe = CifarRecipe(peak=0.1, warmup=10)
    assert recipe.learning_rate(0) == pytest.approx(0.01)
    assert recipe.learning_rate(9) == recipe.learning_rate(10**9) == pytest.approx(0.1)
    falling = [recipe.learning_rate(step, 100, 20) for step in range(95, 125)]
    assert falling[:5] == [pytest.approx(0.1)] * 5
    assert falling == sorted(falling, reverse=True)
    assert falling[24] == pytest.approx(0.1 / 40) and falling[25:] == [0.0] * 5


@pytest.mark.parametrize("network", ["resnet-20", "plain-20"])
def test_a_resumed_run_ends_with_the_bits_of_an_unbroken_one(
    data: Path, tmp_path: Path, network: str
) -> None:
    unbroken = train(network, data, tmp_path / "unbroken", RECIPE, 7, every=3, test_photos=10)
    for until in (2, 3, 7):
        resumed = train(network, data, tmp_path / "resumed", RECIPE, until, every=3, test_photos=10)
    assert same_bits(unbroken.model.state_dict(), resumed.model.state_dict())
    kept = [
        torch.load(tmp_path / w / network / "stable.pt", weights_only=True) for w in ("unbroken", "resumed")
    ]
    momentum = [k["optimiser"]["state"] for k in kept]
    assert all(
        torch.equal(momentum[0][i]["momentum_buffer"], momentum[1][i]["momentum_buffer"]) for i in momentum[0]
    )
    assert [r["step"] for r in unbroken.curve] == [3, 6, 7]
    assert [r["step"] for r in resumed.curve] == [2, 3, 6, 7]
    assert unbroken.curve[1]["loss"] == resumed.curve[2]["loss"]


def test_a_killed_run_goes_on_from_its_last_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = train("plain-20", data, tmp_path / "unbroken", RECIPE, 4, every=2, test_photos=10)
    replace, calls = os.replace, []

    def dies(source: Path, target: Path) -> None:
        if Path(target).name == "stable.pt":
            calls.append(target)
            if len(calls) == 2:
                raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        train("plain-20", data, tmp_path / "killed", RECIPE, 4, every=2, test_photos=10)
    monkeypatch.undo()
    state, _ = load_state(tmp_path / "killed" / "plain-20" / "stable.pt", "plain-20", RECIPE)
    assert state.step == 2
    resumed = train("plain-20", data, tmp_path / "killed", RECIPE, 4, every=2, test_photos=10)
    assert same_bits(unbroken.model.state_dict(), resumed.model.state_dict())


def test_a_decay_branches_off_resumes_and_leaves_the_stable_run_as_it_is(data: Path, tmp_path: Path) -> None:
    train("resnet-20", data, tmp_path, RECIPE, 4, test_photos=10)
    stable = tmp_path / "resnet-20" / "stable.pt"
    before = stable.read_bytes()
    decayed = train("resnet-20", data, tmp_path, RECIPE, 4, decay=4, every=2, test_photos=10)
    assert decayed.step == 8 and [r["rate"] for r in decayed.curve[-2:]] == [
        pytest.approx(0.1 * (1 - 1.5 / 4)),
        pytest.approx(0.1 * (1 - 3.5 / 4)),
    ]
    assert stable.read_bytes() == before
    train("resnet-20", data, tmp_path, RECIPE, 5, test_photos=10)  # the stable run goes on
    again = train("resnet-20", data, tmp_path, RECIPE, 4, decay=4, every=2, test_photos=10)
    assert same_bits(decayed.model.state_dict(), again.model.state_dict())
    with pytest.raises(CifarDataError, match="stands at step 5, not 4"):
        train("resnet-20", data, tmp_path, RECIPE, 4, decay=6, test_photos=10)


def test_a_checkpoint_of_another_recipe_is_refused(data: Path, tmp_path: Path) -> None:
    train("resnet-20", data, tmp_path, RECIPE, 1, test_photos=10)
    with pytest.raises(CifarDataError, match="another run"):
        train(
            "resnet-20", data, tmp_path, CifarRecipe(batch=8, seed=1, precision="float32"), 2, test_photos=10
        )


def test_twins_start_from_the_same_weights() -> None:
    residual, plain = fresh("resnet-20", RECIPE), fresh("plain-20", RECIPE)
    assert same_bits(residual.model.state_dict(), plain.model.state_dict())


def test_the_command_trains_and_prints_its_last_record(tmp_path: Path) -> None:
    write_archive(tmp_path / "cifar10-train-0.tar.gz", 130)
    write_archive(tmp_path / "cifar10-test.tar.gz", 20)
    command = [sys.executable, "-m", "resnet_demo.training.train_cifar", "--network", "resnet-20"]
    command += ["--data", str(tmp_path), "--work", str(tmp_path / "work"), "--until", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    record = json.loads(done.stdout.splitlines()[-1])
    assert record["network"] == "resnet-20" and record["step"] == 1 and 0 <= record["test_error"] <= 1
    wrong = subprocess.run(
        [*command[:-4], "--work", "x", "--until", "1", "--data", str(tmp_path / "no")],
        capture_output=True,
        text=True,
    )
    assert wrong.returncode == 1 and wrong.stderr.startswith("No pictures")
