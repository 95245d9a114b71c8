"""The engine of a cluster: replicas of the engine on Ray Serve, called as if they were here.

A run is pure, so a request whose replica died is asked again of another one. Runs come back through Ray's
object store: their arrays are read-only views of shared memory.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import serve
from ray.exceptions import (
    ActorUnavailableError,
    GetTimeoutError,
    ObjectLostError,
    RayActorError,
    TaskCancelledError,
)
from ray.serve.exceptions import DeploymentUnavailableError, RayServeException

from resnet_demo.explanations import Ablation, GradientFlow
from resnet_demo.inference.interface import (
    BUSY,
    FAILED,
    PATIENCE_S,
    EngineConfig,
    EngineError,
    NetworkInfo,
    Photo,
    PhotoEngine,
    ReplicaConfig,
    as_pixels,
)
from resnet_demo.inference.ray_cluster import join_ray, leave_ray
from resnet_demo.inference.ray_replica import ONGOING, Refused, deployment
from resnet_demo.networks.cards import WEIGHTS, read_menu
from resnet_demo.networks.download import Progress, nothing
from resnet_demo.records import Gate, Run, Timings

log = logging.getLogger(__name__)

TRIES = 3  # replicas that may die under one request: a photo that kills must not kill them all
STARTING_S = 600.0  # for the first replica; another machine may have to be started
LOST = (RayActorError, ActorUnavailableError, ObjectLostError, TaskCancelledError, DeploymentUnavailableError)


class RayEngine(PhotoEngine):
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
            self._default: str = self._ask("ready", patience=STARTING_S)
        except Exception:
            serve.delete(self.name)  # so that the next try starts anew
            raise

    def close(self) -> None:
        """Leave the cluster; one that was started here ends, its replicas with it."""
        atexit.unregister(self.close)
        leave_ray()

    @property
    def default(self) -> str:
        return self._default

    def info(self, network: str | None = None, progress: Progress = nothing) -> NetworkInfo:
        """As ``Engine.info``: one replica loads the network; another does so when it is first asked to run
        it."""
        known = self._info.get(network)
        if known is None:
            known = self._follow("info", (network,), progress)
            with self._lock:
                self._info[network] = known
        return known

    def _run_all(
        self,
        photos: list[Any],
        network: str | None,
        gates: tuple[Gate, ...],
        keep: tuple[str, ...],
        here: bool = False,
        exact: bool = False,
    ) -> list[Run]:
        """``timings.total`` is the time that passed here, and ``here`` means nothing. Photos go to the
        replicas one by one, which share passes as they come."""

        def one(photo: Photo) -> Run:
            started = time.perf_counter()
            # a photo of any size becomes a small picture here, before it travels
            pixels = as_pixels(photo, self.info(network))
            found: Run = self._ask("run", pixels, network, gates, keep, exact)
            spent = (time.perf_counter() - started) * 1e3
            return replace(found, timings=Timings(found.timings.prepare, found.timings.forward, spent))

        if len(photos) == 1:
            return [one(photos[0])]
        with ThreadPoolExecutor(min(len(photos), ONGOING)) as pool:
            return list(pool.map(one, photos))

    def first_taking(self, modality: str) -> str | None:
        """As ``Engine.first_taking``."""
        return next((e.name for e in read_menu(self.weights) if e.modality == modality), None)

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
