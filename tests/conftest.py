"""What several test files share: a small trained-like network on disk, photos drawn by code, a live
server."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_SSR_MODE"] = "False"
from resnet_demo.inference.process_tuning import OPENMP

os.environ.update({**OPENMP, **os.environ})  # as app.py does

import numpy as np
import pytest
import torch
from PIL import Image
from published import named_by_hash, published

from resnet_demo.analysis.linear_probes import Probe, save_probes
from resnet_demo.networks.checkpoints import Card, save_checkpoint
from resnet_demo.networks.resnet import ResNet
from resnet_demo.records import Preprocessing

SHARED = Path(__file__).resolve().parents[2] / "shared"
KNOWS = "This network has seen only cats and dogs, and must call everything one of them."


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ray's processes and the other tests' servers stay apart."""
    on_ray = [item for item in items if item.get_closest_marker("ray")]
    if len(on_ray) < len(items):
        command = "pytest tests/inference/test_ray_engine.py tests/tools/test_run_folder_ray.py"
        for item in on_ray:
            item.add_marker(pytest.mark.skip(reason=f"in a process of its own: {command}"))


def draw_photo(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """Coloured shapes on a gradient; another picture for every seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1) * rng.uniform(0.2, 1, 3)
    for _ in range(6):
        cx, cy, r = rng.integers(0, width), rng.integers(0, height), rng.integers(10, 80)
        pixels[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels.astype(np.uint8))


def lively(model: ResNet, seed: int = 0) -> ResNet:
    """Give a random network batch-norm statistics and affine values as different as training would."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            torch.nn.init.normal_(module.bias, 0, 0.2, generator=generator)
    return model.eval()


@pytest.fixture(scope="session")
def weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one checkpoint: the notebook's network, random but reproducible."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    model = lively(ResNet(3))
    model.linear.weight.data.mul_(30)  # so that different photos get clearly different logits
    card = Card("test-net", model.config, Preprocessing(180, "crop"), ("cat", "dog"), knows=KNOWS)
    path = save_checkpoint(model, card, folder)
    rng = np.random.default_rng(0)
    save_probes(
        {
            f"blocks.{i}": Probe(rng.normal(size=c).astype(np.float32) / c, 0.1, 0.6 + 0.05 * i, 100)
            for i, c in enumerate(model.config.widths)
        },
        path,
    )
    return folder


@pytest.fixture(scope="session")
def field_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A file server on loopback with a ResNet-18 of random weights, and nothing else: its address, the
    file."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    payload = published(lively(resnet18()))
    name = named_by_hash("resnet18", payload)

    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != f"/{name}":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            for start in range(0, len(payload), 1 << 21):  # about a second in all, so that progress shows
                self.wfile.write(payload[start : start + (1 << 21)])
                time.sleep(0.05)

        def log_message(self, *args: object) -> None:
            pass

    files = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=files.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{files.server_port}/", name
    files.shutdown()


@pytest.fixture(scope="session")
def served(
    weights_dir: Path, field_server: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Any]]:
    """The real app on a free port of this machine: its address, and the FastAPI app."""
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("gradio"))
    os.environ["TORCH_HOME"] = str(tmp_path_factory.mktemp("torch"))
    from resnet_demo import app
    from resnet_demo.networks import torchvision_resnets as field

    field.SERVER, field.FILES["ResNet-18"] = field_server
    from resnet_demo.page.layout import page_options

    engine = app.defer_engine("cpu", weights_dir)
    demo = app.build_demo(engine, weights_dir)
    engine.start()
    running, url, _ = demo.launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **page_options()
    )
    yield url.rstrip("/"), running
    demo.close()


@pytest.fixture(scope="session")
def server(served: tuple[str, Any]) -> str:
    """The address of the real app."""
    return served[0]
