"""Runs sbatch, again for some minutes while SLURM refuses for now: `python submit.py sbatch ...`.

In: the command line of sbatch. Out: what it prints and its exit code. Snakemake would try a refused job again at once,
and use up its retries within a second.
"""

from __future__ import annotations

import subprocess
import sys
import time

FOR_NOW = (
    "job submit limit",
    "MaxSubmitJob",
    "Required partition not available",
    "Resource temporarily unavailable",
    "Socket timed out",
    "System is busy",
    "temporarily unable to accept job",
    "Unable to contact slurm controller",
    "Zero Bytes were transmitted",
)
"""Parts of sbatch's messages that a later try may not get: of a limit on queued jobs, or while slurmctld restarts."""
WAITS = (10, 20, 30, 60, 60, 60, 120, 120, 120)
"""Seconds between tries: ten minutes."""


def submit(
    line: list[str], script: str = "", waits: tuple[float, ...] = WAITS
) -> subprocess.CompletedProcess:
    """The last try of a command, with `script` as its input: the first that succeeds, or fails for good."""
    for wait in (*waits, None):
        done = subprocess.run(line, input=script, capture_output=True, text=True)
        if wait is None or not done.returncode or not any(part in done.stderr for part in FOR_NOW):
            break
        time.sleep(wait)
    return done


if __name__ == "__main__":
    done = submit(sys.argv[1:], "" if sys.stdin.isatty() else sys.stdin.read())
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    sys.exit(done.returncode)
