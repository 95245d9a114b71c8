"""Files in the form in which torchvision publishes its weights: without counters of steps, in PyTorch's
layout of 2021, called by their hash."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

import torch
from torch import nn


def published(model: nn.Module) -> bytes:
    """The state dict of ``model`` without ``num_batches_tracked``, as torch.save wrote it in 2021.

    Later versions write further records into the archive (byte order, alignment, a serial number), and the
    name of the file for that of the folder.
    """
    state = {key: t for key, t in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    now, then = io.BytesIO(), io.BytesIO()
    torch.save(state, now)
    with zipfile.ZipFile(now) as source, zipfile.ZipFile(then, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            record = entry.filename.partition("/")[2]
            if record in ("data.pkl", "version") or record.startswith("data/"):
                target.writestr(zipfile.ZipInfo(f"archive/{record}"), source.read(entry))
    return then.getvalue()


def named_by_hash(stem: str, payload: bytes) -> str:
    """Such as resnet18-f37072fd.pth."""
    return f"{stem}-{hashlib.sha256(payload).hexdigest()[:8]}.pth"


def decided(model: Any) -> Any:
    """``model``, a ResNet of torchvision's of random weights, with a last layer that tells photos apart.

    Without it one class would have all of the probability, whatever the photo is. The differences between
    photos are small beside what random networks give for all, and rounding is scaled up with them, so it is
    not by much.
    """
    generator = torch.Generator().manual_seed(0)
    colours = torch.randn(6, 3, 1, 1, generator=generator)
    with torch.inference_mode():
        logits = model(colours + torch.randn(6, 3, 128, 128, generator=generator))
    mean = logits.mean(0)
    scale = 0.5 / (logits - mean).std()
    model.fc.weight.data.mul_(scale)
    model.fc.bias.data.sub_(mean).mul_(scale)
    return model
