"""Compare: evaluations of the arms of a table -> figures, tests, tables, a plot, and the claim ledger.

In: results.json files, each with its items.parquet beside it (one row an item and metric), and the
manifests of the subsets and models they came from. Out, at a common prefix: `.csv` (everything, full
precision), `.md`, `.tex` (booktabs), `.html` (self-contained), `.svg` and `.png` (forest plot of the
effects), `.claims.csv` and `.claims.json` (one row a claim: its
verdict and the files each number came from; of a table of the study also what was published).

Which arm an evaluation belongs to follows from the ids inside its file, never from its path. The tests,
and why they are what they are, are in `winnow.compare.statistics`.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.compare import statistics
from winnow.compare.render import TOKEN_TOLERANCE, Section, notes_of
from winnow.compare.statistics import Comparison, Run
from winnow.schema import read_spec
from winnow.stage import InputError, atomic_path, canonical, read_json, run, say, write_json, write_text

STAGE_VERSION = 9
GROUPS = 20
BIGRAM_TOKENS = 2_000_000
"""Training tokens from which a live model beats the interpolated bigram of its subset: the smallest Pythia (14M, 8k tokens
of vocabulary) passes it at about 1.5 million (tests/configs/pythia.yaml)."""
CONSTANT_ITEMS = 50
"""Items with different right answers to which a live model does not always give the same one."""
POWER = 0.8
HEADLINE, GROUPS_FAMILY = "headline", "groups"
"""The families over which p is adjusted: tests over all items of a benchmark, and tests of its groups."""
ALL_ITEMS, ONE_GROUP = "all items", "group"
"""What a row is of; in a CSV file, where null is an empty cell, this tells a group named "" from no group."""
ITEM_COLUMNS = ("benchmark", "task", "item", "group", "metric", "value", "weight", "label", "prediction")


def more_is_better(metric: str) -> bool:
    """Where the harness does not say: bits per byte, perplexities and losses are better when lower."""
    return not any(word in metric for word in ("perplexity", "bits_per_byte", "loss"))


@dataclass(frozen=True)
class Items:
    """The items of one run on one benchmark by one metric, sorted by task and item: arrays [items]. `group` holds names
    (any string, the empty one too) and None for an item of no group; `choices` how many answers an item offers."""

    keys: pa.Table
    group: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    label: np.ndarray | None
    prediction: np.ndarray | None
    choices: np.ndarray | None = None

    def _f1(self, rows: np.ndarray) -> tuple[float, np.ndarray]:
        assert self.label is not None
        assert self.prediction is not None
        return statistics.macro_f1(self.label[rows], self.prediction[rows])

    def figure(self, metric: str, rows: np.ndarray) -> float:
        if metric == "f1":
            return self._f1(rows)[0]
        return statistics.figure(metric, self.values[rows], self.weights[rows])

    def parts(self, metric: str, rows: np.ndarray) -> np.ndarray:
        if metric == "f1":
            return self._f1(rows)[1]
        return statistics.parts(metric, self.values[rows], self.weights[rows])

    def means(self, metric: str, rows: np.ndarray) -> bool:
        """Whether the metric means anything of these items: macro-F1 of a single true class is that class's recall,
        halved or worse by what else was answered."""
        return metric != "f1" or bool(np.ptp(self.label[rows]) > 0)  # type: ignore[index]

    def chance(self, metric: str, rows: np.ndarray) -> tuple[float, str] | None:
        """Accuracy without knowledge, and its kind: "choices" (one over the number of choices, mean over the items) or
        "majority" (the share of the commonest label, where it is not known how many choices there were)."""
        if not metric.startswith("acc"):
            return None
        if self.choices is not None:
            return float(np.mean(1 / self.choices[rows])), "choices"
        if self.label is None or np.ptp(self.label[rows]) == 0:
            return None
        return float(np.unique(self.label[rows], return_counts=True)[1].max() / len(rows)), "majority"


@dataclass
class Arm:
    """One arm: its ids, and what was found of it. `items` by (benchmark, metric), then by run."""

    name: str
    ids: dict[str, Any]
    items: dict[tuple[str, str], dict[Run, Items]] = field(default_factory=dict)
    files: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    runs: set[Run] = field(default_factory=set)
    tokens: dict[Run, int] = field(default_factory=dict)
    examples: dict[Run, int] = field(default_factory=dict)
    epochs: dict[Run, float] = field(default_factory=dict)
    documents: dict[int, int] = field(default_factory=dict)
    consumed: dict[int, dict[str, int] | None] = field(default_factory=dict)
    pools: dict[int, int] = field(default_factory=dict)
    train_split: dict[int, str] = field(default_factory=dict)
    higher: dict[tuple[str, str], bool] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)
    seeds: list[int] | None = None
    tokenizer: str | None = None
    floors: dict[tuple[int, str], dict[str, float]] = field(default_factory=dict)
    found: dict[str, list[dict[str, int]]] = field(default_factory=dict)

    def has(self, ids: Mapping[str, Any]) -> bool:
        """Whether a file with these ids is of a run of this arm."""
        seed = ids.get("data_seed")
        return _belongs(ids, self.ids) and (self.seeds is None or seed is None or seed in self.seeds)

    def drew(self, ids: Mapping[str, Any]) -> bool:
        """Whether a file with these ids is of a subset of this arm."""
        below = {key: value for key, value in self.ids.items() if key != "model"}
        return _belongs(ids, below) and (self.seeds is None or ids.get("data_seed") in self.seeds)

    def dead(self) -> dict[Run, list[str]]:
        """Why a run's model is dead, by run: no better than counting, or one answer to all items of a benchmark."""
        why: dict[Run, list[str]] = {}
        for (benchmark, metric), runs in sorted(self.items.items()):
            for key, items in sorted(runs.items()):
                floor = self.floors.get((key[0], benchmark))
                if metric == "bits_per_byte" and floor:
                    bits = items.figure(metric, np.arange(len(items.values)))
                    for name in ("unigram", "bigram"):
                        late = name == "unigram" or self.tokens.get(key, 0) >= BIGRAM_TOKENS
                        if late and not bits < floor[name]:
                            why.setdefault(key, []).append(
                                f"no better than a {name} on {benchmark} ({bits:.3f} against {floor[name]:.3f} bits per byte)"
                            )
                if metric == "acc" and items.label is not None and items.prediction is not None:
                    asked = len(items.label) >= CONSTANT_ITEMS and np.ptp(items.label) > 0
                    if asked and np.ptp(items.prediction) == 0:
                        why.setdefault(key, []).append(f"gives one answer to all items of {benchmark}")
        return why

    @property
    def amount(self) -> float | None:
        """Training tokens (language models) or examples (classifiers), mean over runs."""
        amounts = self.tokens or self.examples
        return sum(amounts.values()) / len(amounts) if amounts else None

    def selection(self, what: str) -> float | None:
        """Documents, labels or tokens that the selection of a subset consumed, mean over the subsets; None if a manifest
        does not say."""
        amounts = [None if one is None else one.get(what) for one in self.consumed.values()]
        known = [amount for amount in amounts if amount is not None]
        return sum(known) / len(known) if known and len(known) == len(amounts) else None

    @property
    def pool(self) -> float | None:
        """Documents that its sampler drew from, mean over subsets; None if a manifest does not say."""
        known = len(self.pools) == len(self.consumed) > 0
        return sum(self.pools.values()) / len(self.pools) if known else None

    @property
    def train_documents(self) -> float | None:
        return sum(self.documents.values()) / len(self.documents) if self.documents else None

    @property
    def train_labels(self) -> float | None:
        """Labels that a training reads: one a document of a classifier, none of a language model."""
        if self.examples:
            return self.train_documents
        return 0.0 if self.tokens else None

    def models(self) -> set[tuple[Any, ...]]:
        """What makes each run's model what it is: subset, training seed and model; its files where that is unknown."""
        known: set[tuple[Any, ...]] = set()
        for data, training in self.runs:
            if data in self.train_split:
                known.add(
                    (self.ids.get("corpus"), self.ids.get("model"), self.train_split[data], str(training))
                )
            else:
                known.add((canonical(self.ids), data, training))
        return known

    def different(self, runs: Mapping[Run, Any]) -> dict[Run, Any]:
        """`runs` without those of a data seed that drew and trained the same as an earlier one.

        A sampler that ranks without chance (nearest, entropy) draws the same documents with every data
        seed; its runs differ by their training seeds alone, and copies of one run are no evidence.
        """
        kept: dict[Run, Any] = {}
        known: set[frozenset[tuple[str, int]]] = set()
        for seed in sorted({data for data, _ in runs}):
            mine = [key for key in sorted(runs) if key[0] == seed]
            subset = self.train_split.get(seed, f"unknown {seed}")
            what = frozenset((subset, training) for _, training in mine)
            if what not in known:
                known.add(what)
                kept.update((key, runs[key]) for key in mine)
        return kept


# -- reading ------------------------------------------------------------------------------------------


def _belongs(ids: Mapping[str, Any], pattern: Mapping[str, Any]) -> bool:
    return all(ids.get(key) == value for key, value in pattern.items())


def _ids(path: Path, content: Any) -> dict[str, Any]:
    ids = content.get("ids") if isinstance(content, dict) else None
    if not isinstance(ids, dict):
        raise InputError(f'{path}: no "ids"; wanted a file of the stage that wrote it')
    return ids


def _run_of(path: Path, ids: Mapping[str, Any]) -> Run:
    """The run of a file's ids; that of a model as it was published, which has no seeds, is (0, 0)."""
    if "pretrained" in ids:
        return 0, 0
    seeds = [ids.get(name) for name in ("data_seed", "training_seed")]
    if None in seeds:
        raise InputError(
            f'{path}: "ids" lacks {("data_seed", "training_seed")[seeds.index(None)]}; a trained model has both'
        )
    return int(seeds[0]), int(seeds[1])  # type: ignore[arg-type]


def read_items(path: Path, classifier: bool) -> dict[tuple[str, str], Items]:
    """Items of an items.parquet by (benchmark, metric); of a classifier, macro-F1 is made of its `acc` rows.

    Raises InputError for missing columns and for an item that occurs twice.
    """
    file = pq.ParquetFile(path)
    missing = [name for name in ITEM_COLUMNS if name not in file.schema_arrow.names]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}; wanted: {', '.join(ITEM_COLUMNS)}")
    choices = "scores" in file.schema_arrow.names
    table = file.read(columns=[*ITEM_COLUMNS, *(["scores"] if choices else [])])
    if choices:
        table = table.append_column("choices", pc.list_value_length(table["scores"])).drop_columns("scores")
    for name in ("benchmark", "task", "group", "metric"):
        table = table.set_column(
            table.column_names.index(name), name, pc.cast(table[name], pa.string()).combine_chunks()
        )
    table = table.sort_by([(name, "ascending") for name in ("benchmark", "metric", "task", "item")])
    found = {}
    pairs = pc.unique(pc.binary_join_element_wise(table["benchmark"], table["metric"], "\x00")).to_pylist()
    for pair in pairs:
        benchmark, metric = pair.split("\x00")
        part = table.filter(
            pc.and_(pc.equal(table["benchmark"], benchmark), pc.equal(table["metric"], metric))
        )
        keys = part.select(["task", "item"]).combine_chunks()
        if keys.group_by(["task", "item"]).aggregate([]).num_rows != keys.num_rows:
            raise InputError(f"{path}: an item of {benchmark} ({metric}) occurs twice")
        answers = part["label"].null_count == 0 and part["prediction"].null_count == 0
        items = Items(
            keys,
            np.array([*part["group"].to_pylist(), None], dtype=object)[:-1],
            part["value"].to_numpy().astype(np.float64),
            part["weight"].to_numpy().astype(np.float64),
            part["label"].to_numpy() if answers else None,
            part["prediction"].to_numpy() if answers else None,
            part["choices"].to_numpy().astype(np.float64)
            if choices and len(part) and part["choices"].null_count == 0
            else None,
        )
        found[benchmark, metric] = items
        if classifier and metric == "acc" and answers:
            found[benchmark, "f1"] = items
    return found


def _is_classifier(results: Mapping[str, Any]) -> bool:
    """Whether an evaluation is a classifier's: its own results hold F1."""
    return any("f1" in task for task in results.get("tasks", {}).values() if isinstance(task, dict))


def arms_of(wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, Arm]:
    """Arms by name from their ids, data seeds and tokenizer."""
    arms = {}
    for name, ids in wanted.items():
        own = {key: value for key, value in ids.items() if key not in ("data_seeds", "tokenizer")}
        arms[name] = Arm(name, own, seeds=ids.get("data_seeds"), tokenizer=ids.get("tokenizer"))
    return arms


def collect(
    evaluations: list[Path],
    subsets: list[Path],
    models: list[Path],
    spec: Mapping[str, Any],
    ngrams: Sequence[Path] = (),
    contamination: Sequence[Path] = (),
) -> dict[str, Arm]:
    """The arms with all that belongs to them.

    Raises InputError for an arm without evaluations, a run with two evaluations of one suite, and an
    evaluation that no arm asked for.
    """
    arms = arms_of(spec["arms"])
    shown = spec["metrics"]
    seen: dict[tuple[str, Run, str], Path] = {}
    of_suite: dict[str, set[tuple[str, str]]] = {}
    contents = {path: read_json(path) for path in sorted(set(evaluations))}
    for path, results in contents.items():
        ids = _ids(path, results)
        wanted = [arm for arm in arms.values() if arm.has(ids)]
        if not wanted or ids.get("suite") not in spec["suites"]:
            raise InputError(
                f"{path}: belongs to no arm and suite of this table "
                f"({', '.join(f'{key} {value}' for key, value in sorted(ids.items()))})"
            )
        whole = read_items(path.with_name("items.parquet"), _is_classifier(results))
        for benchmark, wanted_metrics in sorted(shown.items()):
            found_metrics = sorted(metric for name, metric in whole if name == benchmark)
            if found_metrics and (lacking := sorted(set(wanted_metrics) - set(found_metrics))):
                raise InputError(
                    f"{path}: benchmark {benchmark} has no metric {lacking[0]!r}; it has: {', '.join(found_metrics)}"
                )
        items = {pair: found for pair, found in whole.items() if pair[1] in shown.get(pair[0], [pair[1]])}
        key = _run_of(path, ids)
        of_suite.setdefault(ids["suite"], set()).update(items)
        higher = {
            (benchmark, metric): bool(up)
            for benchmark, metrics in results.get("higher_is_better", {}).items()
            for metric, up in metrics.items()
            if up is not None
        }
        for arm in wanted:
            if (arm.name, key, ids["suite"]) in seen:
                first = seen[arm.name, key, ids["suite"]]
                raise InputError(f"{path}: {first} is of the same run and suite")
            seen[arm.name, key, ids["suite"]] = path
            arm.runs.add(key)
            arm.limits.update(results.get("limits", {}))
            arm.higher.update(higher)
            for pair, found in items.items():
                if key not in arm.items.setdefault(pair, {}):
                    arm.items[pair][key] = found
                    arm.files.setdefault(pair, []).append(str(path.with_name("items.parquet")))
    for path in sorted(set(subsets)):
        manifest = read_json(path)
        ids = _ids(path, manifest)
        train = manifest.get("counts", {}).get("splits", {}).get("train", {})
        digest = manifest.get("sha256", {}).get("train.parquet")
        for arm in arms.values():
            if arm.drew(ids):
                arm.sources.append(str(path))
                if ids.get("data_seed") is None:
                    raise InputError(f'{path}: "ids" lacks data_seed; a subset has one')
                data_seed = int(ids["data_seed"])
                arm.consumed[data_seed] = manifest.get("consumed")
                if "documents" in (manifest.get("pool") or {}):
                    arm.pools[data_seed] = manifest["pool"]["documents"]
                if "documents" in train:
                    arm.documents[data_seed] = train["documents"]
                if digest:
                    arm.train_split[data_seed] = digest
    for path in sorted(set(models)):
        manifest = read_json(path)
        ids = _ids(path, manifest)
        for arm in arms.values():
            if arm.has(ids):
                arm.sources.append(str(path))
                if "epochs" in manifest:
                    arm.epochs[_run_of(path, ids)] = float(manifest["epochs"])
                for name, store in (("training_tokens", arm.tokens), ("training_examples", arm.examples)):
                    if name in manifest:
                        store[_run_of(path, ids)] = int(manifest[name])
    for path in sorted(set(ngrams)):
        floor = read_json(path)
        for arm in arms.values():
            ids = dict(_ids(path, floor))
            if ids.pop("tokenizer", None) == arm.tokenizer and arm.drew(ids):
                arm.floors[int(ids["data_seed"]), floor["benchmark"]] = floor
    for path in sorted(set(contamination)):
        report = read_json(path)
        for arm in arms.values():
            if arm.drew(_ids(path, report)):
                for benchmark, counts in report["benchmarks"].items():
                    arm.found.setdefault(benchmark, []).append(counts)
    for arm in arms.values():
        if not arm.items:
            raise InputError(f"--spec arms: {arm.name} has no evaluation among the {len(contents)} given")
    for (name, run_, suite), path in seen.items():
        for pair in sorted(of_suite[suite]):
            if run_ not in arms[name].items.get(pair, {}):
                raise InputError(
                    f"{path}: has no {pair[1]} of {pair[0]}, which other runs of suite {suite} have; evaluate it again"
                )
    return arms


# -- comparing ----------------------------------------------------------------------------------------


def find_baseline(wanted: str, arms: Mapping[str, Arm]) -> str:
    """The arm that `wanted` names: itself, or the one arm of that sampler. Raises InputError otherwise."""
    if wanted in arms:
        return wanted
    found = [name for name in sorted(arms) if name.rpartition("/")[2] == wanted]
    if not found:
        raise InputError(f"--spec table.baseline: no arm {wanted!r}; arms: {', '.join(sorted(arms))}")
    if len({canonical(arms[name].ids) for name in found}) > 1:
        raise InputError(
            f"--spec table.baseline: {wanted!r} is {' and '.join(found)}; name one as experiment/sampler"
        )
    return found[0]


def groups_of(items: Items, most: int) -> list[str | None]:
    """None (all items), then the groups if there are two or more: the `most` largest, ties by name, sorted by name."""
    counts = Counter(name for name in items.group.tolist() if name is not None)
    if len(counts) < 2:
        return [None]
    order = sorted(counts, key=lambda name: (-counts[name], name))
    return [None, *sorted(order[:most])]


def compare(arms: Mapping[str, Arm], spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table: benchmark x metric x group x arm, the baseline first.

    Raises InputError where two runs do not have the same items, or where `unit` is models and an arm has
    more than one run.
    """
    settings = spec["table"]
    unit, confidence = settings.get("unit", "samplers"), settings.get("confidence", 0.95)
    baseline = arms[find_baseline(settings["baseline"], arms)]
    if unit == "models":
        for arm in arms.values():
            if len(arm.runs) != 1:
                raise InputError(
                    f"--spec table.unit: models are compared one by one, and {arm.name} has {len(arm.runs)} "
                    "runs; list one data seed and one training seed, or compare samplers"
                )
    rows = []
    ordered = [baseline, *(arm for arm in arms.values() if arm is not baseline)]
    shared = same_models(arms)
    for pair in sorted({pair for arm in ordered for pair in arm.items}):
        benchmark, metric = pair
        have = [arm for arm in ordered if pair in arm.items]
        if baseline not in have:
            raise InputError(f"{baseline.name} has no {metric} of {benchmark}, and it is the baseline")
        first = next(iter(baseline.items[pair].values()))
        _check_same_items(have, pair, first)
        for group in groups_of(first, settings.get("groups", GROUPS)):
            chosen = slice(None) if group is None else first.group == group
            selected = np.arange(len(first.values))[chosen]
            if not first.means(metric, selected):
                continue
            parts = {
                arm.name: {
                    key: found.parts(metric, selected) for key, found in sorted(arm.items[pair].items())
                }
                for arm in have
            }
            for arm in have:
                row = _describe(arm, baseline, spec["name"], pair, group, selected, parts[arm.name])
                row["same_models"] = shared.get(arm.name, {})
                row["may_know_items"] = "pretrained" in arm.ids and benchmark not in spec.get("tasks", {})
                if arm is not baseline:
                    name = canonical([spec["name"], arm.name, benchmark, metric, group])
                    left, right = (a.different(parts[a.name]) for a in (arm, baseline))
                    given = ("pretrained" in arm.ids, "pretrained" in baseline.ids)
                    fewest = None if group is None else statistics.FEWEST_GROUP_ITEMS
                    comparison = _test(unit, arm, pair, selected, left, right, given, settings, name, fewest)
                    if comparison is not None:
                        base, limits = statistics.level_of(right), statistics.bounds(metric)
                        comparison = statistics.within(comparison, base, limits)
                        row["_base"], row["_limits"] = base, limits
                        row["_effects_by_seed"] = statistics.effects_by_seed(left, right)
                    _add_test(row, comparison)
                    row |= statistics.difference_variances(left, right) or {}
                rows.append(row)
    whole = {
        (row["benchmark"], row["metric"], row["group"]): row["figure"] for row in rows if row["is_baseline"]
    }
    for row in rows:
        first = whole[row["benchmark"], row["metric"], row["group"]]
        if not row["is_baseline"] and first and math.isfinite(first) and math.isfinite(row["figure"]):
            row["percent_difference"] = 100 * (row["figure"] - first) / first
    _add_verdicts(rows, confidence)
    for row in rows:
        row["notes"] = notes_of(row)
    return rows


def same_models(arms: Mapping[str, Arm]) -> dict[str, dict[str, int]]:
    """For each arm, how many of its models each other arm has, too: figures of one model are not found twice."""
    models = {name: arm.models() for name, arm in arms.items()}
    return {
        name: {
            other: common
            for other in models
            if other != name and (common := len(models[name] & models[other]))
        }
        for name in models
    }


def beside(arms: Mapping[str, Arm], spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of `compare` for the pairs that the study compares and of which neither is the table's baseline: those with
    one first side are a family of their own."""
    table = spec["table"]
    wanted, own = table["published"], find_baseline(table["baseline"], arms)
    of = {variant: arm for variant, arm in wanted.get("arms", {}).items() if arm in arms and arm != own}
    rows = []
    for first in (of[a] for a in wanted["a"] if a in of):
        others = [of[b] for b in wanted["b"] if b in of and of[b] != first]
        if not others:
            continue
        chosen = [arms[name] for name in (first, *others)]
        common = set.intersection(*(set(arm.items) for arm in chosen))
        cut = {a.name: replace(a, items={pair: a.items[pair] for pair in common}) for a in chosen}
        rows += compare(cut, {**spec, "table": {**table, "baseline": first, "groups": 0}})
    return rows


def _check_same_items(arms: list[Arm], pair: tuple[str, str], first: Items) -> None:
    for arm in arms:
        for key, found in arm.items[pair].items():
            if not found.keys.equals(first.keys):
                raise InputError(
                    f"{arm.name}, data seed {key[0]}, training seed {key[1]}: its items of {pair[0]} "
                    f"({pair[1]}) are not those of the other runs ({len(found.values)} and "
                    f"{len(first.values)}); evaluate all arms on the same data"
                )


def _mean_by_seed(values: Mapping[Run, float]) -> float:
    """Mean over data seeds, each the mean over its training seeds."""
    seeds = sorted({data for data, _ in values})
    each = [[value for (data, _), value in values.items() if data == seed] for seed in seeds]
    return sum(sum(one) / len(one) for one in each) / len(each)


def _describe(
    arm: Arm,
    baseline: Arm,
    table: str,
    pair: tuple[str, str],
    group: str | None,
    selected: np.ndarray,
    parts: Mapping[Run, np.ndarray],
) -> dict[str, Any]:
    benchmark, metric = pair
    log = "perplexity" in metric
    figures = {key: found.figure(metric, selected) for key, found in sorted(arm.items[pair].items())}
    scaled = {key: float(value.mean()) for key, value in parts.items()}
    finite = all(math.isfinite(value) for value in figures.values())
    by_seed: dict[int, list[float]] = {}
    for (data, _), value in scaled.items():
        by_seed.setdefault(data, []).append(value)
    means = [sum(values) / len(values) for values in by_seed.values()]
    counted = set(
        arm.different(scaled)
    )  # copies of a run count once, a data seed as much as another: as in the effect
    mean = _mean_by_seed({key: value for key, value in scaled.items() if key in counted})
    figure_ = (
        math.exp(mean)
        if log and mean < 700
        else _mean_by_seed({key: value for key, value in figures.items() if key in counted})
    )
    crossed = statistics.seed_variances(scaled) if finite else None
    ratio = None if arm.amount is None or baseline.amount is None else arm.amount / baseline.amount - 1
    experiment, _, sampler = arm.name.rpartition("/")
    first = next(iter(arm.items[pair].values()))
    chance = first.chance(metric, selected)
    return {
        "table": table,
        "arm": arm.name,
        "experiment": experiment or None,
        **{name: arm.ids.get(name) for name in ("corpus", "clustering")},
        "sampler": sampler,
        **{name: arm.ids.get(name) for name in ("budget", "model")},
        "benchmark": benchmark,
        "metric": metric,
        "better": "higher" if arm.higher.get(pair, more_is_better(metric)) else "lower",
        "scope": ALL_ITEMS if group is None else ONE_GROUP,
        "group": group,
        "figure": figure_,
        "chance": chance[0] if chance else None,
        "chance_kind": chance[1] if chance else None,
        "seeds": len(by_seed),
        "different_seeds": len({data for data, _ in arm.different(scaled)}),
        "training_seeds": len({training for _, training in scaled}),
        "runs": len(scaled),
        "items": len(selected),
        "training_tokens": arm.amount if arm.tokens else None,
        "training_examples": arm.amount if not arm.tokens else None,
        "amount_ratio": ratio,
        "epochs": sum(arm.epochs.values()) / len(arm.epochs) if arm.epochs else None,
        "pool_documents": arm.pool,
        "train_documents": arm.train_documents,
        "train_labels": arm.train_labels,
        **{f"selection_{what}": arm.selection(what) for what in CONSUMED},
        "sd_seeds": float(np.std(means, ddof=1)) if finite and len(means) > 1 else None,
        "sd_data": math.sqrt(crossed["data"]) if crossed else None,
        "sd_training": math.sqrt(crossed["training"]) if crossed else None,
        "sd_residual": math.sqrt(crossed["residual"]) if crossed else None,
        **dict.fromkeys(VARIANCES),
        "figures_by_run": [f"{data}/{training}: {value!r}" for (data, training), value in figures.items()],
        "is_baseline": arm is baseline,
        "baseline": baseline.name,
        "scale": "log ratio" if log else "difference",
        "percent_difference": None,
        **dict.fromkeys(TESTED),
        "finite": finite,
        "given_model": "pretrained" in arm.ids or "pretrained" in baseline.ids,
        "paired": arm is baseline
        or counted == set(baseline.different(dict.fromkeys(baseline.items[pair], 0.0))),
        "limit": arm.limits.get(benchmark),
        "dead": [
            {"data_seed": data, "training_seed": training, "reasons": reasons}
            for (data, training), reasons in sorted(arm.dead().items())
        ],
        "lacking_text": "",
        "_figures": figures,
        "_effects_by_seed": [],
        "_files": sorted(arm.files[pair]),
        "_baseline_files": sorted(baseline.files[pair]),
        "_sources": sorted({*arm.sources, *baseline.sources}),
    }


CONSUMED = ("documents", "labels", "tokens")
VARIANCES = ("var_seed", "var_item", "var_residual")
TESTED = (
    "effect", "standard_error", "ci_low", "ci_high", "interval", "test", "lacking", "p", "family", "p_adjusted",
    "minimum_detectable_effect", "detectable", "minimum_detectable_effect_family", "detectable_family", "verdict",
)  # fmt: skip


def _test(
    unit: str,
    arm: Arm,
    pair: tuple[str, str],
    selected: np.ndarray,
    left: Mapping[Run, np.ndarray],
    right: Mapping[Run, np.ndarray],
    given: tuple[bool, bool],
    settings: Mapping[str, Any],
    name: str,
    fewest_items: int | None,
) -> Comparison | None:
    if not all(np.isfinite(value).all() for value in [*left.values(), *right.values()]):
        return None
    confidence = settings.get("confidence", 0.95)
    if unit == "samplers":
        return statistics.compare_samplers(
            left, right, confidence, fixed=given, fewest_items=fewest_items or statistics.FEWEST_ITEMS
        )
    (mine,), (other,) = left.values(), right.values()
    items = next(iter(arm.items[pair].values()))
    weights = items.weights[selected]
    binary = (
        pair[1] != "f1"
        and more_is_better(pair[1])
        and bool(np.all(weights == 1) and np.isin(np.concatenate([mine, other]), (0.0, 1.0)).all())
    )
    return statistics.compare_models(
        mine,
        other,
        binary,
        confidence,
        settings.get("resamples", 5000),
        statistics.seed_of(name),
        fewest_items or 2,
    )


def _add_test(row: dict[str, Any], comparison: Comparison | None) -> None:
    row["_comparison"] = comparison
    if comparison is None:
        return
    row.update(
        effect=comparison.effect,
        standard_error=comparison.standard_error,
        ci_low=comparison.low,
        ci_high=comparison.high,
        interval=comparison.unit,
        test=comparison.test,
        p=comparison.p,
    )
    row["lacking"], row["lacking_text"] = comparison.lacking or None, comparison.note


def _add_verdicts(rows: list[dict[str, Any]], confidence: float) -> None:
    """Adjusts p over each family (all items; groups) and concludes."""
    level = 1 - confidence
    for family, scope in ((HEADLINE, ALL_ITEMS), (GROUPS_FAMILY, ONE_GROUP)):
        tested = [row for row in rows if row["scope"] == scope and row["p"] is not None]
        for row, adjusted in zip(tested, statistics.holm([row["p"] for row in tested]), strict=True):
            row["family"], row["p_adjusted"] = family, adjusted
            for ending, at in (("", level), ("_family", level / len(tested))):
                effect = statistics.minimum_detectable_effect(row["_comparison"], at, POWER)
                if effect is not None:
                    seen = statistics.possible(effect, row["_base"], row["_limits"])
                    row[f"detectable{ending}"] = seen
                    row[f"minimum_detectable_effect{ending}"] = effect if seen else None
    for row in rows:
        if not row["is_baseline"]:
            row.pop("_comparison")
            row["verdict"] = statistics.verdict(
                row["effect"] or 0.0, row["p_adjusted"], confidence, row["better"] == "higher"
            )


# -- files --------------------------------------------------------------------------------------------

COLUMNS = (
    "table", "arm", "experiment", "corpus", "clustering", "sampler", "budget", "model", "benchmark", "metric",
    "better", "scope", "group", "figure", "chance", "chance_kind", "seeds", "different_seeds", "training_seeds", "runs", "items",
    "training_tokens", "training_examples", "amount_ratio", "epochs", "pool_documents", "train_documents", "train_labels",
    *(f"selection_{what}" for what in CONSUMED), "sd_seeds", "sd_data", "sd_training", "sd_residual", *VARIANCES,
    "figures_by_run", "is_baseline", "baseline", "scale", "percent_difference", *TESTED, "same_models", "dead", "notes",
)  # fmt: skip
CLAIM_COLUMNS = (
    "table", "claim", "arm", "baseline", "benchmark", "metric", "scope", "group", "figure", "baseline_figure", "scale",
    "effect", "ci_low", "ci_high", "interval", "p", "family", "p_adjusted", "verdict", "seeds", "baseline_seeds", "items",
    "kind", "published_verdict", "own_verdict", "raw_verdict", "measured_verdict", "measured_scale",
    "measured_effect", "measured_ci_low", "measured_ci_high", "measured_p_adjusted", "figure_files", "baseline_files",
    "source_files", "dead", "notes",
)  # fmt: skip


def _cell(value: Any) -> str:
    """A CSV cell: floats by their shortest exact form, lists joined by "; ", None empty."""
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, list):
        return "; ".join(map(_cell, value))
    if isinstance(value, dict):
        return canonical(value) if value else ""
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(float(value))
    return str(value)


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...]) -> None:
    with atomic_path(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(row[name]) for name in columns] for row in rows)


def claims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The claim ledger: one row for each comparison, with the files each number came from."""
    reference = {(row["benchmark"], row["metric"], row["group"]): row for row in rows if row["is_baseline"]}
    ledger = []
    for row in rows:
        if row["is_baseline"]:
            continue
        other = reference[row["benchmark"], row["metric"], row["group"]]
        part = "" if row["group"] is None else f", group {json.dumps(row['group'], ensure_ascii=False)}"
        where = f"{row['benchmark']} ({row['metric']}{part})"
        said = {
            statistics.BETTER: f"{row['arm']} is better than {row['baseline']} on {where}",
            statistics.WORSE: f"{row['arm']} is worse than {row['baseline']} on {where}",
            statistics.SAME: f"{row['arm']} is not distinguishable from {row['baseline']} on {where}",
            statistics.LITTLE: f"too little data to tell {row['arm']} from {row['baseline']} on {where}",
        }
        ledger.append(
            {
                **{name: row.get(name) for name in CLAIM_COLUMNS},
                "claim": said[row["verdict"]],
                "baseline_figure": other["figure"],
                "baseline_seeds": other["seeds"],
                "kind": "measured",
                "measured_verdict": row["verdict"],
                "measured_scale": row["scale"],
                "measured_effect": row["effect"],
                "measured_ci_low": row["ci_low"],
                "measured_ci_high": row["ci_high"],
                "measured_p_adjusted": row["p_adjusted"],
                "figure_files": row["_files"],
                "baseline_files": row["_baseline_files"],
                "source_files": row["_sources"],
            }
        )
    return ledger


def contamination_table(arms: Mapping[str, Arm]) -> tuple[list[str], list[list[str]]]:
    """Share of the items of each benchmark that stand in an arm's training documents, mean over its subsets."""
    names = sorted({name for arm in arms.values() for name in arm.found})
    body = []
    for arm in arms.values():
        line = [arm.name]
        for name in names:
            counts = arm.found.get(name, [])
            found = sum(c["found"] for c in counts) / len(counts) if counts else 0
            checked = counts[0]["checked"] if counts else 0
            line.append(f"{100 * found / checked:.2f} % of {checked:,}" if checked else "")
        body.append(line)
    return ["arm", *names], body


def consumed_table(arms: Mapping[str, Arm]) -> tuple[list[str], list[list[str]]]:
    """The pool that each arm drew from, and documents, labels and tokens that selection and training consumed, means over
    subsets and runs; of what no file says, "unknown"."""

    def cell(amount: float | None) -> str:
        return "unknown" if amount is None else f"{amount:,.0f}"

    head = ["arm", "documents, pool", *(f"{what}, selection" for what in CONSUMED), *(f"{what}, training" for what in CONSUMED), "labels, total"]  # fmt: skip
    body = []
    for arm in arms.values():
        if "pretrained" in arm.ids:
            continue
        labels, spent = arm.train_labels, arm.selection("labels")
        tokens = arm.amount if arm.tokens else None
        whole = None if labels is None or spent is None else labels + spent
        body.append(
            [arm.name, cell(arm.pool), *(cell(arm.selection(what)) for what in CONSUMED),
             cell(arm.train_documents), cell(labels), "" if arm.examples else cell(tokens), cell(whole)]
        )  # fmt: skip
    return head, body


def equal_of(arms: Mapping[str, Arm]) -> tuple[str, bool]:
    """Which amount the comparison equals, in a sentence: training tokens or labels, and whether the selections' labels leave
    them equal; and whether the arms are known to be unequal."""
    trained = [arm for arm in arms.values() if "pretrained" not in arm.ids]
    if not trained:
        return "No arm was trained here: nothing says what the models have read.", False
    classifiers = any(arm.examples for arm in trained)
    what = "labels" if classifiers else "tokens"
    amounts = [arm.train_labels if classifiers else arm.amount for arm in trained]
    known = [amount for amount in amounts if amount is not None]
    if len(known) < len(amounts):
        return (
            f"The training {what} of some arms are unknown, so nothing says that the comparison is at equal {what}.",
            False,
        )
    low, high = min(known), max(known)
    if high > low * (1 + TOKEN_TOLERANCE):
        return f"The arms are NOT compared at equal training {what}: {low:,.0f} to {high:,.0f}.", True
    said = f"The arms are compared at equal training {what} ({high:,.0f})."
    spent = [arm.selection("labels") for arm in trained]
    if any(amount is None for amount in spent):
        return f"{said} What the selection of some arms consumed is unknown.", False
    more = [f"{arm.name} {amount:,.0f}" for arm, amount in zip(trained, spent, strict=True) if amount]
    if not more:
        return said, False
    totals = [(arm.train_labels or 0) + (amount or 0) for arm, amount in zip(trained, spent, strict=True)]
    unequal = max(totals) > min(totals) * (1 + TOKEN_TOLERANCE)
    said += f" The selection of documents read labels, too: {', '.join(more)}; with them the arms are "
    return said + ("not at equal labels." if unequal else "at equal labels."), unequal


def write_claims(out: Path, ledger: list[dict[str, Any]]) -> None:
    """Writes `{out}.claims.csv` and `{out}.claims.json`: the same rows."""
    whole = [{name: row.get(name) for name in CLAIM_COLUMNS} for row in ledger]
    write_csv(Path(f"{out}.claims.csv"), whole, CLAIM_COLUMNS)
    write_json(Path(f"{out}.claims.json"), [{k: _finite(v) for k, v in row.items()} for row in whole])


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main(
    *,
    evaluations: list[Path],
    subsets: list[Path] = [],
    models: list[Path] = [],
    ngrams: list[Path] = [],
    contamination: list[Path] = [],
    published: list[Path] = [],
    spec: str,
    out: Path,
) -> None:
    """Compares the arms of one table.

    Args:
        evaluations: results.json files, each with items.parquet beside it.
        subsets: manifest.json files of the subsets.
        models: manifest.json files of the models (training tokens).
        ngrams: what winnow.evaluate.ngrams wrote of the subsets: which models are dead.
        contamination: what winnow.evaluate.contamination wrote of the subsets.
        published: CSV of published figures and CSV of printed comparisons, for a table that names any.
        spec: JSON with the keys `name`, `table`, `arms` (experiment/sampler -> ids, and which `data_seeds` and
            `tokenizer` are the arm's), `suites`, `metrics` (which a benchmark shows, by benchmark; all of those that are
            not named), `tasks` (lm-eval's task by benchmark), `missing` (of a partial table the runs that are not
            there, each a text; null for a whole table).
        out: prefix of the files to write: .csv, .md, .tex, .html, .svg, .png, .claims.csv, .claims.json.
    """
    from winnow.compare import published as study
    from winnow.compare import render

    settings = read_spec(spec, "name", "table", "arms", "suites", "metrics", "tasks", "missing")
    arms = collect(evaluations, subsets, models, settings, ngrams, contamination)
    rows = compare(arms, settings)
    tests = sum(row["p"] is not None for row in rows)
    say(f"[compare {settings['name']}] {len(arms)} arms, {len(rows)} rows, {tests} tests")
    for note in render.warnings_of(rows):
        say(f"[compare {settings['name']}] {note}")
    ledger = claims(rows)
    more = [Section("Pool, and documents, labels and tokens consumed", consumed_table(arms))]
    if any(arm.found for arm in arms.values()):
        more.append(Section("Benchmark items found in the training documents", contamination_table(arms)))
    wanted = settings["table"].get("published")
    if wanted:
        known = study.Published(*published)
        compared = study.compare_published(
            known, settings["name"], wanted, [*rows, *beside(arms, settings)], settings["tasks"]
        )
        more += study.sections(known, wanted, compared)
        ledger += study.claims_of(compared)
    vector, raster = render.forest(rows, settings)
    write_text(Path(f"{out}.svg"), vector)
    with atomic_path(Path(f"{out}.png")) as partial:
        partial.write_bytes(raster)
    page = render.page_of(rows, settings, more, [("Effects", vector)])
    said, unequal = equal_of(arms)
    (page.answer if unequal else page.legend).append(said)
    if wanted:
        page.legend.append(study.LEGEND)
    render.write_page(out, page)
    write_claims(out, ledger)
    write_csv(Path(f"{out}.csv"), rows, COLUMNS)


if __name__ == "__main__":
    run(main)
