"""What ``gradients`` measured, as it is stored for the page; without torch."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

STORED = Path(__file__).with_name("gradients.json")
DEPTHS = (5, 10, 20, 50)
SEEDS = 3  # networks over which correlations are averaged


@cache
def stored_gradients() -> dict[str, dict[str, Any]]:
    """Blocks -> "norms" by act, and "traces" and "correlations" by network; see ``gradients``."""
    found: dict[str, dict[str, Any]] = json.loads(STORED.read_text(encoding="utf-8"))
    return found
