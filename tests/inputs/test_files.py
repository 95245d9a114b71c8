"""No more of a file is read than can be told from one that is allowed."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from resnet_demo.inputs.files import read_beyond


def test_a_file_is_read_from_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    for source in (path, str(path), b"12345", io.BytesIO(b"12345")):
        assert read_beyond(source, 5) == b"12345"
    for source in (path, str(path), io.BytesIO(b"12345")):
        assert read_beyond(source, 3) == b"1234"  # one more than allowed, so that it can be told


def test_what_is_no_plain_file_is_not_opened(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError):
            read_beyond(path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
        with pytest.raises(FileNotFoundError):
            read_beyond(tmp_path / "pipe")
