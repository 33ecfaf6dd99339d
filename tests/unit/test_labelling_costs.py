"""What labelling costs: every part that an arm depends on is counted once, in the unit that the page states."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from winnow.benchmark_files import last_look
from winnow.rounds import costs
from winnow.stage import InputError, canonical

HEAD = "s\th:m:s\tmax_rss\tcpu_time\n"


def job(folder: Path, name: str, wall: float, cpu: float) -> str:
    at_last_look = cpu * last_look(wall) / wall
    (folder / name).write_text(f"{HEAD}{wall}\t0:00:00\t1\t{at_last_look}\n")
    return str(folder / name)


def test_parts_of_a_chain_and_of_probes(tmp_path: Path) -> None:
    embedding = job(tmp_path, "embed", 100, 80)
    metrics = []
    for i, flops in enumerate((1e9, 3e9)):
        metrics.append(str(tmp_path / f"m{i}.json"))
        Path(metrics[-1]).write_text(json.dumps({"model_flops": flops}))
    (tmp_path / "timings.json").write_text(
        json.dumps({"seconds": {"draw": 8, "train": 4, "evaluate": 1, "total": 20}})
    )
    chain = {
        "name": "e/margin", "labels": 300, "seeds": 3, "rounds": 2, "metrics": metrics, "probes": None,
        "jobs": {
            "embedding": [embedding],
            "draws": [job(tmp_path, "d0", 2, 1), job(tmp_path, "d1", 2, 1)],
            "predictions": [job(tmp_path, "p", 10, 9)],
            "trainings": [job(tmp_path, "t0", 40, 30), job(tmp_path, "t1", 60, 50)],
        },
    }  # fmt: skip
    probe = {
        "name": "e/a-probe", "labels": 400, "seeds": 4, "rounds": 4, "metrics": [], "jobs": {"embedding": [embedding]},
        "probes": str(tmp_path / "timings.json"),
    }  # fmt: skip
    spec = {"title": "T", "arms": [chain, probe], "links": []}
    costs.main(spec=canonical(spec), out=tmp_path / "t")
    with open(tmp_path / "t.csv", newline="") as file:
        rows = {(r["arm"], r["part"]): r for r in csv.DictReader(file)}
    trainings = rows["e/margin", "trainings"]
    assert (float(trainings["cpu_seconds"]), float(trainings["wall_seconds"])) == pytest.approx((80, 100))
    assert (trainings["jobs"], float(trainings["flops"])) == ("2", 4e9)
    assert rows["e/margin", "predictions"]["flops"] == ""
    assert float(rows["e/margin", "draws"]["flops"]) == 0
    assert rows["e/margin", "embedding"]["shared"] == "true"
    # Of a probe, those of one seed.
    assert float(rows["e/a-probe", "draws"]["cpu_seconds"]) == pytest.approx(2)
    assert float(rows["e/a-probe", "trainings"]["cpu_seconds"]) == pytest.approx(1)
    html = (tmp_path / "t.html").read_text()
    assert '<td class="r">171</td>' in html  # 80 + 2 + 9 + 80
    assert html.index("e/margin") < html.index("e/a-probe")
    assert "not counted" in html


def test_a_timing_that_is_lost_is_no_cost_of_nothing(tmp_path: Path) -> None:
    arm = {"name": "a", "labels": 1, "seeds": 1, "rounds": 1, "metrics": [], "probes": None,
           "jobs": {"draws": [str(tmp_path / "lost.tsv")]}}  # fmt: skip
    with pytest.raises(InputError, match=r"lost.tsv: no such timing"):
        costs.main(spec=canonical({"title": "T", "arms": [arm], "links": []}), out=tmp_path / "t")
