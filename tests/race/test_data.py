"""What the races learn from: the parts are apart, every kind is there, the stored sounds are the
project's."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_demo.race.data import DIGITS_HELD_OUT, KINDS, batches, load, picture, small_sound

PARTS = {"digits": (1437, 360, 8), "pictures": (1200, 300, 16), "sounds": (1000, 300, 16)}


@pytest.mark.parametrize("name", PARTS)
def test_the_parts_and_their_scale(name: str) -> None:
    data = load(name)
    train, test, side = PARTS[name]
    assert data.train.shape == (train, 1, side, side) and data.test.shape == (test, 1, side, side)
    assert data.train.dtype == data.test.dtype == np.float32
    assert data.train.mean() == pytest.approx(0, abs=1e-3) and data.train.std() == pytest.approx(1, abs=1e-3)
    assert data.test_labels[:10].tolist() == list(range(10))
    assert set(data.train_labels) == set(range(10)) and len(data.classes) == 10
    assert np.bincount(data.train_labels).min() > 90
    seen = {picture.tobytes() for picture in data.train}
    assert sum(picture.tobytes() in seen for picture in data.test) == 0


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    images = load_digits().images
    data = load("digits")
    ours = np.concatenate([data.train, data.test])[:, 0] * data.std + data.mean
    assert len(data.test) == DIGITS_HELD_OUT
    a, b = (np.sort(x.reshape(len(x), -1) @ np.arange(64.0) ** 2) for x in (ours * 16, images))
    assert a == pytest.approx(b, rel=1e-4)
    assert data.row().shape == (10, 8, 8)
    assert data.prepared(images[0] / 16)[0, 0] * data.std + data.mean == pytest.approx(
        images[0] / 16, abs=1e-6
    )


def test_stored_sounds_are_made_by_the_formula() -> None:
    from resnet_demo.inputs.synthetic_sounds import HELD_OUT, TRAINING
    from resnet_demo.race.data import STORED_SOUNDS

    with np.load(STORED_SOUNDS, allow_pickle=False) as stored:
        for index in (0, 17, 299):
            for part, first in (("train", TRAINING), ("test", HELD_OUT)):
                off = np.abs(stored[part][index].astype(int) - small_sound(index, first))
                assert off.max() <= 2, (part, index)  # another machine's sine may round otherwise


def test_pictures_repeat_differ_and_are_grey() -> None:
    for index in range(30):
        grey, label = picture(index)
        assert label == index % len(KINDS)
        assert grey.shape == (16, 16) and grey.min() >= 0 and grey.max() <= 1 and grey.std() > 0.05
        assert np.array_equal(grey, picture(index)[0])
        assert not np.array_equal(grey, picture(index + 10)[0])
        assert not np.array_equal(grey, picture(index, 1)[0])


def test_batches_use_every_picture_before_any_comes_again() -> None:
    order = batches(200, 7, 3)
    assert order.shape == (7, 64)
    flat = order.reshape(-1)
    assert sorted(flat[:200]) == sorted(flat[200:400]) == list(range(200))
    assert np.array_equal(order, batches(200, 7, 3)) and not np.array_equal(order, batches(200, 7, 4))


def test_there_is_no_other_data() -> None:
    with pytest.raises(ValueError, match="no data called 'cats'"):
        load("cats")
