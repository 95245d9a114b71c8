"""The engine of a cluster: replicas of the engine on Ray Serve, called as if they were here.

A run is pure, so a request whose replica died is asked again of another one. Runs come back through Ray's
object store: their arrays are read-only views of shared memory.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from ray import serve
from ray.exceptions import (
    ActorUnavailableError,
    GetTimeoutError,
    ObjectLostError,
    RayActorError,
    TaskCancelledError,
)
from ray.serve.exceptions import DeploymentUnavailableError, RayServeException

from resnet_demo.inference.interface import (
    BUSY,
    FAILED,
    MAX_BATCH,
    PATIENCE_S,
    EngineConfig,
    EngineError,
    NetworkInfo,
    Photo,
    PhotoT,
    ReplicaConfig,
    as_pixels,
    run_as,
    streams_to_keep,
)
from resnet_demo.inference.ray_cluster import join_ray, leave_ray, threads_of
from resnet_demo.networks.cards import WEIGHTS, read_menu
from resnet_demo.networks.download import Progress, nothing
from resnet_demo.records import STREAM_NAMES, Ablation, Gate, GradientFlow, Run, Timings

log = logging.getLogger(__name__)

BATCH_WAIT_S = 0.004  # how long a photo waits for company; a pass takes ten times that on two cores
ONGOING = 2 * MAX_BATCH  # requests at a replica: one pass under way, the next one gathering
TRIES = 3  # replicas that may die under one request: a photo that kills must not kill them all
STARTING_S = 600.0  # for the first replica; another machine may have to be started
LOST = (RayActorError, ActorUnavailableError, ObjectLostError, TaskCancelledError, DeploymentUnavailableError)


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
    ) -> Run | Refused:
        """As ``Engine.run``; photos without gates that come close together share a pass."""
        if network not in self.loaded:  # else its loading would hold up a pass of others
            found = await asyncio.to_thread(told, self.engine.network, network)
            if isinstance(found, Refused):
                return found
            self.loaded.add(network)
        if all(gate.open for gate in gates):
            shared: Run | Refused = await self.together((photo, network, keep))
            return shared
        gated: Run | Refused = await asyncio.to_thread(told, self.engine.run, photo, network, gates, keep)
        return gated

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


class RayEngine:
    """A ``PhotoEngine`` whose networks run in the replicas of ``fleet``; safe to call from many threads.

    On a cluster that was already there, the replicas stay when this process ends, and the next page with the
    same recipe and fleet uses them too; on one started here everything ends together.

    Raises:
        EngineError, CheckpointError: one sentence fit for the page.
    """

    def __init__(self, recipe: EngineConfig, fleet: ReplicaConfig) -> None:
        has = join_ray(fleet.address)
        self.weights = recipe.weights or WEIGHTS
        self.name = f"resnet-demo-{fingerprint(recipe, fleet)}"
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        serve.start(proxy_location="Disabled")  # the page is the way in
        running = serve.status().applications.get(self.name)
        if running is None or running.status != "RUNNING":
            here = serve.RunTarget(deployment(recipe, fleet, has), name=self.name, route_prefix=None)
            # not waited for here: on a full cluster that would have no end
            serve.run_many([here], wait_for_applications_running=False)
        self.handle = serve.get_app_handle(self.name)
        self._info: dict[str | None, NetworkInfo] = {}
        self._lock = threading.Lock()
        if fleet.address is None:
            atexit.register(self.close)
        try:
            self.default: str = self._ask("ready", patience=STARTING_S)
        except Exception:
            serve.delete(self.name)  # so that the next try starts anew
            raise

    def close(self) -> None:
        """Leave the cluster; one that was started here ends, its replicas with it."""
        atexit.unregister(self.close)
        leave_ray()

    def info(self, network: str | None = None, progress: Progress = nothing) -> NetworkInfo:
        """As ``Engine.info``: one replica loads the network; another does so when it is first asked to run
        it."""
        known = self._info.get(network)
        if known is None:
            known = self._follow("info", (network,), progress)
            with self._lock:
                self._info[network] = known
        return known

    @overload
    def run(
        self,
        photos: list[PhotoT],
        network: str | None = None,
        gates: Sequence[Gate] = (),
        keep: Collection[str] = STREAM_NAMES,
        here: bool = False,
    ) -> list[Run]: ...

    @overload
    def run(
        self,
        photos: Photo,
        network: str | None = None,
        gates: Sequence[Gate] = (),
        keep: Collection[str] = STREAM_NAMES,
        here: bool = False,
    ) -> Run: ...

    def run(
        self,
        photos: Any,
        network: str | None = None,
        gates: Sequence[Gate] = (),
        keep: Collection[str] = STREAM_NAMES,
        here: bool = False,
    ) -> Run | list[Run]:
        """As ``Engine.run``; ``timings.total`` is the time that passed here, and ``here`` means nothing. The
        photos of a list go to the replicas one by one, which share passes as they come."""
        if isinstance(photos, list):

            def one(photo: Photo) -> Run:
                return self.run(photo, network, gates, keep)

            with ThreadPoolExecutor(max(1, min(len(photos), ONGOING))) as pool:
                return list(pool.map(one, photos))
        started = time.perf_counter()
        # a photo of any size becomes a small picture here, before it travels
        pixels = as_pixels(photos, self.info(network))
        found: Run = self._ask("run", pixels, network, tuple(gates), streams_to_keep(keep))
        spent = (time.perf_counter() - started) * 1e3
        return replace(found, timings=Timings(found.timings.prepare, found.timings.forward, spent))

    def first_taking(self, modality: str) -> str | None:
        """As ``Engine.first_taking``."""
        return next((e.name for e in read_menu(self.weights) if e.modality == modality), None)

    def hear(
        self, samples: NDArray[np.float32], network: str | None = None, gates: Sequence[Gate] = ()
    ) -> Run:
        """As ``Engine.hear``."""
        return run_as("sound", self, samples, network, gates)

    def read_text(self, text: str, network: str | None = None, gates: Sequence[Gate] = ()) -> Run:
        """As ``Engine.read``."""
        return run_as("text", self, text, network, gates)

    def ablation(self, run: Run) -> Ablation:
        """As ``Engine.ablation``."""
        found: Ablation = self._ask("ablation", light(run))
        return found

    def gradient_flow(
        self, run: Run, depth: int, norms: bool = True, progress: Progress = nothing
    ) -> GradientFlow:
        """As ``Engine.gradient_flow``."""
        found: GradientFlow = self._follow("gradient_flow", (light(run), depth, norms), progress)
        return found

    def explain(
        self, question: str, run: Run, options: Mapping[str, Any] | None = None, progress: Progress = nothing
    ) -> Any:
        """As ``Engine.explain``."""
        return self._follow("explain", (question, light(run), dict(options or {})), progress)

    def _ask(self, method: str, *args: Any, patience: float | None = None) -> Any:
        """The answer of one replica."""
        patience = PATIENCE_S if patience is None else patience

        def once(remaining: float) -> Any:
            response = getattr(self.handle, method).remote(*args)
            try:
                return response.result(timeout_s=remaining)
            except (TimeoutError, GetTimeoutError):
                response.cancel()
                raise

        return self._persist(method, once, patience)

    def _follow(self, method: str, args: tuple[Any, ...], progress: Progress) -> Any:
        """The last thing that one replica says; whatever it says before is progress."""

        def once(_: float) -> Any:
            said: Iterator[Any] = getattr(self.handle.options(stream=True), method).remote(*args)
            for step in said:
                if not isinstance(step, float):
                    return step
                progress(step)
            raise EngineError(FAILED)

        return self._persist(method, once, PATIENCE_S)

    def _persist(self, method: str, once: Callable[[float], Any], patience: float) -> Any:
        """Ask once, and once more of another replica for every one that died; bounded in number and time."""
        until = time.monotonic() + patience
        for attempt in range(1, TRIES + 1):
            try:
                answer = once(max(0.01, until - time.monotonic()))
            except LOST as error:
                log.warning("a replica died during %s (%d of %d): %s", method, attempt, TRIES, error)
                if time.monotonic() > until:
                    break
                continue
            except (TimeoutError, GetTimeoutError):
                raise EngineError(BUSY) from None
            except RayServeException as error:  # nobody is there to ask
                raise EngineError(BUSY) from error
            if isinstance(answer, Refused):
                raise answer.error()
            return answer
        raise EngineError(FAILED)


def fingerprint(recipe: EngineConfig, fleet: ReplicaConfig) -> str:
    """Eight hex digits that change with the code, the networks on offer and the fleet: replicas are shared by
    pages that agree on all of them."""
    digest = hashlib.sha256(repr((recipe, replace(fleet, address=None))).encode())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    for path in sorted((recipe.weights or WEIGHTS).glob("*.safetensors")):
        digest.update(path.name.encode())  # a checkpoint's name ends in its hash
    return digest.hexdigest()[:8]


def light(run: Run) -> Run:
    """``run`` without what the experiments on its photo do not read: it travels in one packet."""
    return replace(run, blocks=(), trace=(), activation=None, read_outs=(), contributions={}, fields={})
