"""How much do replicas on Ray carry? The benchmark of a checkout, in ``tests/benchmarks/``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from resnet_demo.tools.page_benchmark import run_benchmark


def main(argv: Sequence[str] | None = None) -> int:
    """Replicas beside the engine in this process; ``--help`` lists the options."""
    return run_benchmark("replicas", argv)


if __name__ == "__main__":
    sys.exit(main())
