"""The five networks of torchvision the whole way: a file server, the page, and the answer of torchvision's
own code."""

from __future__ import annotations

import io
import json
import re
import tarfile
import threading
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from conftest import SHARED, draw_photo, lively
from PIL import Image
from published import decided, named_by_hash, published
from strangers import ask
from test_crowd import Pupil
from torch import nn

from resnet_demo.networks import torchvision_resnets as field
from resnet_demo.networks.torchvision_resnets import FILES
from resnet_demo.tools.app_process import Visitor

PHOTOS = SHARED / "data" / "native-validation.tar"
COUNT = 20
NAMES = tuple(FILES)


@cache
def photos() -> list[bytes]:
    """Twenty photos as they are found; drawn ones where ../shared is not."""
    if not PHOTOS.is_file():
        found = []
        for seed in range(COUNT):
            buffer = io.BytesIO()
            draw_photo(seed, 200 + 37 * seed, 640 - 21 * seed).save(buffer, "PNG")
            found.append(buffer.getvalue())
        return found
    with tarfile.open(PHOTOS) as archive:
        files = [archive.extractfile(member) for member in islice(archive, COUNT)]
        return [file.read() for file in files if file]


def made(name: str) -> nn.Module:
    """A network of torchvision's with random weights whose answers to different photos differ."""
    from torchvision import models

    torch.manual_seed(NAMES.index(name))
    return decided(lively(getattr(models, name.replace("-", "").lower())()))


class Files(BaseHTTPRequestHandler):
    """Serves what lies in ``folder``, and counts."""

    folder: Path
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        path = self.folder / self.path.lstrip("/")
        self.asked.append(path.name)
        if not path.is_file():
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        self.wfile.write(path.read_bytes())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def five(weights_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, type[Files]]]:
    """The page with the five on its menu, their files on a server of this machine."""
    from resnet_demo import app
    from resnet_demo.page.layout import page_options

    folder = tmp_path_factory.mktemp("models")

    class Served(Files):
        asked: ClassVar[list[str]] = []

    Served.folder = folder
    server = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            payload = published(made(name))
            patch.setitem(FILES, name, named_by_hash(name.replace("-", "").lower(), payload))
            (folder / FILES[name]).write_bytes(payload)
        patch.setattr(field, "SERVER", f"http://127.0.0.1:{server.server_port}/")
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
        patch.setenv("HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
        engine = app.defer_engine("cpu", weights_dir)
        demo = app.build_demo(engine, weights_dir)
        _, url, _ = demo.launch(
            prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **page_options()
        )
        yield url.rstrip("/"), Served
        demo.close()
    server.shutdown()


@pytest.mark.timeout(290)
@pytest.mark.parametrize("name", NAMES)
def test_the_page_answers_as_torchvision_does(five: tuple[str, type[Files]], name: str) -> None:
    from torchvision.models import ResNet18_Weights
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms._presets import ImageClassification

    url, served = five
    visitor = Visitor(url)
    classes = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    recipe = ImageClassification(crop_size=224, resize_size=256, interpolation=InterpolationMode.BILINEAR)
    model, worst, answers = made(name), 0.0, set()
    config = json.loads(ask(url.removeprefix("http://"), "GET", "/config")[1])
    pupil = Pupil(url.removeprefix("http://"), config, NAMES.index(name))
    network = next(c for c in config["components"] if c["props"].get("elem_id") == "network")
    network["props"]["value"] = name  # as this visitor has chosen it
    for number, data in enumerate(photos()):
        photo = Image.open(io.BytesIO(data)).convert("RGB")
        with torch.inference_mode():
            wanted = model(recipe(photo)[None]).softmax(1)[0].numpy()
        told = visitor.ask(data, "photo.webp", name)
        assert told.get("network") == name, told
        first = np.argsort(-wanted, kind="stable")[:5]
        assert [c["label"] for c in told["confidences"]] == [classes[i] for i in first]
        given = np.array([c["confidence"] for c in told["confidences"]])
        worst = max(worst, float(np.abs(given - wanted[first]).max()))
        answers.add(round(float(given[0]), 4))
        if number < 3:  # the page's own event shows the same
            answer = pupil.give(data)
            assert answer["success"], answer
            shown = next(text for text in strings(answer["output"]) if 'class="answer"' in text)
            assert classes[first[0]] in shown
            assert f"{100 * wanted[first[0]]:.1f}"[:-2] in "".join(re.findall(r"[\d.]+ ?%", shown))
    print(f"{name}: {COUNT} photos, {len(answers)} different answers, largest difference {worst:.1e}")
    assert worst < 1e-5
    assert len(answers) > 10  # or the answer to any photo would do
    assert served.asked.count(FILES[name]) == 1  # fetched once, for everybody


def strings(found: Any) -> Iterator[str]:
    """Every string in JSON."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for inner in found.values() if isinstance(found, dict) else found:
            yield from strings(inner)
