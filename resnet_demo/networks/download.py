"""Fetch one large file: with progress, checked by its hash, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from resnet_demo.i18n import later

CHUNK = 1 << 18  # bytes
TIMEOUT = 20.0  # seconds without a byte
MAX_BYTES = 500_000_000

Progress = Callable[[float], None]


class DownloadError(RuntimeError):
    """A file could not be fetched; one sentence that says why and where to put it by hand."""


def nothing(share: float) -> None:
    """Progress that nobody watches."""


def fetch(url: str, path: Path, sha256: str, progress: Progress = nothing, timeout: float = TIMEOUT) -> Path:
    """``path``, fetched from ``url`` unless a file with the right hash lies there already.

    Args:
        sha256: the hash's first hex digits, eight or more.
        progress: told the share of the bytes that have arrived, 0..1.
        timeout: seconds without a byte after which the connection counts as lost.

    Raises:
        DownloadError: no network, a cut connection, another file than the hash says, a full disk.
    """
    folder = _without_home(path.parent)
    by_hand = later("put {file} from {url} into {folder} yourself", file=path.name, url=url, folder=folder)
    named: dict[str, object] = {"file": path.name, "by_hand": by_hand}
    if path.is_file():
        if has_hash(path, sha256):
            progress(1.0)
            return path
        path.unlink()
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(url, timeout=timeout) as response,
            NamedTemporaryFile(
                dir=path.parent, prefix=path.name + ".", suffix=".partial", delete=False
            ) as file,
        ):
            partial = Path(file.name)
            found = _copy(response, file, path.parent, progress, named)
        if not found.startswith(sha256):
            raise DownloadError(
                later("What arrived is not {file} (its SHA-256 is wrong); {by_hand}.", **named)
            )
        os.replace(partial, path)
    except (OSError, HTTPException) as error:
        raise _refusal(error, named, folder) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
    progress(1.0)
    return path


def _copy(
    response: HTTPResponse, file: IO[bytes], folder: Path, progress: Progress, named: dict[str, object]
) -> str:
    """What ``response`` sends, into ``file``; its SHA-256."""
    total = int(response.headers.get("Content-Length") or 0)
    if total > MAX_BYTES:
        raise DownloadError(
            later("{file} would be {total} bytes, more than expected; {by_hand}.", total=total, **named)
        )
    if total > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, "full")
    digest, arrived = hashlib.sha256(), 0
    while chunk := response.read(CHUNK):
        file.write(chunk)
        digest.update(chunk)
        arrived += len(chunk)
        if arrived > MAX_BYTES:
            raise DownloadError(later("{file} is larger than expected; {by_hand}.", **named))
        if total:
            progress(arrived / total)
    file.flush()
    if total and arrived < total:
        raise DownloadError(
            later(
                "The connection was cut after {arrived} of {total} bytes; choose it again, or {by_hand}.",
                arrived=arrived,
                total=total,
                by_hand=named["by_hand"],
            )
        )
    return digest.hexdigest()


def _refusal(error: Exception, named: dict[str, object], folder: str) -> DownloadError:
    """The sentence for what the system or the connection said."""
    by_hand = named["by_hand"]
    if not isinstance(error, OSError):
        return DownloadError(later("The connection was cut; choose it again, or {by_hand}.", by_hand=by_hand))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        sentence = later(
            "There is no room on the disk for {file}; make some, then choose it again.", file=named["file"]
        )
    elif isinstance(error, PermissionError):
        sentence = later("{folder} may not be written to; {by_hand}.", folder=folder, by_hand=by_hand)
    else:
        sentence = later("{file} could not be fetched ({reason}); {by_hand}.", reason=_reason(error), **named)
    return DownloadError(sentence)


def _without_home(folder: Path) -> str:
    """``folder`` as people write it; on a server a visitor is not told whose home it is in."""
    home = Path.home()
    return f"~/{folder.relative_to(home).as_posix()}" if folder.is_relative_to(home) else str(folder)


def _reason(error: OSError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return later("the server answered {code}", code=error.code)
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return later("the server went silent")
    return later("no connection")


def has_hash(path: Path, sha256: str) -> bool:
    """Whether the SHA-256 of the file at ``path`` begins with these hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(sha256)
