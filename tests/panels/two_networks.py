"""The page with the small test network and one that ships beside it, for the tests of what is not a photo."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from resnet_demo import app
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.tools.walkthrough import browser_path


def copied_beside(weights_dir: Path, shipped: str, folder: Path) -> Path:
    """``folder``, with the test network first, since the page opens with it, and the ``shipped`` one."""
    for path in [*weights_dir.iterdir(), *WEIGHTS.glob(f"{shipped}-*")]:
        shutil.copy(path, folder / path.name.replace("test-net", "a-test-net"))
    return folder


@contextmanager
def served(weights: Path, uploads: Path) -> Iterator[str]:
    """The app with the networks of that folder on a free port; its address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(uploads))
        from resnet_demo.page.layout import page_options

        deferred = app.defer_engine("cpu", weights)
        demo = app.build_demo(deferred, weights)
        deferred.start()
        options = page_options()
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **options)
        yield url.rstrip("/")
        demo.close()


def started(chromium: Any, flags: list[str]) -> Any:
    """A browser, installed or Playwright's own; without one the test is skipped."""
    path = browser_path()
    if path is None and not Path(chromium.executable_path).exists():
        pytest.skip("it needs a browser, and neither Chrome, Chromium nor Playwright's own is installed")
    return chromium.launch(executable_path=path, args=flags)
