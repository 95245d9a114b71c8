"""Questions about one answer that need gradients, asked of a copy of the network as its file has it.

The network that runs photos is folded and packed for speed, and carries no gradients. A question gets a plain
copy in float32 (the ledger of paths one in float64), contiguous: oneDNN's channels_last backward pass is not
to be trusted on the CPU. The copies of the networks asked last are kept; a copy answers one question at a
time.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_demo.analysis import (
    adversarial,
    feature_visualization,
    iterative_inference,
    kernel_products,
    path_ledger,
    pixel_attribution,
)
from resnet_demo.analysis.gating import gated
from resnet_demo.explanations import (
    Attack,
    FeatureVisualization,
    KernelProduct,
    PathLedger,
    PathLengths,
    PixelAttribution,
)
from resnet_demo.i18n import later
from resnet_demo.inference.forward import to_tensor
from resnet_demo.inference.interface import BUSY, PATIENCE_S, EngineError
from resnet_demo.inference.prediction import chances
from resnet_demo.networks.checkpoints import Card
from resnet_demo.networks.download import Progress, nothing
from resnet_demo.networks.residual_blocks import residual_blocks
from resnet_demo.records import Gate, Run

KEPT = 2  # copies
NO_PICTURE = later("This question is about pictures, and this network reads texts.")
MOST_STEPS = 256  # of gradient ascent
MOST_SIDE = 112  # pixels of a picture that excites: larger ones take seconds a step
RANDOM_STEPS = 16  # of integrated gradients, for the map of random weights, whose sum nobody needs
MOST_EPSILON = 64  # of 255
EPSILONS = (0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 16)  # tried in this order until the answer flips


@dataclass
class ExactNetwork:
    """A copy for questions: float32, contiguous, on the CPU, its gates open."""

    model: nn.Module
    card: Card
    lock: threading.Lock = field(default_factory=threading.Lock)


class ExactNetworks:
    """The copies of the networks that were asked last."""

    def __init__(self, read: Callable[[str], tuple[nn.Module, Card]]) -> None:
        """``read`` gives a network of that name as its file has it, nobody else's."""
        self._read = read
        self._kept: OrderedDict[str, ExactNetwork] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, name: str) -> Iterator[ExactNetwork]:
        """The copy of the network called ``name``, alone.

        Raises:
            EngineError: it stayed busy.
        """
        with self._lock:
            if name not in self._kept:
                model, card = self._read(name)
                model = model.eval().requires_grad_(False)
                model = model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
                self._kept[name] = ExactNetwork(model, card)
            self._kept.move_to_end(name)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            network = self._kept[name]
        if not network.lock.acquire(timeout=PATIENCE_S):
            raise EngineError(BUSY)
        try:
            yield network
        finally:
            network.lock.release()


@dataclass(frozen=True)
class Question:
    """How a question is asked.

    Attributes:
        ask: given the model, its card, the photo (1, C, H, W), whom to tell of progress, and the options by
        name.
        double: whether the model and the photo are in float64.
        pictures: whether it is about pictures alone, and not about texts.
    """

    ask: Callable[..., Any]
    double: bool = False
    pictures: bool = False


def explain(
    networks: ExactNetworks, question: str, run: Run, options: Mapping[str, Any], progress: Progress = nothing
) -> Any:
    """The answer to one of ``QUESTIONS`` about the photo of ``run``, gated as it was.

    Raises:
        EngineError: there is no such question, an option is out of range, or the network failed.
    """
    if question not in QUESTIONS:
        raise EngineError(f"No question is called {question!r:.60}; choose one of {', '.join(QUESTIONS)}.")
    asked = QUESTIONS[question]
    with networks.turn(run.network) as network:
        if not network.card.classes:
            raise EngineError(later("This network has no last layer, so there is no answer to explain."))
        if asked.pictures and network.card.preprocessing.characters:
            raise EngineError(NO_PICTURE)
        x = to_tensor(run.photo, network.card.preprocessing).contiguous()
        model = network.model
        if asked.double:
            model, x = copy.deepcopy(model).double(), x.double()
        try:
            with gates_of(model, run.gates):
                return asked.ask(model, network.card, x, progress, **options)
        except (ValueError, TypeError) as error:
            raise EngineError(later("This cannot be explained: {error}.", error=error)) from error


@contextmanager
def gates_of(model: nn.Module, gates: Sequence[Gate]) -> Iterator[None]:
    """Inside the ``with`` the blocks of ``model`` are gated as in a run."""
    named = dict(zip(residual_blocks(model), gates, strict=True)) if gates else {}
    with gated(model, named):
        yield


def explained_logit(logits: Tensor) -> int:
    """Which of (1, K) logits is explained: the largest, which is the only one of a binary network."""
    return int(logits[0].argmax())


def _paths(
    model: nn.Module, card: Card, x: Tensor, progress: Progress, by_length: bool = False
) -> PathLedger | PathLengths:
    if by_length or len(residual_blocks(model)) > path_ledger.MOST_BLOCKS:
        return path_ledger.path_lengths(model, x, progress=progress)
    return path_ledger.path_ledger(model, x)


def _attack(
    model: nn.Module,
    card: Card,
    x: Tensor,
    progress: Progress,
    epsilons: Sequence[float] = EPSILONS,
) -> Attack:
    wanted = [float(epsilon) for epsilon in epsilons]
    if not wanted or wanted != sorted(wanted) or not 0 < wanted[0] <= wanted[-1] <= MOST_EPSILON:
        raise ValueError(f"epsilons must ascend within 0..{MOST_EPSILON} (in 1/255), got {wanted}")
    found = adversarial.attack(model, x, card.preprocessing, wanted, progress=progress)
    logits = np.stack([found.logits_before, found.logits_after, found.logits_noise]).astype(np.float32)
    return replace(found, chances=tuple(map(tuple, chances(logits, card).tolist())))


def _refinement(model: nn.Module, card: Card, x: Tensor, progress: Progress) -> dict[str, float]:
    return iterative_inference.refinement(model, x)


def _pixels(model: nn.Module, card: Card, x: Tensor, progress: Progress) -> tuple[PixelAttribution, ...]:
    random = pixel_attribution.randomised(model)  # under the same gates
    with torch.no_grad():
        logits, of_mean_colour = model(x), model(torch.zeros_like(x))
    index = explained_logit(logits)
    logit = float(logits[0, index])
    promised = {
        "gradient × input": None,
        "integrated gradients": logit - float(of_mean_colour[0, index]),
        "full gradient": logit,
    }
    found = []
    parts = 2 * len(promised)
    for done, method in enumerate(promised):
        maps = []
        for which, network in enumerate((model, random)):

            def tell(share: float, before: int = 2 * done + which) -> None:
                progress((before + share) / parts)

            steps = pixel_attribution.IG_STEPS if network is model else RANDOM_STEPS
            maps.append(_map(method, network, x, index, steps, tell))
            tell(1.0)
        map_, other = maps
        similarity = rank_correlation(np.abs(map_), np.abs(other))
        total = float(map_.sum(dtype=np.float64))
        found.append(PixelAttribution(method, map_, total, promised[method], other, similarity))
    return tuple(found)


def _letters(model: nn.Module, card: Card, x: Tensor, progress: Progress) -> NDArray[np.float32]:
    with torch.no_grad():
        index = explained_logit(model(x))
    own, biases = pixel_attribution.full_gradient(model, x, index)
    found: NDArray[np.float32] = (own + biases).sum(0).float().numpy()
    return found


def _map(
    method: str, model: nn.Module, x: Tensor, index: int, steps: int, progress: Progress
) -> NDArray[np.float32]:
    if method == "gradient × input":
        found = pixel_attribution.gradient_x_input(model, x, index)
    elif method == "integrated gradients":
        found = pixel_attribution.integrated_gradients(model, x, index, steps=steps, progress=progress)
    else:
        photo, biases = pixel_attribution.full_gradient(model, x, index)
        found = photo + biases
    array: NDArray[np.float32] = found.cpu().float().numpy()
    return array


def rank_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Spearman's rank correlation of two arrays of one shape, -1..1; 0 if one is constant."""
    if any(array.max() == array.min() for array in (one, other)):
        return 0.0
    ranks = np.stack([array.ravel().argsort().argsort() for array in (one, other)]).astype(np.float64)
    correlations: NDArray[np.float64] = np.asarray(np.corrcoef(ranks))
    return float(correlations[0, 1])


def _feature_visualization(
    model: nn.Module,
    card: Card,
    x: Tensor,
    progress: Progress,
    block: str = "",
    stream: str = "pre_activation",
    channel: int = 0,
    steps: int = feature_visualization.STEPS,
    before: FeatureVisualization | None = None,
) -> FeatureVisualization:
    if not isinstance(channel, int) or not isinstance(steps, int) or not 1 <= steps <= MOST_STEPS:
        raise ValueError(f"a whole channel and 1 to {MOST_STEPS} steps are needed")
    side = max(16, min(MOST_SIDE, x.shape[-1]))
    ascent = feature_visualization.begin(model, block, stream, [channel], side, x.shape[1])
    if before is not None:
        spectra, first, second = (torch.from_numpy(array.copy()) for array in before.state)
        ascent = replace(ascent, spectra=spectra, first=first, second=second, step=before.step)
    ascent = feature_visualization.climb(model, ascent, card.preprocessing, steps, progress)
    found = feature_visualization.pictures_of(ascent)[0].permute(1, 2, 0)  # (h, w, C)
    picture = (found.expand(-1, -1, 3) * 255 + 0.5).to(torch.uint8).numpy()
    state = tuple(t.numpy() for t in (ascent.spectra, ascent.first, ascent.second))
    return FeatureVisualization(picture, float(ascent.excitation[0]), ascent.step, state)


def _products(
    model: nn.Module,
    card: Card,
    x: Tensor,
    progress: Progress,
    block: int,
    channel: int,
    row: int,
    column: int,
) -> tuple[KernelProduct | None, KernelProduct | None]:
    return kernel_products.kernel_products(model, x, block, channel, row, column)


QUESTIONS: dict[str, Question] = {
    "paths": Question(_paths, double=True),
    "attack": Question(_attack, pictures=True),
    "pixels": Question(_pixels, pictures=True),
    "refinement": Question(_refinement),
    "products": Question(_products),
    "feature_visualization": Question(_feature_visualization, pictures=True),
    "letters": Question(_letters),
}
