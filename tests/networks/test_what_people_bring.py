"""What people bring, one line a case, and what must happen: it answers as their own code does, or one
sentence.

Every file is written by the library that people use, or by what their training scripts do.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import owners
import pytest
import torch
import torch.nn.functional as F
from conftest import draw_photo, lively
from example_networks import field, one_thread  # noqa: F401
from safetensors.torch import save_file
from torch import Tensor, nn

from resnet_demo.inference.engine import Engine
from resnet_demo.inference.forward import to_tensor
from resnet_demo.networks.own_networks import OwnNetwork
from resnet_demo.networks.resnet import ResNet

State = dict[str, Tensor]
Made = tuple[nn.Module, Any]  # the network that its owner has, and what lies in the file


def basic(**changes: Any) -> nn.Module:
    """torchvision's basic blocks, with parts replaced by name."""
    model = field("BasicBlock", (1, 1, 1, 1))
    for name, module in changes.items():
        setattr(model, name, module)
    return model


def bottlenecks(**options: int) -> nn.Module:
    return field("Bottleneck", (1, 2, 1, 1), **options)


def counted(state: Mapping[str, Tensor]) -> State:
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}


def prefixed(*prefixes: str) -> Callable[[State], Any]:
    return lambda state: {"".join(prefixes) + key: tensor for key, tensor in state.items()}


def cast(dtype: torch.dtype) -> Callable[[State], Any]:
    return lambda state: {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}


def under(*keys: str, **beside: Any) -> Callable[[State], Any]:
    """The state dict within mappings of these names, beside other entries."""

    def wrap(state: State) -> Any:
        found: Any = state
        for key in reversed(keys):
            found = {**beside, key: found}
        return found

    return wrap


def lightning(state: State) -> Any:
    """What Lightning's ModelCheckpoint writes of a module that holds its network as ``model``."""
    return {
        "epoch": 3,
        "global_step": 400,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": prefixed("model.")(state),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best_model_score": torch.tensor(0.9)}},
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": []}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.1},
    }


def imagenet_script(state: State) -> Any:
    """What PyTorch's ImageNet example writes as model_best.pth.tar."""
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    return {
        "epoch": 90,
        "arch": "resnet18",
        "state_dict": prefixed("module.")(state),
        "best_acc1": torch.tensor(70.0),
        "optimizer": optimizer,
    }


def timm_script(state: State) -> Any:
    """What timm's train.py writes, with averaged weights."""
    worse = {k: v + 1 if v.is_floating_point() else v for k, v in state.items()}
    return {"epoch": 1, "arch": "resnet18", "state_dict": worse, "state_dict_ema": state, "version": 2}


class CifarBlock(nn.Module):
    """As in the CIFAR networks that people copy: activations are functions, the shortcut a Sequential."""

    expansion = 1

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        if stride != 1 or into != out:
            self.shortcut = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        out += self.shortcut(x)
        return F.relu(out)


class PadShortcut(nn.Module):
    """Option A: every second pixel, and zeros for the new channels on both sides."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.planes = planes

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.planes // 4, self.planes // 4))


class CifarNetwork(nn.Module):
    """A CIFAR ResNet with a 3x3 stem: three stages or four, shortcuts of option A or B."""

    def __init__(self, depths: tuple[int, ...], width: int, option: str = "B") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        into = width
        for i, depth in enumerate(depths):
            blocks = []
            for j in range(depth):
                out, stride = width * 2**i, 2 if i and not j else 1
                block = CifarBlock(into, out, stride)
                if option == "A" and into != out:
                    block.shortcut = PadShortcut(out)  # type: ignore[assignment]
                blocks.append(block)
                into = out
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.stages = len(depths)
        self.linear = nn.Linear(into, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))  # type: ignore[no-any-return]


def cifar(depth: int, option: str = "B") -> nn.Module:
    return CifarNetwork(((depth - 2) // 6,) * 3, 16, option)


def grey() -> nn.Module:
    return basic(conv1=nn.Conv2d(1, 64, 7, 2, 3, bias=False))


def head(*layers: nn.Module) -> nn.Module:
    return basic(fc=nn.Sequential(*layers))


class Named(nn.Module):
    """A module of a training script that holds the network under a name, and a head under another."""

    def __init__(self, body: str, last: str, network: nn.Module | None = None) -> None:
        super().__init__()
        network = network or basic()
        network.fc = nn.Identity()
        self.names = body, last
        self.add_module(body, network)
        self.add_module(last, nn.Linear(512, 4))

    def forward(self, x: Tensor) -> Tensor:
        body, last = (getattr(self, name) for name in self.names)
        return last(body(x))  # type: ignore[no-any-return]


class Children(nn.Module):
    """``Sequential(*list(resnet.children())[:-1])`` and a linear layer, as tutorials have it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*list(basic().children())[:-1])
        self.fc = nn.Linear(512, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).flatten(1))  # type: ignore[no-any-return]


def plain(state: State) -> Any:
    return state


# what is brought: the name of the file, the network, what its owner did with the state dict, what the page
# says
LOADS: list[tuple[str, str, Callable[[], nn.Module], Callable[[State], Any], str]] = [
    ("torchvision, as safetensors", "a.safetensors", basic, plain, "as in torchvision"),
    ("torchvision, as .pth", "a.pth", basic, plain, "as in torchvision"),
    ("torchvision, as .pt", "a.pt", basic, plain, "as in torchvision"),
    ("torchvision, as .bin", "pytorch_model.bin", basic, plain, "as in torchvision"),
    ("a file without an ending", "weights", basic, plain, "as in torchvision"),
    ("without counters", "a.pth", basic, counted, "as in torchvision"),
    ("bottlenecks", "a.safetensors", bottlenecks, plain, "as in torchvision"),
    ("wide bottlenecks", "a.safetensors", lambda: bottlenecks(width_per_group=128), plain, ""),
    ("grouped", "a.safetensors", lambda: bottlenecks(groups=8, width_per_group=8), plain, ""),
    ("half precision", "a.safetensors", basic, cast(torch.float16), ""),
    ("bfloat16", "a.safetensors", basic, cast(torch.bfloat16), ""),
    ("bfloat16 as .pth", "a.pth", basic, cast(torch.bfloat16), ""),
    ("double precision", "a.pth", basic, cast(torch.float64), ""),
    ("under state_dict", "a.pth", basic, under("state_dict"), ""),
    ("under model", "a.pth", basic, under("model", epoch=3), ""),
    ("under net, as the CIFAR script does", "ckpt.pth", basic, under("net", acc=93.2, epoch=3), ""),
    ("under model_state_dict, as the tutorial", "a.pth", basic, under("model_state_dict", loss=0.1), ""),
    ("under state_dict_ema", "a.pth", basic, under("state_dict_ema"), "averaged weights"),
    ("under a name of one's own", "a.pth", basic, under("student_weights", epoch=3), ""),
    ("wrapped twice", "a.pth", basic, under("checkpoint", "state_dict", epoch=3), ""),
    ("DataParallel", "a.pth", basic, prefixed("module."), ""),
    ("compiled", "a.pth", basic, prefixed("_orig_mod."), ""),
    ("compiled and distributed", "a.pth", basic, prefixed("module.", "_orig_mod."), ""),
    ("distributed and compiled", "a.pth", basic, prefixed("_orig_mod.", "module."), ""),
    ("as model", "a.safetensors", basic, prefixed("model."), ""),
    ("as backbone", "a.safetensors", basic, prefixed("backbone."), ""),
    ("as resnet", "a.safetensors", basic, prefixed("resnet."), ""),
    ("as encoder.net.backbone", "a.safetensors", basic, prefixed("encoder.", "net.", "backbone."), ""),
    ("in a list of networks", "a.safetensors", basic, prefixed("networks.0."), ""),
    ("Lightning", "epoch=3-step=400.ckpt", basic, lightning, ""),
    ("PyTorch's ImageNet script", "model_best.pth.tar", basic, imagenet_script, ""),
    ("timm's script, averaged", "last.pth.tar", basic, timm_script, "averaged weights"),
    ("head: Sequential(Dropout, Linear)", "a.pth", lambda: head(nn.Dropout(), nn.Linear(512, 4)), plain, ""),
    ("head: Linear without bias", "a.pth", lambda: basic(fc=nn.Linear(512, 4, bias=False)), plain, ""),
    (
        "head: an MLP",
        "a.pth",
        lambda: head(nn.Linear(512, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 4)),
        plain,
        "ReLU between",
    ),
    (
        "head: an MLP of three",
        "a.pth",
        lambda: head(nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4)),
        plain,
        "ReLU between",
    ),
    (
        "head: an MLP with norms",
        "a.pth",
        lambda: head(nn.Linear(512, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4)),
        plain,
        "",
    ),
    ("head: norm, then Linear", "a.pth", lambda: head(nn.BatchNorm1d(512), nn.Linear(512, 4)), plain, ""),
    ("head: one output", "a.pth", lambda: basic(fc=nn.Linear(512, 1)), plain, ""),
    ("head: two outputs", "a.pth", lambda: basic(fc=nn.Linear(512, 2)), plain, "numbered"),
    (
        "head: a thousand outputs",
        "a.pth",
        lambda: basic(fc=nn.Linear(512, 1000)),
        plain,
        "ImageNet's classes",
    ),
    ("head as classifier", "a.pth", lambda: Named("backbone", "classifier"), plain, ""),
    ("head as head", "a.pth", lambda: Named("encoder", "head"), plain, ""),
    ("head of another name", "a.pth", lambda: Named("resnet", "to_classes"), plain, ""),
    ("grey", "a.pth", grey, plain, ""),
    ("children in a Sequential", "a.pth", Children, plain, ""),
    (
        "CIFAR's ResNet-18",
        "ckpt.pth",
        lambda: CifarNetwork((2, 2, 2, 2), 16),
        under("net", acc=1),
        "3×3 stem",
    ),
    ("CIFAR's ResNet-20, option A", "a.th", lambda: cifar(20, "A"), under("state_dict"), "pad with zeros"),
    ("CIFAR's ResNet-32, option A", "a.th", lambda: cifar(32, "A"), prefixed("module."), "pad with zeros"),
    ("CIFAR's ResNet-44, option B", "a.pth", lambda: cifar(44), plain, "3×3 stem"),
    ("CIFAR's ResNet-56, option B", "a.pth", lambda: cifar(56), plain, "3×3 stem"),
    ("CIFAR's ResNet-110, option A", "a.pth", lambda: cifar(110, "A"), plain, "pad with zeros"),
    ("CIFAR-100's ResNet by the paper's names", "a.pth", owners.PaperNames, plain, "3×3 stem"),
    ("of bottlenecks", "a.pth", lambda: owners.PaperNames(True), prefixed("module."), "3×3 stem"),
    ("averaged by PyTorch", "a.pth", basic, owners.averaged, "1 tensors are no part"),
    ("distributed twice, compiled", "a.pth", basic, prefixed("module.", "module.", "_orig_mod."), ""),
    ("compiled inside Lightning", "a.ckpt", basic, prefixed("model.", "_orig_mod."), ""),
    ("compiled twice", "a.pth", basic, prefixed("_orig_mod.", "module.", "_orig_mod."), ""),
    ("DeepSpeed", "a.pth", basic, prefixed("_forward_module.", "model."), ""),
    ("an EMA model by its name", "a.pth", basic, prefixed("ema_model."), ""),
    ("a student of a distillation", "a.pth", basic, prefixed("student.", "backbone."), ""),
    ("PEFT's base model", "a.safetensors", basic, prefixed("base_model.", "model."), ""),
    ("the first of a Sequential", "a.pth", basic, prefixed("0."), ""),
    ("half precision and bfloat16 mixed", "a.pth", basic, owners.mixed, ""),
    ("channels_last", "a.pth", basic, owners.channels_last, ""),
    ("parameters, not tensors", "a.pth", basic, owners.as_parameters, ""),
    ("options of a script beside it", "last.pt", basic, owners.run_options, ""),
    ("epoch, model, optimizer", "a.tar", basic, under("model", epoch=3, optimizer={"state": {}}), ""),
    ("OpenMMLab", "epoch_100.pth", basic, owners.mmlab, ""),
    ("VISSL", "a.torch", basic, owners.vissl, ""),
    ("beside a projection", "a.pth", basic, owners.beside_projection, "tensors are no part"),
    ("in capitals", "MODEL.SAFETENSORS", basic, plain, "as in torchvision"),
    ("the notebook's network", "a.safetensors", lambda: ResNet(3, widths=(4, 6, 8)), plain, ""),
]


@pytest.mark.parametrize(("what", "file", "make", "wrap", "says"), LOADS, ids=[case[0] for case in LOADS])
def test_it_loads_and_answers_as_its_owners_code(
    what: str,
    file: str,
    make: Callable[[], nn.Module],
    wrap: Callable[[State], Any],
    says: str,
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    model = lively(make())  # type: ignore[arg-type]
    path = tmp_path / file
    found = wrap({k: v.clone() for k, v in model.state_dict().items()})
    if file.lower().endswith(".safetensors"):
        save_file(found, path)
    else:
        torch.save(found, path)
    low = (torch.float16, torch.bfloat16)
    if any(isinstance(t, Tensor) and t.dtype in low for t in found.values()):  # as its owner would read it
        model = copy.deepcopy(model)
        model.load_state_dict(found)
    engine = Engine({"mine": OwnNetwork("mine", path, allow_pickle=True)}, "cpu")
    run = engine.run(draw_photo(3, 300, 200))
    loaded = engine.network("mine")
    with torch.inference_mode():
        x = to_tensor(run.photo, loaded.card.preprocessing)
        wanted = model(x)[0].numpy()
        assert np.allclose(loaded.model(x)[0].numpy(), wanted, atol=1e-4 * max(1, np.abs(wanted).max()))
    assert len(run.classes) == max(2, len(wanted))
    assert (
        run.prediction.label == run.classes[int(wanted.argmax()) if len(wanted) > 1 else int(wanted[0] > 0)]
    )
    assert says in run.notice
    for block in run.blocks:
        total = block.residual.astype(np.float32) + block.shortcut
        assert np.abs(total - block.pre_activation).max() <= 4e-3 * max(1, np.abs(block.pre_activation).max())
