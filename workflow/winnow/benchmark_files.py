"""What Snakemake's benchmark files tell of the processors' time of a job, of which they hold that of the last look."""

from __future__ import annotations

import math


def last_look(seconds: float) -> float:
    """Second at which Snakemake looked at a job of so many seconds for the last time: each half second up to 15.5, then each
    30 seconds."""
    if seconds < 15.5:
        return math.floor(2 * seconds) / 2
    return 15.5 + 30 * math.floor((seconds - 15.5) / 30)


def cpu_seconds(seconds: float, cpu_time: str) -> float:
    """Seconds of processors of a job that took `seconds`, from the column `cpu_time`, extended from the last look to the end; of
    a job that ended before it was looked at, its seconds. Raises ValueError if the column is no number."""
    looked = last_look(seconds)
    known = cpu_time not in ("NA", "-") and looked > 0 and float(cpu_time) > 0
    return float(cpu_time) * seconds / looked if known else seconds
