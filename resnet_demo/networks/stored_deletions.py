"""What ``delete_blocks`` found of a network, kept beside its checkpoint: numbers for the page.

Nothing here needs torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StoredDeletions:
    """Mistakes of a network with each of its blocks deleted in turn.

    Attributes:
        network: its name.
        n: labelled pictures.
        whole_error: share of them that the whole network gets wrong, 0..1.
        errors: the same without each block, in the order of the blocks.
        data: what the pictures are.
    """

    network: str
    n: int
    whole_error: float
    errors: tuple[float, ...]
    data: str = ""


def deletions_path(checkpoint: Path) -> Path:
    """Where those of a checkpoint are; its name has the hash of the weights that they were found with."""
    return checkpoint.with_suffix(".deletions.json")


def read_deletions(checkpoint: Path) -> StoredDeletions | None:
    """Those of a checkpoint; None if they were not stored or the file is unfit."""
    try:
        found = json.loads(deletions_path(checkpoint).read_text(encoding="utf-8"))
        read = StoredDeletions(
            str(found["network"]),
            int(found["n"]),
            float(found["whole_error"]),
            tuple(float(error) for error in found["errors"].values()),
            str(found.get("data", "")),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    shares = (read.whole_error, *read.errors)
    return read if read.errors and read.n > 0 and all(0 <= share <= 1 for share in shares) else None
