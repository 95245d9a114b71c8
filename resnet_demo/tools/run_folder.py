"""Run photos from the command line: ``python -m resnet_demo run photo.jpg folder/ --out DIR``.

One line of JSON a photo on standard output; a progress bar, errors and a count at the end on standard error.
With ``--out`` also every stream, as ``.npz`` in the folders of the photos. Files are read while the network
runs on a batch, and opened then too if it runs on a GPU; without ``--out`` nothing of a stream but its norms
leaves the device.
"""

from __future__ import annotations

import os

from resnet_demo.inference.process_tuning import OPENMP

os.environ.update({**OPENMP, **os.environ})  # read when torch is imported

import argparse
import json
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from resnet_demo.inference.interface import NO_RAY, EngineConfig, EngineError, has_ray
from resnet_demo.inference.options import chosen_checkpoint, network_options
from resnet_demo.inputs import decoding
from resnet_demo.inputs.errors import PhotoError
from resnet_demo.inputs.photo_decoding import read_file
from resnet_demo.records import STREAM_NAMES, Run
from resnet_demo.serialize import run_as_dict
from resnet_demo.tools.find_photos import Found, find_photos
from resnet_demo.tools.stream_files import StreamFiles

if TYPE_CHECKING:  # torch takes seconds, in which Ctrl-C is no error either
    from resnet_demo.inference.engine import Engine

BATCH = 8  # as in evaluate.py
AHEAD = 4  # batches read, or opened, before their turn


class StoppedError(RuntimeError):
    """The rest of the photos cannot be run either; the message is one sentence."""


def shown(path: Path) -> str:
    """A path on one line of a terminal, whatever its name holds."""
    name = str(path)
    return name if name.isprintable() else json.dumps(name)


def run_all(
    engine: Engine, paths: Iterable[Path], network: str | None = None, streams: bool = True
) -> Iterator[tuple[Path, Run | Exception]]:
    """Each photo with its run, or with what was wrong with it, in order; without ``streams`` only its
    numbers."""
    preprocessing = engine.network(network).card.preprocessing
    # a CPU opens photos between the passes, on all cores: a pass whose threads wait for one that opens a
    # photo takes longer than both after each other; its disk need not wait
    in_turn = engine.device.type == "cpu"
    decoding.use_all_cores()

    def read(path: Path) -> bytes | Exception:
        try:
            return read_file(path)
        except (PhotoError, OSError) as error:
            return error

    def opened(file: Path | bytes | Exception) -> NDArray[np.uint8] | Exception:
        try:
            return file if isinstance(file, Exception) else decoding.decode_photo(file, preprocessing)
        except (PhotoError, OSError) as error:
            return error

    def run(good: list[NDArray[np.uint8]]) -> list[Any]:
        """A run for each, or what went wrong; a photo that fails spoils no other."""
        try:
            return list(engine.run(good, network, keep=STREAM_NAMES if streams else ()))
        except EngineError as error:
            return [error] if len(good) == 1 else [answer for one in good for answer in run([one])]

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor() as openers:
        waiting: deque[tuple[list[Path], Iterator[Any]]] = deque()

        def run_next() -> Iterator[tuple[Path, Run | Exception]]:
            batch, found = waiting.popleft()
            every = list(openers.map(opened, found) if in_turn else found)
            answers = iter(run([pixels for pixels in every if not isinstance(pixels, Exception)]))
            for path, pixels in zip(batch, every, strict=True):
                yield path, pixels if isinstance(pixels, Exception) else next(answers)

        rest = iter(paths)
        while batch := list(islice(rest, BATCH)):
            waiting.append((batch, reader.map(read, batch) if in_turn else openers.map(opened, batch)))
            if len(waiting) > AHEAD:
                yield from run_next()
        while waiting:
            yield from run_next()


def write_lines(
    engine: Engine, paths: Sequence[Path], network: str | None, files: StreamFiles | None, to: TextIO
) -> int:
    """A line of JSON on ``to`` for every photo, its streams in ``files`` if there are any; what is wrong with
    a photo goes to standard error.

    Returns:
        How many photos could not be run.

    Raises:
        StoppedError: nothing can be written any more.
    """
    failed = 0
    runs = run_all(engine, paths, network, streams=files is not None)
    with tqdm(total=len(paths), unit="photo", disable=None) as bar:
        for path, run in runs:
            if isinstance(run, Exception):
                failed += 1
                told = isinstance(run, PhotoError | EngineError)
                reason = run if told else f"It could not be read ({type(run).__name__})."
                tqdm.write(f"{shown(path)}: {reason}", file=sys.stderr)
            else:
                line: dict[str, Any] = {"photo": str(path), **run_as_dict(run)}
                if files is not None:
                    line["streams"] = str(stored(run, path, files))
                tell(json.dumps(line), to)
            bar.update()
    return failed


def stored(run: Run, photo: Path, files: StreamFiles) -> Path:
    """Where the streams of a photo now are.

    Raises:
        StoppedError: they cannot be written.
    """
    try:
        return files.save(run, photo)
    except OSError as error:
        raise StoppedError(
            f"{shown(files.folder)} cannot be written to: {error.strerror or error}."
        ) from error


def tell(line: str, to: TextIO) -> None:
    """Print a line, now.

    Raises:
        StoppedError: nobody reads it, or there is no room for it.
    """
    try:
        tqdm.write(line, file=to)
        to.flush()
    except OSError as error:
        with suppress(OSError, ValueError):  # or Python would try again at its end, and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), to.fileno())
        if isinstance(error, BrokenPipeError):
            raise StoppedError("Stopped, since nobody reads the output any more.") from error
        raise StoppedError(f"The output cannot be written: {error.strerror or error}.") from error


def told_skipped(found: Found) -> str:
    """What was not looked at, in words; empty if there is nothing."""
    if not found.skipped:
        return ""
    count = found.skipped.total()
    often = sorted(found.skipped.items(), key=lambda item: (-item[1], item[0]))[:5]
    kinds = ", ".join(f"{n} {kind}" for kind, n in often)
    more = ", …" if len(found.skipped) > 5 else ""
    return f"{count} other file{'s' if count > 1 else ''} skipped ({kinds}{more})"


@contextmanager
def ended_by_the_system() -> Iterator[None]:
    """Inside the ``with``, a stop by the system is SystemExit, so that no half file is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def built(config: EngineConfig, network: str | None) -> Engine:
    """The engine, with the network that is asked for loaded.

    Raises:
        EngineError, StoppedError: one sentence.
    """
    from resnet_demo.inference.engine import build_engine
    from resnet_demo.networks.checkpoints import CheckpointError

    def progress(share: float) -> None:
        bar.update(share - bar.n)

    try:
        engine = build_engine(config)
        with tqdm(total=1.0, desc="fetching", disable=None, leave=False, delay=1) as bar:
            engine.network(network, progress)
    except CheckpointError as error:
        raise StoppedError(str(error)) from error
    return engine


def run_here(args: argparse.Namespace, config: EngineConfig, found: Found) -> int:
    """Run the photos in this process; the exit code.

    Raises:
        EngineError, StoppedError: one sentence.
    """
    files = StreamFiles(args.out, args.photos) if args.out else None
    if files is not None:
        try:
            files.prepare()
        except OSError as error:
            raise StoppedError(
                f"{shown(args.out)} cannot be written to: {error.strerror or error}."
            ) from error
    engine = built(config, args.network)
    failed = write_lines(engine, found.photos, args.network, files, sys.stdout)
    done = len(found.photos) - failed
    counted = [f"{done} of {len(found.photos)} photos run", told_skipped(found)]
    print("; ".join(filter(None, counted)) + ".", file=sys.stderr)
    return 1 if failed or found.unreadable else 0


def run_on_ray(args: argparse.Namespace, config: EngineConfig, found: Found) -> int:
    """Hand the photos over to Ray Data; the exit code.

    Raises:
        StoppedError: one sentence.
    """
    if not has_ray():
        raise StoppedError(NO_RAY)
    if not args.out:
        raise StoppedError("--engine ray needs --out, a folder for the Parquet files.")
    from resnet_demo.tools.run_folder_ray import run_folder  # only here: the local way needs no Ray

    code = run_folder(found.photos, args.out, args.network, config, args.ray_address)
    if told := told_skipped(found):
        print(f"{told}.", file=sys.stderr)
    return code


def parsed(argv: Sequence[str] | None) -> tuple[argparse.Namespace, EngineConfig]:
    """The options, and the engine that they ask for."""
    parser = argparse.ArgumentParser(prog="python -m resnet_demo run", description=__doc__)
    parser.add_argument("photos", type=Path, nargs="+", help="files, or folders that are searched for photos")
    parser.add_argument("--out", type=Path, help="folder for each photo's streams, <folder>/<name>.npz")
    parser.add_argument("--network", help="a name on the menu (default: the first)")
    network_options(parser)
    parser.add_argument(
        "--engine", default="local", choices=("local", "ray"), help="ray: numbers only, as Parquet into --out"
    )
    parser.add_argument("--ray-address", help="of a running Ray cluster, or auto (default: start one here)")
    args = parser.parse_args(argv)
    # streams that are kept are numbers that people copy
    precision = "float32" if args.out and args.engine == "local" else args.precision
    if args.engine == "ray" and precision == "auto":
        precision = "float32"  # machines that differ must answer alike
    return args, EngineConfig(args.device, own=chosen_checkpoint(parser, args), precision=precision)


def main(argv: Sequence[str] | None = None) -> int:
    """0, 1 if a photo or folder could not be used, 2 if nothing could be done, 130 after Ctrl-C."""
    args, config = parsed(argv)
    try:
        with ended_by_the_system():
            found = find_photos(args.photos, args.out)
            for folder, reason in found.unreadable:
                print(f"{shown(folder)}: The folder could not be read ({reason}).", file=sys.stderr)
            if not found.photos:
                counted = told_skipped(found)
                raise StoppedError(
                    "No photos were found in"
                    f" {', '.join(map(shown, args.photos))}{counted and '; ' + counted}."
                )
            return (run_on_ray if args.engine == "ray" else run_here)(args, config, found)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except (StoppedError, EngineError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
