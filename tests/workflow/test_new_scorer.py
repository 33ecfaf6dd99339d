"""A new kind of scorer is one Python file, its entry in the schema and its test: no rule, check or stage changes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import winnow.schema
import winnow.score
import yaml
from conftest import Snakemake, copy_workflow
from winnow.sample import draw
from winnow.score import documents, kinds
from winnow.stage import InputError

# What a person who adds the kind writes: CONTRIBUTING.md.
MODULE = '''"""Kind text-length: the characters of a document."""

import numpy as np

from winnow.score.kinds import Kind

STAGE_VERSION = 1
KIND = Kind(reads="texts", uses=("score",), minimum=0)


def open_scorer(scorer, proxies, ratios):
    def score(texts, progress):
        progress.add(len(texts))
        return {"score": np.array([scorer["factor"] * len(text) for text in texts], dtype=np.float64)}

    return score
'''
ENTRY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["kind"],
    "properties": {
        "kind": {"const": "text-length"},
        "factor": {"type": "number", "default": 1.0, "description": "What a length is multiplied by"},
    },
}


def add_kind(schema: Path, module: Path) -> None:
    table = yaml.safe_load(schema.read_text())
    table["$defs"]["scorer"]["oneOf"].append(ENTRY)
    schema.write_text(yaml.safe_dump(table))
    module.write_text(MODULE)


@pytest.fixture
def text_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package with the kind added."""
    place = tmp_path / "kinds"
    place.mkdir()
    schema = place / "schema.yaml"
    schema.write_text(winnow.schema.SCHEMA.read_text())
    add_kind(schema, place / "text_length.py")
    monkeypatch.setattr(winnow.schema, "SCHEMA", schema)
    monkeypatch.setattr(winnow.score, "__path__", [*winnow.score.__path__, str(place)])
    for cached in (winnow.schema.schema, kinds.facts):
        cached.cache_clear()
    yield tmp_path
    sys.modules.pop("winnow.score.text_length", None)
    for cached in (winnow.schema.schema, kinds.facts):
        cached.cache_clear()


SCORER = {"kind": "text-length", "factor": 2.0}
SAMPLER = {
    "allocation": {"weight": "none"},
    "ranking": {"by": "score", "scorer": "length", "order": "descending"},
}


def test_a_new_kind_scores_a_shard_and_ranks_a_draw(text_length: Path) -> None:
    folder = text_length
    lengths = np.random.default_rng(0).permutation(200) + 1
    table = {"doc": np.arange(200), "text": ["x" * int(n) for n in lengths]}
    pq.write_table(pa.table(table), folder / "documents.parquet")
    longest = np.flatnonzero(lengths == 200)
    pq.write_table(pa.table({"doc": longest, "role": ["heldout"]}), folder / "heldout.parquet")
    documents.texts(documents=folder / "documents.parquet", heldout=folder / "heldout.parquet",
                    spec=json.dumps({"scorer": SCORER}), out=folder / "scores.parquet", threads=1)  # fmt: skip
    scores = pq.read_table(folder / "scores.parquet")
    assert dict(zip(*scores.to_pydict().values(), strict=True)) == {
        doc: 2.0 * n for doc, n in enumerate(lengths.tolist()) if n < 200
    }
    spec = {
        "ids": {"corpus": "c", "clustering": "none", "sampler": "longest", "budget": "b", "data_seed": 0},
        "sampler": winnow.schema._fill(winnow.schema.schema()["$defs"]["sampler"], SAMPLER),
        "budget": {"unit": "documents", "tokenizer": None, "train": 10, "validation": 0, "test": 0},
        "data_seed": 0,
        "semdedup": None,
        "selection": {"proxies": [], "probe": None, "targets": []},
    }
    draw.main(documents=[folder / "documents.parquet"], heldout=folder / "heldout.parquet", scores=[folder / "scores.parquet"],
              spec=json.dumps(spec), out=folder / "draw.parquet", facts=folder / "facts.json")  # fmt: skip
    drawn = pq.read_table(folder / "draw.parquet")["doc"].to_numpy()
    assert sorted(lengths[drawn].tolist()) == list(range(190, 200))


def test_a_new_kind_needs_no_rule(tmp_path: Path, snakemake: Snakemake) -> None:
    folder = copy_workflow(tmp_path / "copy")
    add_kind(folder / "workflow/schemas/config.schema.yaml", folder / "workflow/winnow/score/text_length.py")
    (folder / "texts.jsonl").write_text('{"text": "a"}\n' * 30)
    run: dict[str, Any] = {
        "corpora": {"mine": {"source": {"files": ["texts.jsonl"]}, "text": "text", "heldout": {"documents": 4}}},
        "scorers": {"length": {"kind": "text-length"}},
        "samplers": {"longest": SAMPLER},
        "budgets": {"ten": {"train": 10}},
        "experiments": [
            {"name": "mine", "corpus": "mine", "samplers": ["longest"], "budget": "ten", "model": "neox-nano",
             "data_seeds": [0], "suites": ["mini"]}
        ],
        "targets": [],
    }  # fmt: skip
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    command = ("subsets", "-n", "-p", "--cores", "1", "--configfile", "run.yaml")
    shown = snakemake(*command, cwd=folder)
    assert shown.jobs()["score_documents"] == 1, shown.text
    assert shown.jobs()["draw_sample"] == 1
    (line,) = re.findall(r"python -m winnow.score.documents texts .*", shown.text)
    assert '"kind":"text-length"' in line
    assert "scores/none/length/0000.parquet" in line
    run["samplers"]["longest"] = SAMPLER | {"ranking": SAMPLER["ranking"] | {"column": "words"}}
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    wrong = snakemake(*command, cwd=folder)
    assert (
        "samplers.longest.ranking.column: 'words' is not a column of 'length'; columns: score" in wrong.text
    )


def test_the_facts_of_each_kind_are_those_of_its_schema() -> None:
    branches = winnow.schema.schema()["$defs"]["scorer"]["oneOf"]
    for branch in branches:
        keys = branch["properties"]
        proxies = [key for key, part in keys.items() if part.get("$ref") == "#/$defs/proxy"]
        kind = kinds.facts(keys["kind"]["const"])
        assert list(kind.proxies) == proxies
        assert kind.fits == ("target" in keys)
        assert "score" in kind.columns


def test_facts_that_are_no_literals_are_an_error_of_one_line(
    text_length: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = text_length / "kinds" / "text_length.py"
    module.write_text(MODULE.replace("minimum=0", "minimum=np.inf"))
    with pytest.raises(InputError, match=r"text_length.py, KIND: .*; must be Kind\(key=literal, ...\)"):
        kinds.facts("text-length")
    module.write_text(MODULE.replace("KIND = ", "_ = "))
    with pytest.raises(InputError, match=r"text_length.py: no KIND; it must have KIND = Kind\(...\)"):
        kinds.facts("text-length")
    module.unlink()
    with pytest.raises(InputError, match=r"winnow/score/text_length.py: no such file"):
        kinds.facts("text-length")
