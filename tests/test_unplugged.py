"""With the network unplugged the app starts and answers, and it asks for no address but loopback's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("unplugged.py")
ALONE = ["unshare", "--map-root-user", "--net"]


def can_unplug() -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*ALONE, "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_unplug(), reason="needs Linux and the right to make a network namespace")
def test_in_a_namespace_without_a_route() -> None:
    done = subprocess.run([*ALONE, sys.executable, str(DRIVER)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["page"] > 1000
    assert found["answer"]["label"] in ("cat", "dog")
    error = found["fetched"]["error"]
    assert error.startswith("resnet18-f37072fd.pth could not be fetched (no connection)")
    assert "put resnet18" not in error  # where the file can be put by hand is for who runs the demo
    assert "put resnet18-f37072fd.pth from https://download.pytorch.org/" in found["log"]
    addresses = found["addresses"]
    assert any("127.0.0.1" in address for address in addresses)  # the spy saw something
    # the visitor who chose ResNet-18 asked for its weights: the one name that may be looked up
    foreign = [a for a in addresses if not any(own in a for own in ("127.0.0.1", "'localhost'", "'::1'"))]
    assert all("download.pytorch.org" in address for address in foreign), foreign
