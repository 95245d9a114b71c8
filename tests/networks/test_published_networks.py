"""The ResNets that timm, torchvision and transformers build, from their state dicts: same answers, same
streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from conftest import lively
from example_networks import assert_same, one_thread  # noqa: F401
from torch import nn

from resnet_demo.analysis.capture import capture_blocks
from resnet_demo.networks.own_networks import recognize
from resnet_demo.networks.residual_blocks import residual_blocks

TORCHVISION = ("resnet18", "resnet34", "resnet50", "resnet101", "wide_resnet50_2", "resnext50_32x4d")
TIMM = (  # one of each depth, stem, shortcut, attention, norm and pool
    *("resnet10t", "resnet14t", "resnet18", "resnet18d", "resnet26", "resnet26d", "resnet26t", "resnet34"),
    *(
        "resnet34d",
        "resnet50",
        "resnet50_gn",
        "resnet50c",
        "resnet50d",
        "resnet50s",
        "resnet50t",
        "resnet101d",
    ),
    *("resnetaa34d", "resnetaa50", "resnetaa50d", "resnetblur18", "resnetblur50", "resnetblur50d"),
    *("resnetrs50", "resnext50_32x4d", "resnext50d_32x4d", "resnext101_32x4d", "test_resnet"),
    *("ecaresnet26t", "ecaresnet50d", "ecaresnet50d_pruned", "ecaresnet50t", "ecaresnetlight"),
    *("ecaresnext26t_32x4d", "ecaresnext50t_32x4d", "seresnet18", "seresnet34", "seresnet50", "seresnet50t"),
    *("seresnetaa50d", "seresnext26d_32x4d", "seresnext26t_32x4d", "seresnext50_32x4d"),
)
CANNOT_TELL = "without timm's blurred (blur) or averaged (aa) strides"
X = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def made_by_timm(name: str) -> nn.Module:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    return lively(timm.create_model(name, num_classes=10))  # type: ignore[no-any-return]


def from_state(
    model: nn.Module, hints: Mapping[str, Any], file: str = "mine.pth"
) -> tuple[nn.Module, tuple[str, ...]]:
    found, _recognized, assumed = recognize(model.state_dict(), hints, file)
    assert [*residual_blocks(found)] == [*residual_blocks(model)]
    return found, assumed


def test_there_are_enough_of_them() -> None:
    assert len(TORCHVISION) + len(TIMM) > 45


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions(name: str) -> None:
    from torchvision import models

    torch.manual_seed(0)
    model = lively(getattr(models, name)(num_classes=10))
    found, assumed = from_state(model, {})
    assert_same(found, model, X)
    assert CANNOT_TELL in assumed[0]


@pytest.mark.parametrize("name", TIMM)
def test_timms_with_its_config(name: str) -> None:
    model = made_by_timm(name)
    found, assumed = from_state(model, {"architecture": name, "pretrained_cfg": {"num_classes": 10}})
    assert_same(found, model, X)
    assert not any("torchvision" in sentence or "name" in sentence for sentence in assumed)


@pytest.mark.parametrize("name", ["resnetaa34d", "resnetblur18", "seresnetaa50d"])
def test_timms_by_the_name_of_the_file(name: str) -> None:
    model = made_by_timm(name)
    found, assumed = from_state(model, {}, f"{name}_a1h-0123abcd.pth")
    assert_same(found, model, X)
    assert assumed[0].startswith("Assumed from the file's name")
    # nothing but the name tells: without it the answer is another, and the page says what was assumed
    other, assumed = from_state(model, {})
    assert CANNOT_TELL in assumed[0]
    with torch.inference_mode():
        assert not torch.allclose(other(X), model(X), atol=1e-3)


@pytest.mark.parametrize("layer_type", ["basic", "bottleneck"])
@pytest.mark.parametrize("stride_first", [False, True])
@pytest.mark.parametrize("hidden_act", ["relu", "silu"])
def test_transformers(layer_type: str, stride_first: bool, hidden_act: str) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 32, 64],
        depths=[1, 2, 1],
        layer_type=layer_type,
        downsample_in_bottleneck=stride_first,
        hidden_act=hidden_act,
        num_labels=5,
    )
    model = lively(transformers.ResNetForImageClassification(config))
    if hidden_act != "relu":
        with pytest.raises(RuntimeError, match="silu for ReLU"):
            recognize(model.state_dict(), config.to_dict(), "model.safetensors")
        return
    found, _recognized, assumed = recognize(model.state_dict(), config.to_dict(), "model.safetensors")
    with torch.inference_mode():
        wanted = model(X).logits
    with capture_blocks(found) as streams:
        assert torch.allclose(found(X), wanted, atol=1e-5)
    assert len(streams) == 4
    assert not any("torchvision" in sentence for sentence in assumed)


# what is brought, what is said of it: nothing is shown of a network that is another than it seems
OTHERS = (
    ("timm", "vit_tiny_patch16_224", "is a transformer"),
    ("timm", "convnext_atto", "is a ConvNeXt, EfficientNet or MobileNet"),
    ("timm", "efficientnet_b0", "is an EfficientNet, MobileNet or GhostNet"),
    ("timm", "mobilenetv3_small_050", "is an EfficientNet, MobileNet or GhostNet"),
    ("timm", "densenet121", "is a DenseNet"),
    ("timm", "botnet26t_256", "is a network of attention"),
    ("timm", "hrnet_w18_small", "form that is not known here"),
    ("timm", "res2net50_26w_4s", "form that is not known here"),
    ("timm", "resnest14d", "form that is not known here"),
    ("timm", "resnetv2_50", "not the state dict of a ResNet that is known here"),
    ("timm", "regnetx_002", "not the state dict of a ResNet that is known here"),
    ("torchvision", "vgg11_bn", "is a VGG, AlexNet or SqueezeNet"),
    ("torchvision", "efficientnet_b0", "is a ConvNeXt, EfficientNet or MobileNet"),
    ("torchvision", "shufflenet_v2_x0_5", "not the state dict of a ResNet that is known here"),
    ("torchvision", "vit_b_32", "is a network of attention"),
)


@pytest.mark.parametrize(("library", "name", "says"), OTHERS, ids=[f"{one[0]} {one[1]}" for one in OTHERS])
def test_other_networks_are_refused(library: str, name: str, says: str) -> None:
    if library == "timm":
        model = pytest.importorskip("timm").create_model(name)
    else:
        from torchvision import models

        model = getattr(models, name)()
    with pytest.raises(RuntimeError, match=says) as caught:
        recognize(model.state_dict(), {}, "mine.pth")
    assert str(caught.value).startswith("mine.pth ") and str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "name",
    ["segmentation.fcn_resnet50", "segmentation.deeplabv3_resnet50", "detection.retinanet_resnet50_fpn"],
)
def test_of_a_larger_network_the_backbone_is_shown_without_an_answer(name: str) -> None:
    """No layer of a detector is taken for a classifier because its shape fits."""
    from torchvision import models

    kind, _, function = name.partition(".")
    whole = getattr(getattr(models, kind), function)(weights=None, weights_backbone=None).eval()
    found, recognized, assumed = recognize(whole.state_dict(), {}, "mine.pth")
    assert recognized.config["head"] == ()
    assert any("no last layer" in said for said in assumed)
    assert any("are no part of the network and were left aside" in said for said in assumed)
    assert torch.equal(found.conv1.weight, next(iter(whole.state_dict().values())))


def test_features_alone_run_and_say_so() -> None:
    model = made_by_timm("resnet18")
    model.reset_classifier(0)  # type: ignore[operator]
    found, assumed = from_state(model, {})
    assert_same(found, model, X)
    assert any("no last layer" in said for said in assumed)
