"""What a run made, without what differs from run to run: for tests that compare runs."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

APART = ("timings", "logs", "provenance", "tensorboard", "state")
"""Folders of what differs from run to run (results/README.md)."""
TIMED = (
    "timings.json", ".costs.csv", ".costs.md", ".costs.html", ".power.csv", ".pareto.svg",
    ".labelling.csv", ".labelling.html", ".provenance.json", ".provenance.md", ".provenance.html", "report/index.html"
)  # fmt: skip


def digest(path: Path) -> str:
    """SHA-256 of a file; of source.json without the times of the files that were read."""
    content = path.read_bytes()
    if path.name == "source.json":
        content = re.sub(rb'"state": \d+', b'"state": 0', content)
    return hashlib.sha256(content).hexdigest()


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
            found[str(place)] = digest(path)
    return found
