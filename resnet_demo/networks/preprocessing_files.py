"""How a photo becomes a network's input, from the files that people have of it, without torch.

Ours (the fields of ``Preprocessing`` as JSON), transformers' ``preprocessor_config.json`` and timm's
``config.json`` (``pretrained_cfg``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_demo.i18n import later
from resnet_demo.networks.cards import MAX_HEADER, CheckpointError, read_bytes
from resnet_demo.networks.class_names import decode_text
from resnet_demo.records import Preprocessing

IMAGENET = Preprocessing(224, "crop", crop_share=0.875)  # torchvision's, of 2015 to 2020
CIFAR_10 = Preprocessing(32, "crop", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
# Pillow's numbers, which transformers stores
PILLOW = {2: "bilinear", 3: "bicubic", "bilinear": "bilinear", "bicubic": "bicubic"}


def read_preprocessing(path: Path, usual: Preprocessing) -> Preprocessing:
    """The recipe in ``path``; what it leaves open is as in ``usual``.

    Raises:
        CheckpointError: it cannot be read, is none of these forms, or asks for what cannot be done.
    """
    try:
        found = json.loads(decode_text(read_bytes(path, MAX_HEADER), path.name))
        if not isinstance(found, Mapping):
            raise TypeError("an object is needed")
        return preprocessing_from(found, usual)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise CheckpointError(
            later(
                "{file} does not say how a photo becomes the input ({reason}): size, crop_share, mean and std"
                " are read.",
                file=path.name,
                reason=f"{error!s:.120}",
            )
        ) from None


def preprocessing_from(found: Mapping[str, Any], usual: Preprocessing) -> Preprocessing:
    """The recipe in an object of any of the three forms. Raises ValueError, TypeError or LookupError if there
    is none."""
    if isinstance(found.get("pretrained_cfg"), Mapping):
        return _from_timm(found["pretrained_cfg"], usual)
    if "input_size" in found or ("crop_pct" in found and "image_mean" not in found):
        return _from_timm(found, usual)
    if "image_mean" in found or "do_resize" in found:
        return _from_transformers(found, usual)
    if {"resize_size", "crop_size"} <= found.keys():  # as torchvision's transforms call it
        crop, side = _first(found["crop_size"]), _first(found["resize_size"])
        found = {"size": crop, "crop_share": crop / side, **found}
    fields = {
        key: found[key]
        for key in ("size", "resize", "mean", "std", "crop_share", "interpolation")
        if key in found
    }
    if not fields:
        raise ValueError("none of its entries is known")
    return Preprocessing(**{**_usual(usual), **fields})


def _first(size: Any) -> int:
    """A size, or the one in a list of it."""
    return int(size[0] if isinstance(size, list) else size)


def _usual(usual: Preprocessing) -> dict[str, Any]:
    return dict(vars(usual))


def _from_timm(found: Mapping[str, Any], usual: Preprocessing) -> Preprocessing:
    size = found.get("test_input_size") or found.get("input_size") or (3, usual.size, usual.size)
    if len(size) != 3 or size[1] != size[2]:
        raise ValueError(f"a square input is needed, not {size}")
    share = found.get("test_crop_pct") or found.get("crop_pct") or usual.crop_share
    mode = found.get("crop_mode", "center")
    if mode not in ("center", "squash", "border"):
        raise ValueError(f"crop_mode {mode!r:.20}")
    interpolation = PILLOW.get(found.get("interpolation", usual.interpolation), "bilinear")
    return Preprocessing(
        size=int(size[1]),
        resize={"center": "crop", "squash": "squash", "border": "pad"}[mode],  # type: ignore[arg-type]
        mean=tuple(found.get("mean", usual.mean)),
        std=tuple(found.get("std", usual.std)),
        crop_share=float(share),
        interpolation=interpolation,  # type: ignore[arg-type]
    )


def _from_transformers(found: Mapping[str, Any], usual: Preprocessing) -> Preprocessing:
    resized, size = found.get("size"), usual.size
    share, resize = 1.0, "crop"
    crop = _side(found.get("crop_size")) if found.get("do_center_crop") else None
    if isinstance(resized, Mapping) and "shortest_edge" in resized:
        size = int(resized["shortest_edge"])
        if crop:  # ViT-like processors: resize, then crop
            size, share = crop, min(1.0, crop / size)
        elif "crop_pct" in found:  # ConvNeXt's, which ResNets have: size is what the network takes
            share = float(found["crop_pct"] or 1.0) if size < SQUASHED_FROM else 1.0
            resize = "crop" if size < SQUASHED_FROM else "squash"
    elif resized is not None:
        size = _side(resized) or usual.size
        if crop:
            size, share = crop, min(1.0, crop / size)
        else:
            resize = "squash"
    if not found.get("do_normalize", True):
        mean, std = (0.0,) * len(usual.mean), (1.0,) * len(usual.std)
    else:
        mean, std = tuple(found.get("image_mean", usual.mean)), tuple(found.get("image_std", usual.std))
    if not found.get("do_rescale", True):
        raise ValueError("values of 0 to 255 are not offered")
    if found.get("do_flip_channel_order") or found.get("rescale_offset"):
        raise ValueError("blue before red, or an offset before the mean, is not offered")
    scale = 255 * float(found.get("rescale_factor") or 1 / 255)  # 1 where values become 0 to 1
    mean, std = tuple(m / scale for m in mean), tuple(s / scale for s in std)
    interpolation = PILLOW.get(found.get("resample", usual.interpolation), "bilinear")
    kinds = {"crop_share": share, "interpolation": interpolation}
    return Preprocessing(size, resize, mean, std, **kinds)  # type: ignore[arg-type]


SQUASHED_FROM = 384  # pixels: ConvNeXt's processor squashes from there on


def _side(size: Any) -> int | None:
    if isinstance(size, Mapping):
        if size.get("height") != size.get("width"):
            raise ValueError(f"a square input is needed, not {dict(size)}")
        size = size.get("height")
    return int(size) if size is not None else None
