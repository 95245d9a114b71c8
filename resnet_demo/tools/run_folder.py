"""Run photos from the command line: ``python -m resnet_demo run photo.jpg folder/ --out DIR``.

One line of JSON a photo on standard output, a progress bar and errors on standard error; with ``--out``
also every stream as ``.npz``. Files are read while the network runs on a batch, and opened then too if it runs
on a GPU; without ``--out`` nothing of a stream but its norms leaves the device.
"""

from __future__ import annotations

import os

from resnet_demo.inference.process_tuning import OPENMP

os.environ.update({**OPENMP, **os.environ})  # as app.py does

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from resnet_demo.inference.engine import Engine, EngineError
from resnet_demo.inference.interface import NO_RAY, has_ray
from resnet_demo.inputs import decoding
from resnet_demo.inputs.errors import PhotoError
from resnet_demo.inputs.photo_decoding import read_file
from resnet_demo.networks.checkpoints import CheckpointError
from resnet_demo.records import STREAM_NAMES, Run
from resnet_demo.serialize import run_as_dict, save_streams

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".mpo", ".avif"}
BATCH = 8  # as in evaluate.py
AHEAD = 4  # batches read, or opened, before their turn


def photos_in(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among ``paths`` and, in order of their names, the photos in the folders among them."""
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        else:
            yield path


def run_all(
    engine: Engine, paths: Iterable[Path], network: str | None = None, streams: bool = True
) -> Iterator[tuple[Path, Run | Exception]]:
    """Each photo with its run, or with what was wrong with it, in order; without ``streams`` only its numbers."""
    preprocessing = engine.network(network).card.preprocessing
    # a CPU opens photos between the passes, on all cores: a pass whose threads wait for one that opens a photo
    # takes longer than both after each other; its disk need not wait
    in_turn = engine.device.type == "cpu"
    decoding.use_all_cores()

    def read(path: Path) -> bytes | Exception:
        try:
            return read_file(path)
        except (PhotoError, OSError) as error:
            return error

    def opened(file: Path | bytes | Exception) -> NDArray[np.uint8] | Exception:
        try:
            return file if isinstance(file, Exception) else decoding.decode_photo(file, preprocessing).pixels
        except (PhotoError, OSError) as error:
            return error

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor() as openers:
        waiting: deque[tuple[list[Path], Iterator[Any]]] = deque()

        def run_next() -> Iterator[tuple[Path, Run | Exception]]:
            batch, found = waiting.popleft()
            every = list(openers.map(opened, found) if in_turn else found)
            good = [pixels for pixels in every if not isinstance(pixels, Exception)]
            runs = iter(engine.run(good, network, keep=STREAM_NAMES if streams else ()))
            for path, pixels in zip(batch, every, strict=True):
                yield path, pixels if isinstance(pixels, Exception) else next(runs)

        rest = iter(paths)
        while batch := list(islice(rest, BATCH)):
            waiting.append((batch, reader.map(read, batch) if in_turn else openers.map(opened, batch)))
            if len(waiting) > AHEAD:
                yield from run_next()
        while waiting:
            yield from run_next()


def write_lines(
    engine: Engine, paths: Sequence[Path], network: str | None, out: Path | None, to: TextIO
) -> int:
    """A line of JSON on ``to`` for every photo, its streams in the folder ``out`` if there is one; what is wrong with
    a photo goes to standard error.

    Returns:
        How many photos could not be run.
    """
    failed = 0
    runs = run_all(engine, paths, network, streams=out is not None)
    for path, run in tqdm(runs, total=len(paths), unit="photo", disable=None):
        if isinstance(run, Exception):
            failed += 1
            reason = run if isinstance(run, PhotoError) else f"could not be read ({type(run).__name__})."
            tqdm.write(f"{path}: {reason}", file=sys.stderr)
            continue
        tqdm.write(json.dumps({"photo": str(path), **run_as_dict(run)}), file=to)
        if out is not None:
            save_streams(run, out / f"{path.stem}.npz")
    return failed


def on_ray(args: argparse.Namespace) -> int:
    """Hand the photos over to Ray Data."""
    if not has_ray():
        print(NO_RAY, file=sys.stderr)
        return 2
    from resnet_demo.tools.run_folder_ray import run_folder  # only here: the local way needs no Ray

    if not args.out:
        print("--engine ray needs --out, a folder for the Parquet files.", file=sys.stderr)
        return 2
    return run_folder(list(photos_in(args.photos)), args.out, args.network, args.device, args.ray_address)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo run", description=__doc__)
    parser.add_argument("photos", type=Path, nargs="+", help="files, or folders that are searched for photos")
    parser.add_argument("--out", type=Path, help="folder for each photo's streams, <name>.npz")
    parser.add_argument("--network", help="a name on the menu (default: the first)")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "mps", "cpu"))
    parser.add_argument(
        "--engine", default="local", choices=("local", "ray"), help="ray: numbers only, as Parquet into --out"
    )
    parser.add_argument("--ray-address", help="of a running Ray cluster, or auto (default: start one here)")
    args = parser.parse_args(argv)
    if args.engine == "ray":
        return on_ray(args)
    try:
        engine = Engine(device=args.device)
        paths = list(photos_in(args.photos))
        if not paths:
            raise EngineError(f"No photos were found in {', '.join(map(str, args.photos))}.")
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
        failed = write_lines(engine, paths, args.network, args.out, sys.stdout)
    except (EngineError, CheckpointError) as error:
        print(error, file=sys.stderr)
        return 2
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
