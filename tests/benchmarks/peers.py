"""The nearest thing to our page that other tools do, on the same network and photo, for the benchmark's
``--peers``.

Needs ``pip install -r .ci/requirements-peers.txt``. One that is not installed, or fails, is left out with a
word.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resnet_demo.analysis.capture import residual_blocks
from resnet_demo.drawing.road_map import roadmap_html
from resnet_demo.drawing.streams import View
from resnet_demo.inference.engine import Engine
from resnet_demo.inputs.photo_decoding import open_photo
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.networks.resnet import ResNet
from resnet_demo.panels.look.inside_block import inside_html

SHOWN = 16  # channels of each block, as on the page
MEANING = {
    "torchlens_over_forward": "torchlens, all tensors logged, no pictures / reference",
    "captum_over_forward": "captum, LayerActivation of every block, no pictures / reference",
    "grad_cam_over_forward": "pytorch-grad-cam, a map of every block over the photo / reference",
    "mmengine_over_forward": f"mmengine draw_featmap, {SHOWN} channels of every block / reference",
    "matplotlib_over_forward": (
        f"forward hooks and matplotlib, {SHOWN} channels of every block as PNG / reference"
    ),
    "ours_over_forward": f"road map and {SHOWN} channels of four streams of every block, encoded / reference",
}


def torchlens(model: nn.Module, x: Tensor, photo: Any) -> Callable[[], Any]:
    import torchlens

    return lambda: torchlens.trace(model, x)


def captum(model: nn.Module, x: Tensor, photo: Any) -> Callable[[], Any]:
    from captum.attr import LayerActivation

    activation = LayerActivation(model, list(residual_blocks(model).values()))
    return lambda: activation.attribute(x)


def grad_cam(model: nn.Module, x: Tensor, photo: Any) -> Callable[[], Any]:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.image import show_cam_on_image
    from pytorch_grad_cam.utils.model_targets import RawScoresOutputTarget

    def draw() -> list[Any]:
        pictures = []
        for block in residual_blocks(model).values():
            with GradCAM(model, [block]) as cam:
                heat = cam(x.contiguous(), [RawScoresOutputTarget()])[0]
            pictures.append(show_cam_on_image(photo.astype(np.float32) / 255, heat, use_rgb=True))
        return pictures

    return draw


def features(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The output (C, H, W) of every block."""
    found: list[Tensor] = []
    handles = [
        block.register_forward_hook(lambda _m, _a, out: found.append(out[0].clone()))
        for block in residual_blocks(model).values()
    ]
    try:
        with torch.inference_mode():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return found


def mmengine(model: nn.Module, x: Tensor, photo: Any) -> Callable[[], Any]:
    from mmengine.visualization import Visualizer

    visualizer = Visualizer()
    return lambda: [
        visualizer.draw_featmap(maps, photo, channel_reduction=None, topk=SHOWN, arrangement=(4, 4))
        for maps in features(model, x)
    ]


def matplotlib(model: nn.Module, x: Tensor, photo: Any) -> Callable[[], Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    def draw() -> None:
        for maps in features(model, x):
            figure, axes = pyplot.subplots(4, 4, figsize=(6, 6))
            for axis, channel in zip(axes.flat, maps, strict=False):
                axis.imshow(channel.numpy(), cmap="viridis")
                axis.axis("off")
            figure.savefig(io.BytesIO())
            pyplot.close(figure)

    return draw


def things(data: bytes, reference: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """What to measure, "forward" being the reference: a bare pass of an input of shape ``reference`` (1, 3,
    H, W)."""
    torch.manual_seed(0)
    model = ResNet(3).eval()
    fast = ResNet(3).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(reference)
    wide = x.contiguous(memory_format=torch.channels_last)
    engine = Engine(available_networks(WEIGHTS), "cpu")
    photo = np.asarray(open_photo(data).resize((reference[3], reference[2])))

    def forward() -> None:
        with torch.inference_mode():
            fast(wide)

    def ours() -> list[str]:
        run = engine.run(data)
        blocks = range(len(run.blocks))
        return [roadmap_html(run), *(inside_html(run, View(block=i, channels=SHOWN)) for i in blocks)]

    found: dict[str, Callable[[], Any]] = {"forward": forward, "ours": ours}
    for peer in (torchlens, captum, grad_cam, mmengine, matplotlib):
        try:
            thing = peer(model, x, photo)
            thing()
            found[peer.__name__] = thing
        except Exception as error:  # noqa: BLE001 - a rival that does not run is no reason to stop
            print(f"{peer.__name__} is left out: {type(error).__name__}: {error}", file=sys.stderr)
    return found
