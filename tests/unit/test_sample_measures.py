"""Samplers filter and rank by measures of the profile, and by numbers in meta columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from winnow.parquet import matches
from winnow.sample.draw import sample
from winnow.sample.pool import Inputs
from winnow.sample.sampler import needs, parse_sampler
from winnow.stage import InputError

N = 100
DOC = np.arange(N)
GRADE = np.where(DOC % 10 == 3, np.nan, DOC % 17).astype(np.float32)
LEVEL = np.where(DOC % 3 == 0, "easy", np.where(DOC % 3 == 1, "hard", None)).astype(object)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, list[Path]]:
    """Shards of a corpus and of its measures, which are cut elsewhere, one of them empty."""
    table = pa.table({"doc": DOC, "stars": pa.array(DOC % 5, pa.int8())})
    measured = pa.table({"doc": DOC, "grade": pa.array(GRADE, from_pandas=True), "level": pa.array(LEVEL)})
    empty = pa.table({"doc": DOC[:0], "grade": pa.nulls(0), "level": pa.nulls(0)})
    parts = {"documents": [table], "measures": [measured.slice(0, 60), empty, measured.slice(60)]}
    paths: dict[str, list[Path]] = {}
    for name, tables in parts.items():
        paths[name] = [tmp_path / f"{name}{i}.parquet" for i in range(len(tables))]
        for path, one in zip(paths[name], tables, strict=True):
            pq.write_table(one, path)
    pq.write_table(pa.table({"doc": DOC[:2], "role": ["heldout"] * 2}), tmp_path / "heldout.parquet")
    paths["heldout"] = [tmp_path / "heldout.parquet"]
    return paths


def draw(files: dict[str, list[Path]], train: int = 10, **keys: Any) -> tuple[list[int], dict[str, Any]]:
    sampler = parse_sampler({"allocation": {"weight": "none"}, **keys})
    facts = needs(sampler)
    inputs = Inputs(
        heldout=files["heldout"][0],
        documents=files["documents"],
        measures=files["measures"] if facts.filter_measure else [],
        scores=files["measures"] if facts.rank_measure else [],
    )
    table, known = sample(inputs, sampler, {"train": train}, 0)
    return table["doc"].to_pylist(), known["pool"]


@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        ({"column": "profile.grade", "min": 5, "max": 7}, (GRADE >= 5) & (GRADE <= 7)),
        ({"column": "profile.grade", "max": 2.5}, GRADE <= 2.5),
        ({"column": "profile.level", "values": ["easy"]}, LEVEL == "easy"),
        ({"column": "stars", "min": 3}, DOC % 5 >= 3),
        ({"column": "stars", "values": [1, 4], "max": 3}, DOC % 5 == 1),
    ],
)
def test_only_documents_that_meet_a_condition_are_drawn(
    files: dict[str, list[Path]], condition: dict[str, Any], fits: np.ndarray
) -> None:
    pool = DOC[2:][fits[2:]]
    docs, known = draw(files, len(pool), filters={"where": condition})
    assert docs == pool.tolist()  # a document without the measure meets no condition
    assert known["excluded"]["where"] == N - 2 - len(pool)


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_documents_are_ranked_by_a_measure_and_those_without_it_are_out(
    files: dict[str, list[Path]], order: str
) -> None:
    docs, known = draw(files, 12, ranking={"by": "score", "column": "profile.grade", "order": order})
    valid = np.sort(GRADE[2:][~np.isnan(GRADE[2:])])
    expected = valid[:12] if order == "ascending" else valid[-12:]
    assert sorted(GRADE[docs]) == expected.tolist()
    assert known["excluded"]["without the measure"] == 10
    assert known["documents"] == 88


def test_documents_are_drawn_with_a_measure_as_their_weight(files: dict[str, list[Path]]) -> None:
    ranking = {"by": "weighted", "column": "profile.grade", "scale": "linear"}
    docs, _ = draw(files, 40, ranking=ranking)
    assert GRADE[docs].mean() > np.nanmean(GRADE)


def test_a_filter_and_a_ranking_by_measures_go_together(files: dict[str, list[Path]]) -> None:
    where = {"column": "profile.level", "values": ["hard"]}
    docs, _ = draw(files, 5, filters={"where": where}, ranking={"by": "score", "column": "profile.grade"})
    hard = GRADE[2:][(LEVEL[2:] == "hard") & ~np.isnan(GRADE[2:])]
    assert sorted(GRADE[docs]) == sorted(hard)[:5]


def test_what_cannot_be_compared_ends_in_one_line(files: dict[str, list[Path]]) -> None:
    with pytest.raises(InputError, match=r"column 'level' holds string; min requires numbers$"):
        draw(files, filters={"where": {"column": "profile.level", "min": 1}})
    with pytest.raises(InputError, match=r"column 'level' holds string where numbers are required$"):
        draw(files, ranking={"by": "score", "column": "profile.level"})
    with pytest.raises(InputError, match=r"^filters.where: requires --measures"):
        draw({**files, "measures": []}, filters={"where": {"column": "profile.grade", "min": 1}})
    with pytest.raises(InputError, match=r"no column 'depth'; columns: doc, grade, level$"):
        draw(files, filters={"where": {"column": "profile.depth", "min": 1}})


def test_a_condition_without_values_and_bounds_is_that_there_is_a_value(files: dict[str, list[Path]]) -> None:
    assert matches(files["measures"][0], "grade", {}).tolist() == (~np.isnan(GRADE[:60])).tolist()
