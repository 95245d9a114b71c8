"""A replica: the engine of one process of a Ray cluster, and the sentences that it sends home.

Photos without gates that come close together share a pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray import serve

from resnet_demo.explanations import Ablation, GradientFlow
from resnet_demo.inference.interface import (
    FAILED,
    MAX_BATCH,
    EngineConfig,
    EngineError,
    NetworkInfo,
    ReplicaConfig,
)
from resnet_demo.inference.ray_cluster import threads_of
from resnet_demo.networks.download import Progress
from resnet_demo.records import STREAM_NAMES, Gate, Run

BATCH_WAIT_S = 0.004  # how long a photo waits for company; a pass takes ten times that on two cores
ONGOING = 2 * MAX_BATCH  # requests at a replica: one pass under way, the next one gathering

Asked = tuple[NDArray[np.uint8], str | None, tuple[str, ...]]  # photo, network, streams to keep


@dataclass(frozen=True)
class Refused:
    """An error whose sentence is for the visitor, on its way between machines."""

    kind: str
    sentence: str

    def error(self) -> Exception:
        """The error again, of its own kind."""
        if self.kind == "CheckpointError":
            from resnet_demo.networks.checkpoints import (
                CheckpointError,  # imports torch: not before it is needed
            )

            return CheckpointError(self.sentence)
        return EngineError(self.sentence)


def told(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What ``function`` returns, or a ``Refused``; an error that is not for the visitor is raised."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        if type(error).__name__ in ("EngineError", "CheckpointError", "DownloadError"):
            return Refused(type(error).__name__, error.args[0])  # still to be said in the visitor's language
        raise


class Replica:
    """One engine in a process of its own, on whichever machine Ray chooses."""

    def __init__(self, recipe: EngineConfig, threads: int) -> None:
        import torch

        from resnet_demo.inference.engine import build_engine

        torch.set_num_threads(threads)
        self.refused: Refused | None = None
        built = told(build_engine, recipe)
        if isinstance(built, Refused):  # a replica that cannot start would be started again for ever
            self.refused = built
        else:
            self.engine = built
            self.loaded = {None, built.default}

    async def ready(self) -> Refused | str:
        """The default network's name, or why there is none."""
        return self.refused or str(self.engine.default)

    async def run(
        self,
        photo: NDArray[np.uint8],
        network: str | None,
        gates: tuple[Gate, ...] = (),
        keep: tuple[str, ...] = STREAM_NAMES,
        exact: bool = False,
    ) -> Run | Refused:
        """As ``Engine.run``; photos without gates that come close together share a pass."""
        if network not in self.loaded:  # else its loading would hold up a pass of others
            found = await asyncio.to_thread(told, self.engine.network, network)
            if isinstance(found, Refused):
                return found
            self.loaded.add(network)
        if exact:
            return await asyncio.to_thread(told, self._exact, photo, network, gates, keep)
        if all(gate.open for gate in gates):
            shared: Run | Refused = await self.together((photo, network, keep))
            return shared
        gated: Run | Refused = await asyncio.to_thread(told, self.engine.run, photo, network, gates, keep)
        return gated

    def _exact(
        self, photo: NDArray[np.uint8], network: str | None, gates: tuple[Gate, ...], keep: tuple[str, ...]
    ) -> Run:
        return self.engine._run_all([photo], network, gates, keep, exact=True)[0]

    @serve.batch(  # type: ignore[untyped-decorator]
        max_batch_size=MAX_BATCH, batch_wait_timeout_s=BATCH_WAIT_S
    )
    async def together(self, asked: list[Asked]) -> list[Run | Refused]:
        """Several photos, those of the same network that keep the same streams in one pass."""
        return await asyncio.to_thread(self._pass, asked)

    def _pass(self, asked: Sequence[Asked]) -> list[Run | Refused]:
        answers: list[Run | Refused] = [Refused("EngineError", FAILED)] * len(asked)
        for network, keep in {(network, keep) for _, network, keep in asked}:
            places = [i for i, ask in enumerate(asked) if ask[1:] == (network, keep)]
            found = told(self.engine.run, [asked[i][0] for i in places], network, (), keep)
            if isinstance(found, Refused):  # nobody fails because of somebody else's photo
                found = [told(self.engine.run, asked[i][0], network, (), keep) for i in places]
            for i, answer in zip(places, found, strict=True):
                answers[i] = answer
        return answers

    async def ablation(self, run: Run) -> Ablation | Refused:
        """As ``Engine.ablation``."""
        found: Ablation | Refused = await asyncio.to_thread(told, self.engine.ablation, run)
        return found

    async def info(self, network: str | None) -> AsyncIterator[float | NetworkInfo | Refused]:
        """The share of a download that has arrived, again and again; then as ``Engine.info``."""
        async for step in stepwise(lambda progress: told(self.engine.info, network, progress)):
            if isinstance(step, NetworkInfo):
                self.loaded.add(network)
            yield step

    async def gradient_flow(
        self, run: Run, depth: int, norms: bool
    ) -> AsyncIterator[float | GradientFlow | Refused]:
        """The share that is done, again and again; then as ``Engine.gradient_flow``."""
        flow = self.engine.gradient_flow
        async for step in stepwise(lambda progress: told(flow, run, depth, norms, progress)):
            yield step

    async def explain(self, question: str, run: Run, options: dict[str, Any]) -> AsyncIterator[float | Any]:
        """The share that is done, again and again; then as ``Engine.explain``."""
        ask = self.engine.explain
        async for step in stepwise(lambda progress: told(ask, question, run, options, progress)):
            yield step


async def stepwise(work: Callable[[Progress], Any]) -> AsyncIterator[Any]:
    """Do ``work`` in a thread and yield what it tells of its progress, newest only, and then its result."""
    shares: list[float] = []
    working = asyncio.create_task(asyncio.to_thread(work, shares.append))
    told_last = -1.0
    while not working.done():
        await asyncio.wait([working], timeout=0.1)
        if shares and shares[-1] != told_last:
            told_last = float(shares[-1])
            yield told_last
    yield working.result()


def deployment(recipe: EngineConfig, fleet: ReplicaConfig, has: dict[str, float]) -> serve.Application:
    """The Serve application of ``fleet`` on a cluster that ``has`` so many CPUs and GPUs."""
    cpus = fleet.cpus or max(1.0, has.get("CPU", 1) // fleet.most)
    gpus = fleet.gpus
    if gpus is None:
        shared = has.get("GPU", 0) / fleet.most if recipe.device in ("auto", "cuda") else 0.0
        gpus = float(int(shared)) if shared >= 1 else int(shared * 100) / 100
    scaling: dict[str, Any] = (
        {"num_replicas": fleet.least}
        if fleet.least == fleet.most
        else {
            "autoscaling_config": {
                "min_replicas": fleet.least,
                "max_replicas": fleet.most,
                "target_ongoing_requests": MAX_BATCH / 2,
                "upscale_delay_s": 3.0,
                "downscale_delay_s": 300.0,
            }
        }
    )
    networks = serve.deployment(
        Replica,
        name="networks",
        max_ongoing_requests=ONGOING,
        ray_actor_options={"num_cpus": cpus, "num_gpus": gpus},
        health_check_period_s=2.0,
        health_check_timeout_s=30.0,
        graceful_shutdown_timeout_s=5.0,
        **scaling,
    )
    return networks.bind(recipe, threads_of(cpus))
