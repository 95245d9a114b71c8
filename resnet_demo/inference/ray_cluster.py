"""Join a Ray cluster, or start one on this machine that ends with this process."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when ray is imported

try:
    import ray
except ImportError:
    ray = None

from resnet_demo.inference.interface import NO_RAY, EngineError
from resnet_demo.inference.process_tuning import OPENMP

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent  # the checkout, or where the package is installed among others
OBJECTS = 3 << 30  # bytes of the object store: twice what the page keeps of runs, and those under way
ELSEWHERE = ["/.*", "/docs", "/tests", "/runs", "**/__pycache__"]  # what another machine does not need
NODE = {**OPENMP, "RAY_USAGE_STATS_ENABLED": "0"}  # as the app sets them for itself


def join_ray(address: str | None = None, cpus: int | None = None) -> dict[str, float]:
    """Connect this process to the cluster at ``address``, or start one here; returns what the cluster has.

    Ray runs whatever it is told by anybody who reaches its ports, so a cluster started here takes
    orders only with a token, new every time, that this process and its children know. (Ray asks for one
    since 2.60; without ours it would leave one in the home folder.)

    Args:
        address: "auto", or host:port of a cluster's head; None to start one.
        cpus: of the cluster started here; every core when None.

    Raises:
        EngineError: Ray is not installed, or there is no cluster.
    """
    if ray is None:
        raise EngineError(NO_RAY)
    if not ray.is_initialized():
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address is None:
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            lasting(
                lambda: ray.init(
                    "local",  # or it would join a cluster that happens to run here
                    num_cpus=cpus or cores(),
                    include_dashboard=False,
                    _node_ip_address="127.0.0.1",
                    object_store_memory=min(OBJECTS, memory() // 4),
                    runtime_env={"env_vars": NODE | {"PYTHONPATH": python_path()}},
                    **quiet,
                )
            )
        else:
            try:
                knock(address)
                ray.init(address=address, runtime_env={**own_code(), "env_vars": NODE}, **quiet)
            except (OSError, RuntimeError, ValueError) as error:
                logging.getLogger(__name__).info("no cluster", exc_info=error)
                raise EngineError(f"No Ray cluster answers at {address}.") from error
    return {name: float(amount) for name, amount in ray.cluster_resources().items()}


def own_code() -> dict[str, Any]:
    """What other machines are sent: the checkout, or of an installed package itself alone."""
    if (ROOT / "app.py").is_file():
        return {"working_dir": str(ROOT), "excludes": ELSEWHERE}
    return {"py_modules": [str(PACKAGE)]}


def knock(address: str) -> None:
    """See that somebody listens at host:port; Ray itself would try for a minute.

    Raises:
        OSError: nobody does.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "://" not in address:
        socket.create_connection((host, int(port)), timeout=10).close()


def lasting(start: Callable[[], Any]) -> None:
    """Call ``start`` in a thread that ends with the process: on Linux the processes that Ray starts are told
    to die with the thread that started them, not with its process."""
    done, errors = threading.Event(), list[BaseException]()

    def body() -> None:
        try:
            start()
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            errors.append(error)
        done.set()
        if not errors:
            threading.Event().wait()

    if threading.current_thread() is threading.main_thread():
        start()
        return
    threading.Thread(target=body, name="ray", daemon=True).start()
    done.wait()
    if errors:
        raise errors[0]


def python_path() -> str:
    """PYTHONPATH for processes that import this package."""
    before = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(ROOT), before] if before else [str(ROOT)])


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Bytes of this machine's memory."""
    if not hasattr(os, "sysconf"):
        return 4 * OBJECTS
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def threads_of(cpus: float) -> int:
    """Threads for a network that was given ``cpus``."""
    return max(1, int(cpus))


def leave_ray() -> None:
    """Leave the cluster; one that this process started ends."""
    if ray is not None and ray.is_initialized():
        ray.shutdown()
