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
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_demo.analysis import adversarial, iterative_inference, path_ledger, pixel_attribution
from resnet_demo.analysis.gating import gated
from resnet_demo.explanations import Attack, PathLedger, PathLengths, PixelAttribution
from resnet_demo.i18n import later
from resnet_demo.inference.forward import to_tensor
from resnet_demo.inference.interface import BUSY, PATIENCE_S, EngineError
from resnet_demo.networks.checkpoints import Card
from resnet_demo.networks.download import Progress, nothing
from resnet_demo.networks.residual_blocks import residual_blocks
from resnet_demo.records import Gate, Run

KEPT = 2  # copies
MOST_EPSILON = 64  # of 255


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
    """

    ask: Callable[..., Any]
    double: bool = False


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
    epsilons: Sequence[float] = (1, 2, 3, 4, 6, 8),
) -> Attack:
    wanted = [float(epsilon) for epsilon in epsilons]
    if not wanted or wanted != sorted(wanted) or not 0 < wanted[0] <= wanted[-1] <= MOST_EPSILON:
        raise ValueError(f"epsilons must ascend within 0..{MOST_EPSILON} (in 1/255), got {wanted}")
    return adversarial.attack(model, x, card.preprocessing, wanted)


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
    for done, method in enumerate(promised):
        map_, other = (_map(method, network, x, index) for network in (model, random))
        similarity = rank_correlation(np.abs(map_), np.abs(other))
        found.append(PixelAttribution(method, map_, float(map_.sum()), promised[method], other, similarity))
        progress((done + 1) / len(promised))
    return tuple(found)


def _letters(model: nn.Module, card: Card, x: Tensor, progress: Progress) -> NDArray[np.float32]:
    with torch.no_grad():
        index = explained_logit(model(x))
    own, biases = pixel_attribution.full_gradient(model, x, index)
    found: NDArray[np.float32] = (own + biases).sum(0).float().numpy()
    return found


def _map(method: str, model: nn.Module, x: Tensor, index: int) -> NDArray[np.float32]:
    if method == "gradient × input":
        found = pixel_attribution.gradient_x_input(model, x, index)
    elif method == "integrated gradients":
        found = pixel_attribution.integrated_gradients(model, x, index)
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


QUESTIONS: dict[str, Question] = {
    "paths": Question(_paths, double=True),
    "attack": Question(_attack),
    "pixels": Question(_pixels),
    "refinement": Question(_refinement),
    "letters": Question(_letters),
}
