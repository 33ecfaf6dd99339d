"""Each benchmark runs from its command line, in a tiny size, without real data: it says what it makes up, and its figures."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TINY = {
    "bench_cluster.py": (["--vectors", "9000", "--k", "4", "--rounds", "1"], "floor of one pass"),
    "bench_embed.py": (["--documents", "6", "--rounds", "1"], "mean cosine 1.000000"),
    "bench_evaluate.py": (["--limit", "4"], " 0 different"),
    "bench_pile_size.py": (["--share", "0.003", "--dimensions", "32", "--lsh"], "differ from the published ones by"),
    "bench_profile.py": (["--rows", "2000", "--rounds", "1", "--packages", "none"], "counts are equal"),
    "bench_sample.py": (["--share", "0.0002", "--documents", "800"], "subset 2: scan"),
    "bench_start.py": (["--rounds", "1"], "slowest light stage"),
    "bench_train.py": (["--steps", "2", "--rounds", "1", "--batch", "2", "--shape", "1", "32", "2", "16", "256"], "median ratio"),
    "bench_workflow.py": (["--jobs", "20", "--draws", "2"], "an empty job costs"),
    "calibrate.py": (["2", "2"], "any verdict"),
    "documents.py": (["--gigabytes", "0.001", "--rounds", "1"], "of the peer's speed"),
}  # fmt: skip
MADE_UP = {
    "bench_embed.py",
    "bench_evaluate.py",
    "bench_pile_size.py",
    "bench_sample.py",
    "bench_start.py",
    "documents.py",
}


@pytest.mark.slow
@pytest.mark.parametrize("script", TINY)
def test_a_benchmark_runs_without_real_data_and_says_so(script: str, root: Path, tmp_path: Path) -> None:
    sizes, figure = TINY[script]
    line = [sys.executable, root / "tests/benchmarks" / script, *sizes]
    environment = {
        **os.environ,
        "WINNOW_DATA": str(tmp_path / "none"),
        "OMP_NUM_THREADS": "1",
        "PIP_NO_INDEX": "1",
        "WINNOW_BENCH": str(tmp_path / "bench.jsonl"),
    }
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert figure in done.stdout
    kept = [json.loads(line) for line in (tmp_path / "bench.jsonl").read_text().splitlines()]
    assert {"ours", "peer", "ratio", "limit", "processor", "load"} <= kept[0].keys()
    assert all(row["benchmark"] == script.removesuffix(".py") for row in kept)
    table = [sys.executable, root / "tests/benchmarks/common.py", tmp_path / "bench.jsonl"]
    shown = subprocess.run(table, env=environment, capture_output=True, text=True, check=True).stdout
    assert all(f"| {row['what']} |" in shown for row in kept)
    assert re.search(r" cores, \d+ GiB, load \d", done.stdout)
    assert ("WINNOW_DATA" in done.stdout) == (script in MADE_UP)


@pytest.mark.parametrize("script", TINY)
def test_a_benchmark_runs_without_arguments_and_tells_its_options(script: str, root: Path) -> None:
    """Nothing on its command line is required."""
    text = (root / "tests/benchmarks" / script).read_text()
    assert "options(__doc__)" in text
    assert "required=True" not in text
    assert "sys.argv[1]" not in text
    for argument in re.findall(r'add_argument\(\s*"([a-z]\w*)"[^)]*\)', text):
        assert re.search(rf'"{argument}",[^)]*nargs="[*?]"', text), f"{argument} is required"


def test_every_benchmark_has_its_line_on_the_page_and_in_make(root: Path) -> None:
    folder = root / "tests/benchmarks"
    scripts = sorted(p.name for p in folder.glob("*.py") if p.name != "common.py")
    assert scripts == sorted(TINY)
    page = (folder / "README.md").read_text()
    assert sorted(re.findall(r"^\| `(\w+\.py)` \|", page, re.MULTILINE)) == scripts
    run = re.search(r"for script in ([\w ]+);", (root / "Makefile").read_text())
    assert run
    assert sorted(f"{name}.py" for name in run[1].split()) == [
        name
        for name in scripts
        if name != "bench_pile_size.py"  # as the page says
    ]


def test_bfloat16_is_measured_only_where_the_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, root: Path
) -> None:
    monkeypatch.syspath_prepend(str(root / "tests/benchmarks"))
    import common

    monkeypatch.setattr("winnow.device.native_bfloat16", lambda device: False)
    assert common.precisions("auto", "cpu") == ["float32"]
    assert "skipped: bfloat16" in capsys.readouterr().out
    monkeypatch.setattr("winnow.device.native_bfloat16", lambda device: True)
    assert common.precisions("auto", "cpu") == ["float32", "bfloat16"]
    with pytest.raises(SystemExit) as end, common.peer("no_such_package"):
        import no_such_package  # noqa: F401
    assert end.value.code == 0
    assert "no package 'no_such_package'" in capsys.readouterr().out
