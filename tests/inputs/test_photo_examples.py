"""The examples work offline and are as named."""

from __future__ import annotations

import pytest

from resnet_demo.inputs import photo_examples as examples


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_every_example_opens_and_has_a_thumbnail(name: str) -> None:
    image = examples.example(name)
    assert image.mode == "RGB"
    assert min(image.size) >= 180
    assert len(set(image.resize((8, 8)).getdata())) > 10  # a picture, not a blank
    url = examples.thumbnail_url(name)
    assert url.startswith("data:image/png;base64,")
    assert len(url) < 20_000


def test_an_unknown_example_is_named() -> None:
    with pytest.raises(ValueError, match="no example called 'unicorn'"):
        examples.example("unicorn")
