"""What a run made, without what differs from run to run: for tests that compare runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

APART = ("timings", "logs", "provenance", "tensorboard", "state")
"""Folders of what differs from run to run (results/README.md)."""
TIMED = (
    "timings.json", ".costs.csv", ".costs.md", ".costs.html", ".power.csv", ".pareto.svg",
    ".provenance.json", ".provenance.md", ".provenance.html", "report/index.html"
)  # fmt: skip


def contents(results: Path) -> dict[str, str]:
    """Digests of the files of content, by their paths; files under temporary names are none."""
    found = {}
    for path in results.rglob("*"):
        place = path.relative_to(results)
        if (
            path.is_file()
            and not {*place.parts} & {*APART}
            and not place.as_posix().endswith(TIMED)
            and not any(part.startswith(".") for part in place.parts)
        ):
            found[str(place)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
