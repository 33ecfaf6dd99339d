"""The demo through SLURM: the files of a demo on one machine, and what a job costs beyond its own work."""

from __future__ import annotations

import csv
import shutil
import time
from datetime import datetime
from pathlib import Path

import pytest
from lab import Lab
from run_contents import contents
from slurm_runs import ROOT, Site, copy_workflow

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
DEMO_LIMIT = 3600


def seconds_of_work(results: Path) -> list[float]:
    """Seconds of each job of a run, from its benchmark files."""
    found = []
    for path in (results / "timings").rglob("*.tsv"):
        with open(path, encoding="utf-8") as file:
            found += [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
    return found


def timed(site: Site, profile: str, *line: str) -> float:
    began = time.monotonic()
    code, text = site.end(site.start(*line, profile=profile), DEMO_LIMIT)
    assert code == 0, text[-3000:]
    return time.monotonic() - began


def test_the_demo_through_slurm_has_the_files_of_a_local_demo(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sites = [Site(copy_workflow(tmp_path / name), lab) for name in ("local", "slurm")]
    for site in sites:
        shutil.copy(ROOT / "lock.txt", site.folder)
        (site.folder / "run.json").write_text('{"results": "results"}')
    local = timed(sites[0], "profiles/local", "--cores", "2")
    sites[1].profile(slurm_init_seconds_before_status_checks=2, latency_wait=5)
    before = set(lab.jobs())
    through = timed(sites[1], "slurm")
    jobs = [job for number, job in lab.jobs().items() if number not in before]
    moments = [
        {key: datetime.fromisoformat(job[key]) for key in ("SubmitTime", "StartTime", "EndTime")}
        for job in jobs
    ]
    work = seconds_of_work(sites[1].folder / "results")
    ran = sum((one["EndTime"] - one["StartTime"]).total_seconds() for one in moments)
    queued = sum((one["StartTime"] - one["SubmitTime"]).total_seconds() for one in moments)
    with capsys.disabled():
        print(
            f"\nthe demo: {local:.0f} s on one machine, {through:.0f} s through SLURM ({through / local:.2f} times); {len(jobs)} "
            f"jobs, each {ran / len(jobs):.1f} s in SLURM, {sum(work) / len(work):.1f} s of it its own work ({len(work)} "
            f"measured), and {queued / len(jobs):.1f} s in the queue"
        )
    made, reference = contents(sites[1].folder / "results"), contents(sites[0].folder / "results")
    assert made.keys() == reference.keys()
    assert [name for name, digest in made.items() if digest != reference[name]] == []
