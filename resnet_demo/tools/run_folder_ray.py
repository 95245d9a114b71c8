"""A folder of a million photos on Ray Data: ``python -m resnet_demo run PHOTOS --engine ray --out DIR``.

The sorted photos are cut into parts, each a Parquet file with one row a photo, written whole or not at all.
Whoever gives the same command again does only the parts that are not there. Tasks open the photos, actors
run them; the rows come back here, to the one place that writes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy
from tqdm import tqdm

from resnet_demo.inference.interface import EngineConfig, EngineError
from resnet_demo.inference.ray_cluster import join_ray, leave_ray
from resnet_demo.inputs.decoding import decode_photo
from resnet_demo.inputs.errors import PhotoError
from resnet_demo.records import NetworkInput, Preprocessing, Run
from resnet_demo.serialize import whole_file

PART = 1000  # photos a file
BATCH = 8  # photos a pass, as in evaluate.py
BLOCK = 4  # passes a task
FORWARD_CPUS, OPENING_CPUS = 0.75, 0.25  # of a core that both share: a forward takes several times as long
MANIFEST = "manifest.json"

NORMS = ("residual_norm", "shortcut_norm", "output_norm", "cosine")
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("logit", pa.float64()),
        ("confidences", pa.list_(pa.struct([("label", pa.string()), ("confidence", pa.float64())]))),
        (
            "blocks",
            pa.list_(pa.struct([("name", pa.string()), *((norm, pa.float64()) for norm in NORMS)])),
        ),
        ("error", pa.string()),
    ]
)


def row_of(path: str, run: Run) -> dict[str, Any]:
    """A photo's row: numbers that are the same whenever and wherever it is run."""
    return {
        "path": path,
        "label": run.prediction.label,
        "logit": run.prediction.logit,
        "confidences": [vars(c) for c in run.prediction.confidences],
        "blocks": [
            {"name": block.name, **{norm: getattr(block, norm) for norm in NORMS}} for block in run.blocks
        ],
        "error": None,
    }


def failed_row(path: str, sentence: str) -> dict[str, Any]:
    """The row of a photo that has no answer."""
    return dict.fromkeys(SCHEMA.names) | {"path": path, "error": sentence}


class Opening:
    """Photos to the network's input, in tasks: one item is the photos of one pass."""

    def __init__(self, root: str, preprocessing: Preprocessing) -> None:
        self.root, self.preprocessing = root, preprocessing

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Adds "pixels", those of the photos that could be opened one after the other, and "errors", one a
        photo, empty for those."""
        pixels: list[bytes] = []
        errors: list[str] = []
        for path in json.loads(item["paths"]):
            try:
                pixels.append(decode_photo(Path(self.root, path), self.preprocessing).tobytes())
                errors.append("")
            except PhotoError as error:
                errors.append(str(error))
            except OSError as error:
                errors.append(f"It could not be read ({type(error).__name__}).")
        return {**item, "pixels": b"".join(pixels), "errors": json.dumps(errors)}


class Forward:
    """Passes, in an actor that keeps the network: one item becomes the rows of its photos, as JSON."""

    def __init__(self, config: EngineConfig, network: str, side: int, threads: int) -> None:
        import torch

        from resnet_demo.inference.engine import build_engine

        torch.set_num_threads(threads)
        self.engine, self.network, self.side = build_engine(config), network, side

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Rows of one pass, and when it began."""
        began = time.time()
        errors = json.loads(item["errors"])
        pixels = np.frombuffer(item["pixels"], np.uint8).reshape(-1, self.side, self.side, 3)
        answers = iter(self.answers([NetworkInput.of(one) for one in pixels]))
        rows = []
        for path, sentence in zip(json.loads(item["paths"]), errors, strict=True):
            answer = sentence or next(answers)
            rows.append(row_of(path, answer) if isinstance(answer, Run) else failed_row(path, answer))
        return {"part": item["part"], "start": item["start"], "rows": json.dumps(rows), "began": began}

    def answers(self, pixels: list[NDArray[np.uint8]]) -> list[Run | str]:
        """A run for each, or the sentence that says why not; one that fails spoils no other."""
        try:
            return [*self.engine.run(pixels, self.network, keep=())]
        except EngineError as error:
            if len(pixels) == 1:
                return [str(error)]
            return [answer for one in pixels for answer in self.answers([one])]


def relative(photos: Sequence[Path]) -> tuple[Path, list[str]]:
    """The folder that holds all the photos, and their paths in it, sorted, each once."""
    absolute = sorted({path.absolute().as_posix() for path in photos})
    root = Path(os.path.commonpath([os.path.dirname(path) for path in absolute]))
    return root, sorted(Path(path).relative_to(root).as_posix() for path in absolute)


def manifest_of(root: Path, paths: Sequence[str], network: str, weights: str, part: int) -> dict[str, Any]:
    """What decides every row and where it goes: the names and sizes of the photos, the network, the parts."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            size = os.stat(root / path).st_size
        except OSError:
            size = -1
        digest.update(f"{path}\0{size}\n".encode())
    return {
        "photos": len(paths),
        "list": digest.hexdigest(),
        "network": network,
        "weights": weights,
        "photos_a_part": part,
    }


def agree(out: Path, manifest: dict[str, Any]) -> None:
    """Leave the manifest in ``out``, or see that the one there says the same.

    Raises:
        EngineError: it does not: what is there belongs to another run.
    """
    path = out / MANIFEST
    if not path.is_file():
        with whole_file(path) as file:
            file.write(json.dumps(manifest, indent=2).encode())
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    differs = [key for key, value in manifest.items() if before.get(key) != value]
    if differs:
        raise EngineError(
            f"{out} holds the results of another run ({', '.join(differs)} differ); "
            "choose another folder for --out, or empty this one."
        )


def part_path(out: Path, part: int) -> Path:
    """The file of a part."""
    return out / f"part-{part:05}.parquet"


def is_finished(path: Path, rows: int) -> bool:
    """Whether that part is there with so many rows."""
    try:
        return bool(path.is_file() and pq.read_metadata(path).num_rows == rows)
    except (OSError, pa.ArrowInvalid):
        return False


def write_part(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """The Parquet file of a part."""
    with whole_file(path) as file:
        pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), file, compression="zstd")


def passes(paths: Sequence[str], parts: Sequence[int], per_part: int) -> Iterator[dict[str, Any]]:
    """The photos of each pass of ``parts``. A pass never reaches over a part's end, and so holds the same
    photos, whose sums are added in the same order, in a run that was broken and in one that was not."""
    for part in parts:
        first, last = part * per_part, min((part + 1) * per_part, len(paths))
        for start in range(first, last, BATCH):
            yield {"part": part, "start": start, "paths": json.dumps(paths[start : min(start + BATCH, last)])}


def answered(
    items: list[dict[str, Any]], opening: Opening, forward: tuple[Any, ...], has: dict[str, float]
) -> Iterator[tuple[int, int, list[dict[str, Any]], float]]:
    """(part, index of the first photo, rows, when it began) of every pass, in order."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    on_gpus = forward[0].device in ("auto", "cuda") and has.get("GPU", 0) >= 1
    actors = int(has["GPU"]) if on_gpus else max(1, int(has.get("CPU", 1)))
    actors = min(actors, len(items))
    needs = {"num_gpus": 1, "num_cpus": FORWARD_CPUS} if on_gpus else {"num_cpus": FORWARD_CPUS}
    data = (
        ray.data.from_items(items, override_num_blocks=max(1, -(-len(items) // BLOCK)))
        .map(opening.__call__, num_cpus=OPENING_CPUS)
        .map(Forward, fn_constructor_args=forward, compute=ActorPoolStrategy(size=actors), **needs)
    )
    for row in data.iter_rows():
        yield int(row["part"]), int(row["start"]), json.loads(row["rows"]), float(row["began"])


def weights_of(config: EngineConfig, network: str) -> str:
    """What tells the weights of a network from others of the same name."""
    from resnet_demo.networks.checkpoints import available_networks

    own = config.own
    if own is not None and network not in available_networks():
        return hashlib.sha256(own.checkpoint.read_bytes()).hexdigest()
    path = available_networks().get(network)
    return path.stem if path is not None else network


def prepared(
    photos: Sequence[Path], out: Path, network: str | None, config: EngineConfig, per_part: int
) -> tuple[Path, list[str], str, Preprocessing]:
    """The photos' common folder, their paths in it, the network's name and how it takes photos; the folder of
    the results is ready for them.

    Raises:
        EngineError: one sentence that says why they cannot be run.
    """
    from resnet_demo.inference.engine import build_engine
    from resnet_demo.networks.checkpoints import CheckpointError

    if not photos:
        raise EngineError("No photos were found.")
    try:
        info = build_engine(config).info(network)  # an unfit one is refused here, not by every actor
        root, paths = relative(photos)
        out.mkdir(parents=True, exist_ok=True)
        agree(out, manifest_of(root, paths, info.name, weights_of(config, info.name), per_part))
    except CheckpointError as error:
        raise EngineError(*error.args) from error
    except OSError as error:
        raise EngineError(f"{out} cannot be written to: {error.strerror or error}.") from error
    return root, paths, info.name, info.preprocessing


def run_folder(
    photos: Sequence[Path],
    out: Path,
    network: str | None = None,
    config: EngineConfig | None = None,
    address: str | None = None,
    per_part: int = PART,
) -> int:
    """Run ``photos`` into Parquet files in ``out``, and print a summary as one line of JSON.

    Args:
        config: device, and a network of one's own; every machine of a cluster has to see its file.
        address: of a Ray cluster whose machines all see the photos under the same path; None to start one
        here.

    Returns:
        0; 1 if photos have no answer.

    Raises:
        EngineError: nothing could be done; one sentence.
    """
    config = config or EngineConfig()
    root, paths, name, preprocessing = prepared(photos, out, network, config, per_part)
    started = time.perf_counter()
    every = range(-(-len(paths) // per_part))
    sizes = [min(per_part, len(paths) - part * per_part) for part in every]
    todo = [part for part in every if not is_finished(part_path(out, part), sizes[part])]
    running = 0.0
    if todo:
        has = join_ray(address)
        opening = Opening(str(root), preprocessing)
        forward = (config, name, preprocessing.size, 1)
        passed = answered(list(passes(paths, todo, per_part)), opening, forward, has)
        running = write_parts(passed, out, {part: sizes[part] for part in todo})
        if address is None:
            leave_ray()
    done = sum(sizes[part] for part in todo)
    errors = sum(
        len(file) - file["error"].null_count
        for file in (pq.read_table(part_path(out, part), columns=["error"]) for part in every)
    )
    summary = {
        "photos": len(paths),
        "errors": errors,
        "parts": len(sizes),
        "parts_done_before": len(sizes) - len(todo),
        "photos_run": done,
        "seconds": round(time.perf_counter() - started, 2),
        "photos_per_s": round(done / running, 2) if running else 0.0,
        "out": str(out),
    }
    print(json.dumps(summary))
    return 1 if errors else 0


def write_parts(
    passed: Iterator[tuple[int, int, list[dict[str, Any]], float]], out: Path, sizes: Mapping[int, int]
) -> float:
    """Write every part as soon as its passes are there.

    Args:
        passed: as ``answered`` gives them.
        sizes: photos in each part that is to be written.

    Returns:
        Seconds from the first pass on, without starting up.
    """
    gathered: dict[int, dict[int, list[dict[str, Any]]]] = defaultdict(dict)
    first = math.inf
    with tqdm(total=sum(sizes.values()), unit="photo", disable=None) as bar:
        for part, start, rows, began in passed:
            first = min(first, began)
            gathered[part][start] = rows
            bar.update(len(rows))
            if sum(map(len, gathered[part].values())) == sizes[part]:
                pieces = gathered.pop(part)
                write_part(part_path(out, part), [row for at in sorted(pieces) for row in pieces[at]])
    return time.time() - first
