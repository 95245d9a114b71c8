"""How fast is the page beside the bare network? The benchmark of a checkout, in ``tests/benchmarks/``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from resnet_demo.tools.app_process import IS_CHECKOUT, ROOT


def run_benchmark(module: str, argv: Sequence[str] | None) -> int:
    """Run ``tests/benchmarks/<module>.py``; its exit code, or 2 where there is no checkout that holds it."""
    if not IS_CHECKOUT:
        print(
            "The benchmarks are in the project's repository, in tests/benchmarks/: run this from a checkout"
            " of it.",
            file=sys.stderr,
        )
        return 2
    sys.path.insert(0, str(ROOT / "tests"))
    return int(import_module(f"benchmarks.{module}").main(argv))


def main(argv: Sequence[str] | None = None) -> int:
    """The page beside the bare network; ``--help`` lists the options."""
    return run_benchmark("page", argv)


if __name__ == "__main__":
    sys.exit(main())
