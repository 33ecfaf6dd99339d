"""The model of a sampler is the schema's, it states what rules and stages need, and a new weight or ranking is one entry."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from winnow.sample.cluster_table import ClusterTable
from winnow.sample.rankings import RANKINGS, Order, Ranking
from winnow.sample.sampler import SAMPLERS, Sampler, needs, parse_sampler
from winnow.sample.weights import NONE, PUBLISHED, WEIGHTS, Allocation
from winnow.schema import deref, schema
from winnow.stage import InputError

ROOT = Path(__file__).parents[2]
SHIPPED = yaml.safe_load(SAMPLERS.read_text())["samplers"]


def models(kind: object) -> list[type]:
    """The dataclasses in a type: itself, or those of a union or a tuple."""
    if dataclasses.is_dataclass(kind):
        return [typing.cast(type, kind)]
    return [model for inner in typing.get_args(kind) for model in models(inner)]


def check_fields(model: type, part: dict, path: str) -> list[str]:
    """Holds a dataclass, and those of its fields, to a mapping of the schema; paths of all that were checked."""
    keys = part["properties"]
    fields = {field.name: field for field in dataclasses.fields(model)}
    assert fields.keys() == keys.keys(), path
    hints, checked = typing.get_type_hints(model), [path]
    for name, key in keys.items():
        field = fields[name]
        unset = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        assert unset == (name in part.get("required", [])), f"{path}.{name}"
        inner = models(hints[name])
        if "default" in key and not inner:
            assert field.default == key["default"], f"{path}.{name}"
        if inner:
            (model_,) = inner
            mapping = deref(key.get("items", key))
            checked += check_fields(model_, mapping, f"{path}.{name}")
    return checked


def test_a_sampler_has_the_fields_and_the_defaults_of_the_schema():
    """Else a sampler that the configuration takes ends in a traceback when it is drawn, as the filter contaminated did."""
    checked = check_fields(Sampler, schema()["$defs"]["sampler"], "sampler")
    assert checked == ["sampler", "sampler.allocation", "sampler.ranking", "sampler.filters", "sampler.filters.where",
                       "sampler.filters.used", "sampler.filters.semdedup"]  # fmt: skip


def test_every_weight_and_ranking_of_the_schema_is_registered_and_no_other():
    parts = schema()["$defs"]["sampler"]["properties"]
    assert {NONE, *WEIGHTS} == set(parts["allocation"]["properties"]["weight"]["enum"])
    assert RANKINGS.keys() == set(parts["ranking"]["properties"]["by"]["enum"])
    assert PUBLISHED.keys() <= WEIGHTS.keys()
    for entries, part in ((WEIGHTS, "allocation"), (RANKINGS, "ranking")):
        keys = [key for entry in entries.values() for key in entry.keys]
        assert len(keys) == len(set(keys))
        assert set(keys) <= parts[part]["properties"].keys()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_sampler_is_the_same_with_its_defaults_written_out(name):
    """Rules ask of the configuration with defaults, the command `allocate` of the file without."""
    chosen = parse_sampler(SHIPPED[name])
    written_out = json.loads(json.dumps(dataclasses.asdict(chosen)))
    for part in ("allocation", "ranking", "filters"):
        written_out[part] = {
            key: value for key, value in written_out[part].items() if value not in (None, {}, [])
        }
    if where := written_out["filters"].get("where"):  # bounds have no default: no document is beyond none
        written_out["filters"]["where"] = {key: value for key, value in where.items() if value is not None}
    if SHIPPED[name]["allocation"]["weight"] != "density":
        del written_out["allocation"]["omega"]  # without a default in the schema
    assert parse_sampler(written_out) == chosen
    assert needs(written_out) == needs(SHIPPED[name]) == needs(chosen)


def facts(name: str) -> dict[str, object]:
    """What a shipped sampler needs beside what `random` does."""
    other = dataclasses.asdict(needs(SHIPPED["random"]))
    return {
        key: value for key, value in dataclasses.asdict(needs(SHIPPED[name])).items() if value != other[key]
    }


CLUSTERS = {"allocates": True, "clusters": True}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("random", {}),
        ("random-whole", {"excluded": False}),
        ("uniform", CLUSTERS),
        ("uniform-published", {**CLUSTERS, "tokens": False}),
        ("proportionate", CLUSTERS),
        ("density", {**CLUSTERS, "columns": ("mean_distance",)}),
        ("low-density-published", {**CLUSTERS, "columns": ("sum_distance",), "tokens": False}),
        ("inter", {**CLUSTERS, "columns": ("mean_distance", "diversity")}),
        ("lossi", {**CLUSTERS, "columns": ("proxy_loss",), "losses": "proxy-loss"}),
        ("lossi-3", {**CLUSTERS, "columns": ("proxy_loss",), "losses": "proxy-loss", "scores": "proxy-loss",
                     "column": "score", "draws": "mixture", "tokens": False, "trained": True}),
        ("nearest", {**CLUSTERS, "distances": True}),
        ("lsh", {**CLUSTERS, "scores": "lsh", "column": "bucket", "draws": "buckets", "tokens": False, "trained": True}),
        ("dsir", {"scores": "web-ngrams", "column": "score", "draws": "weighted", "trained": True}),
        ("random-semdedup", {"clusters": True, "near": "semdedup"}),
        ("semdedup-after", {**CLUSTERS, "embeddings": "semdedup"}),
        ("random-clean", {"contaminated": "paper"}),
        ("proxy-train-web", {"meta": "domain"}),
    ],
)  # fmt: skip
def test_needs_of_shipped_samplers(name, expected):
    assert facts(name) == expected


def test_scorers_of_all_kinds_are_waited_for():
    config = {
        "allocation": {"weight": "loss", "loss": "a"},
        "ranking": {"by": "score", "scorer": "b"},
        "filters": {"semdedup": {"scorer": "c", "eps": 0.1, "when": "after"},
                    "used": [{"sampler": "random", "budget": "mini"}], "trained": "keep"},
    }  # fmt: skip
    assert needs(config).scorers == ["b", "a", "c"]
    assert [vars(draw) for draw in needs(config).used] == [
        {"sampler": "random", "budget": "mini", "data_seed": 0}
    ]
    assert not needs(config).trained


def test_the_model_of_a_sampler_is_light():
    """The Snakefile and the checks of the configuration import it."""
    code = "import sys; import winnow.sample.sampler; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"numpy", "pyarrow", "jsonschema", "cyclopts", "snakemake"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"allocation": {"weight": "density"}}, "missing key 'omega'"),
        ({"allocation": {"weight": "density", "omega": 2}}, "omega"),
        ({"allocation": {"weight": "size", "omega": 0.5}}, "goes with weight density only"),
        ({"allocation": {"weight": "size", "terms": {"size": 1}}}, "goes with weight weighted only"),
        ({"allocation": {"weight": "weighted"}}, "positive weight of size, dispersion, diversity"),
        ({"allocation": {"weight": "weighted", "terms": {"size": 0}}}, "positive weight"),
        ({"allocation": {"weight": "weighted", "terms": {"sizes": 1}}}, "unknown key 'sizes'"),
        ({"allocation": {"weight": "size", "form": "published"}}, "no published form"),
        ({"allocation": {"weight": "size"}, "rounding": "divmod"}, "weight equal only"),
        ({"allocation": {"weight": "none"}, "rounding": "floor"}, "one pool"),
        ({"allocation": {"weight": "none"}, "ranking": {"by": "nearest"}}, "weight is none"),
        ({"allocation": {"weight": "none"}, "ranking": {"by": "lsh", "scorer": "s", "shares": {"random": 1}}}, "buckets of clusters"),
        ({"allocation": {"weight": "size"}, "ranking": {"by": "lsh", "scorer": "s"}}, "positive share"),
        ({"allocation": {"weight": "size"}, "ranking": {"shares": {"random": 1}}}, "goes with 'by: lsh' only"),
        ({"allocation": {"weight": "size"}, "ranking": {"order": "mixture"}}, "by: score"),
        ({"allocation": {"weight": "size"}, "ranking": {"by": "score"}}, "missing key 'scorer'"),
        ({"allocation": {"weight": "size"}, "ranking": {"scorer": "s"}}, "goes with 'by: score, weighted, lsh' only"),
        ({"allocation": {"weight": "size"}, "ranking": {"by": "nearest", "purpose": "proxy-train"}}, "by: random"),
        ({"allocation": {"weight": "density", "omega": 0.5, "top_up": 0.5}}, "form published and rounding floor"),
        ({"allocation": {"weight": "heavy"}}, "not one of"),
    ],
)  # fmt: skip
def test_a_sampler_that_means_nothing_is_named(config, message):
    with pytest.raises(InputError, match=message) as error:
        parse_sampler(config, "samplers.mine")
    assert str(error.value).startswith("samplers.mine")
    assert "\n" not in str(error.value)


# A weight and a ranking of a contributor: CONTRIBUTING.md describes these very edits.
WEIGHT = [
    ('    top_up: float | None = None\n', '    top_up: float | None = None\n    exponent: float = 1.0\n'),
    ('    "size": Weight(size),\n', '    "size": Weight(size),\n    "power": Weight(lambda clusters, sizes, allocation: sizes**allocation.exponent, keys=("exponent",)),\n'),
]  # fmt: skip
WEIGHT_SCHEMA = [
    ("weight: {enum: [none, equal, size,", "weight: {enum: [none, power, equal, size,"),
    ("          omega: {type: number,", "          exponent: {type: number, minimum: 0, description: Exponent of the size}\n          omega: {type: number,"),
]  # fmt: skip
AROUND = (
    '    "around": Order("distance", lambda distance, doc, ranking, seed: abs(distance - ranking.centre)),\n'
)
LARGEST = '    "largest": Order("score", lambda score, doc, ranking, seed: -abs(score)),\n'
RANKING = [
    ("    top: float = 0.8\n", "    top: float = 0.8\n    centre: float = 0.5\n"),
    ('    "farthest": Order(', f'{AROUND}{LARGEST}    "farthest": Order('),
]
RANKING_SCHEMA = [
    ("by: {enum: [random, nearest,", "by: {enum: [random, around, largest, nearest,"),
    ("          oversample: {type: number,", "          centre: {type: number, default: 0.5, description: Distance that comes first}\n          oversample: {type: number,"),
]  # fmt: skip


def edit(path: Path, changes: list[tuple[str, str]]) -> None:
    text = path.read_text()
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    path.write_text(text)


@pytest.fixture(scope="module")
def contributed(tmp_path_factory):
    """A copy of the package with a weight and a ranking more, each in one Python file and the schema."""
    folder = tmp_path_factory.mktemp("contributed")
    for part in ("workflow/winnow", "workflow/schemas", "config"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    edit(folder / "workflow/winnow/sample/weights.py", WEIGHT)
    edit(folder / "workflow/winnow/sample/rankings.py", RANKING)
    edit(folder / "workflow/schemas/config.schema.yaml", WEIGHT_SCHEMA + RANKING_SCHEMA)
    doc = np.arange(1000)
    cluster = np.where(doc < 800, 0, 1).astype(np.int32)
    distance = (doc % 100 / 100).astype(np.float32)
    pq.write_table(
        pa.table({"doc": doc, "cluster": cluster, "distance": distance}), folder / "assignments.parquet"
    )
    pq.write_table(pa.table({"cluster": [0, 1], "documents": [800, 200]}), folder / "clusters.parquet")
    pq.write_table(
        pa.table({"doc": pa.array([], pa.int64()), "role": pa.array([], pa.string())}), folder / "h.parquet"
    )
    return folder


def run_python(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def draw(folder: Path, sampler: dict) -> subprocess.CompletedProcess:
    spec = {"ids": {}, "sampler": sampler, "budget": {"train": 90}, "data_seed": 0, "semdedup": None,
            "selection": {"proxies": [], "probe": None, "targets": []}}  # fmt: skip
    return run_python(
        folder, "-m", "winnow.sample.draw", "--assignments", "assignments.parquet", "--clusters", "clusters.parquet",
        "--heldout", "h.parquet", "--spec", json.dumps(spec), "--out", "draw.parquet", "--facts", "draw.json",
    )  # fmt: skip


def test_a_new_weight_with_a_key_of_its_own_is_one_python_file_and_the_schema(contributed):
    sampler = {"allocation": {"weight": "power", "exponent": 0.5}}
    done = draw(contributed, sampler)
    assert done.returncode == 0, done.stderr
    counts = np.bincount(pq.read_table(contributed / "draw.parquet")["cluster"].to_numpy())
    assert counts.tolist() == [60, 30]  # 800 and 200 documents: their roots are 2 to 1
    wrong = draw(contributed, {"allocation": {"weight": "size", "exponent": 0.5}})
    assert wrong.returncode == 1
    assert "allocation.exponent: goes with weight power only, not with size" in wrong.stderr


def test_a_new_ranking_with_a_key_of_its_own_is_one_python_file_and_the_schema(contributed):
    done = draw(contributed, {"allocation": {"weight": "size"}, "ranking": {"by": "around", "centre": 0.3}})
    assert done.returncode == 0, done.stderr
    doc = pq.read_table(contributed / "draw.parquet")["doc"].to_numpy()
    assert abs(doc % 100 - 30).max() <= 5
    wrong = draw(contributed, {"allocation": {"weight": "none"}, "ranking": {"by": "around"}})
    assert "ranking.by: around requires the distances of a clustering; weight is none" in wrong.stderr


def test_a_run_that_names_new_weights_and_rankings_passes_the_checks_of_the_configuration(contributed):
    samplers = {
        "power": {"allocation": {"weight": "power", "exponent": 0.5}},
        "around": {"allocation": {"weight": "equal"}, "ranking": {"by": "around"}},
        "largest": {"allocation": {"weight": "none"}, "ranking": {"by": "largest", "scorer": "proxy-loss"}},
    }
    experiment = {"name": "toy", "corpus": "pile-mini", "clustering": "minilm-k22", "samplers": list(samplers), "budget": "mini",
                  "model": "neox-nano", "data_seeds": [0], "suites": ["mini"]}  # fmt: skip
    run = {"samplers": samplers, "experiments": [experiment], "targets": []}
    (contributed / "run.yaml").write_text(yaml.safe_dump(run))
    done = run_python(contributed, "-m", "winnow", "check", "run.yaml")
    assert done.returncode == 0, done.stderr
    assert "3 models" in done.stdout


def test_formulas_and_values_are_pure_functions_of_arrays():
    """They can be tried without a file: a contributor's test of a formula is a line."""
    table = ClusterTable(np.arange(3), np.array([10, 20, 70]), {"mean_distance": np.array([0.1, 0.2, 0.3])})
    sizes = table.documents.astype(float)
    for name in ("equal", "size", "density"):
        values = WEIGHTS[name].formula(table, sizes, Allocation(name, omega=0.5))
        assert values.shape == (3,)
        assert (sizes == table.documents).all()
    numbers, doc = np.array([0.5, 0.1]), np.array([7, 3])
    assert Order().value is None
    assert RANKINGS["farthest"].value(numbers, doc, Ranking("farthest"), 0).tolist() == [-0.5, -0.1]
    assert RANKINGS["score"].value(numbers, doc, Ranking("score", order="descending"), 0).tolist() == [
        -0.5,
        -0.1,
    ]
