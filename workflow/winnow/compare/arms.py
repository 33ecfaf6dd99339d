"""Arms: what belongs to each arm of a table. In: the files of its evaluations, subsets and models. Out: `Arm`s.

Which arm a file belongs to follows from the ids inside the file, never from its path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow import metrics
from winnow.compare.definitions import Definitions
from winnow.compare.statistics import Run
from winnow.stage import InputError, canonical, read_json

STAGE_VERSION = 1
BIGRAM_TOKENS = 2_000_000
"""Training tokens from which a live model beats the interpolated bigram of its subset: the smallest Pythia (14M, 8k tokens
of vocabulary) passes it at about 1.5 million (tests/configs/pythia.yaml)."""
CONSTANT_ITEMS = 50
"""Items with different right answers to which a live model does not always give the same one."""
ITEM_COLUMNS = ("benchmark", "task", "item", "group", "metric", "value", "weight", "label", "prediction")
CONSUMED = ("documents", "labels", "tokens")
"""What the selection of a subset consumes, and its training."""
CHOICES, MAJORITY = "choices", "majority"
"""What a chance level is: one over the number of choices, or the share of the most frequent label."""
Pair = tuple[str, str]
"""A benchmark and a metric."""


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
        return metrics.macro_f1(self.label[rows], self.prediction[rows])

    def figure(self, metric: str, rows: np.ndarray) -> float:
        """The figure of the items at `rows`, int64 [n]."""
        if metric == "f1":
            return self._f1(rows)[0]
        return metrics.figure(metric, self.values[rows], self.weights[rows])

    def influence_values(self, metric: str, rows: np.ndarray) -> np.ndarray:
        """Those of the items at `rows`, float64 [n]: see `winnow.metrics.influence_values`."""
        if metric == "f1":
            return self._f1(rows)[1]
        return metrics.influence_values(metric, self.values[rows], self.weights[rows])

    def is_meaningful(self, metric: str, rows: np.ndarray) -> bool:
        """False of macro-F1 of items of a single class: it is that class's recall, halved or worse by other predictions."""
        return metric != "f1" or bool(np.ptp(self.label[rows]) > 0)  # type: ignore[index]

    def chance(self, metric: str, rows: np.ndarray) -> tuple[float, str] | None:
        """Accuracy without knowledge, and its kind: CHOICES (one over the number of choices, mean over the items) or
        MAJORITY (the share of the most frequent label, where the number of choices is unknown)."""
        if not metric.startswith("acc"):
            return None
        if self.choices is not None:
            return float(np.mean(1 / self.choices[rows])), CHOICES
        if self.label is None or np.ptp(self.label[rows]) == 0:
            return None
        return float(np.unique(self.label[rows], return_counts=True)[1].max() / len(rows)), MAJORITY


@dataclass(frozen=True)
class BelowBaseline:
    """A sign of a dead model: it predicts held-out text no better than an n-gram model of its subset; bits per byte."""

    benchmark: str
    ngram: str
    bits: float
    baseline_bits: float


@dataclass(frozen=True)
class ConstantAnswer:
    """A sign of a dead model: one answer to all items of a benchmark."""

    benchmark: str


Sign = BelowBaseline | ConstantAnswer


@dataclass
class Arm:
    """One arm: its ids, and what its files hold. `items` by benchmark and metric, then by run; facts of subsets by data
    seed, facts of models by run. `deterministic`: neither its draws nor its trainings depend on a seed."""

    name: str
    ids: dict[str, Any]
    seeds: list[int] | None = None
    tokenizer: str | None = None
    items: dict[Pair, dict[Run, Items]] = field(default_factory=dict)
    files: dict[Pair, list[str]] = field(default_factory=dict)
    runs: set[Run] = field(default_factory=set)
    higher_is_better: dict[Pair, bool] = field(default_factory=dict)
    item_limits: dict[str, int] = field(default_factory=dict)
    tokens: dict[Run, int] = field(default_factory=dict)
    examples: dict[Run, int] = field(default_factory=dict)
    epochs: dict[Run, float] = field(default_factory=dict)
    documents: dict[int, int] = field(default_factory=dict)
    consumed: dict[int, dict[str, int] | None] = field(default_factory=dict)
    pools: dict[int, int] = field(default_factory=dict)
    train_digests: dict[int, str] = field(default_factory=dict)
    ngrams: dict[tuple[int, str], dict[str, float]] = field(default_factory=dict)
    contamination: dict[str, list[dict[str, int]]] = field(default_factory=dict)
    manifests: list[str] = field(default_factory=list)
    deterministic: bool = False

    @property
    def is_pretrained(self) -> bool:
        return "pretrained" in self.ids

    @property
    def is_given(self) -> bool:
        """Whether the arm is one model whatever the seeds: published, or drawn and trained without chance."""
        return self.is_pretrained or self.deterministic

    def has(self, ids: Mapping[str, Any]) -> bool:
        """Whether a file with these ids is of a run of this arm."""
        seed = ids.get("data_seed")
        return _belongs(ids, self.ids) and (self.seeds is None or seed is None or seed in self.seeds)

    def drew(self, ids: Mapping[str, Any]) -> bool:
        """Whether a file with these ids is of a subset of this arm."""
        of_subset = {key: value for key, value in self.ids.items() if key != "model"}
        return _belongs(ids, of_subset) and (self.seeds is None or ids.get("data_seed") in self.seeds)

    def is_higher_better(self, pair: Pair) -> bool:
        return self.higher_is_better.get(pair, metrics.more_is_better(pair[1]))

    def dead(self) -> dict[Run, list[Sign]]:
        """Signs that a run's model is dead, by run: no better than an n-gram model, or one answer to all items."""
        signs: dict[Run, list[Sign]] = {}
        for (benchmark, metric), runs in sorted(self.items.items()):
            for run, items in sorted(runs.items()):
                baseline = self.ngrams.get((run[0], benchmark))
                if metric == "bits_per_byte" and baseline:
                    bits = items.figure(metric, np.arange(len(items.values)))
                    enough = self.tokens.get(run, 0) >= BIGRAM_TOKENS
                    for ngram in ("unigram", "bigram") if enough else ("unigram",):
                        if not bits < baseline[ngram]:
                            sign = BelowBaseline(benchmark, ngram, bits, baseline[ngram])
                            signs.setdefault(run, []).append(sign)
                if metric == "acc" and items.label is not None and items.prediction is not None:
                    varied = len(items.label) >= CONSTANT_ITEMS and np.ptp(items.label) > 0
                    if varied and np.ptp(items.prediction) == 0:
                        signs.setdefault(run, []).append(ConstantAnswer(benchmark))
        return signs

    @property
    def amount(self) -> float | None:
        """Training tokens (language models) or examples (classifiers), mean over runs."""
        return _mean((self.tokens or self.examples).values())

    def selection(self, what: str) -> float | None:
        """Documents, labels or tokens that the selection of a subset consumed, mean over the subsets; None if unknown of
        one."""
        amounts = [None if one is None else one.get(what) for one in self.consumed.values()]
        return None if None in amounts else _mean(amounts)  # type: ignore[arg-type]

    @property
    def pool(self) -> float | None:
        """Documents that its sampler drew from, mean over subsets; None if unknown of one."""
        return _mean(self.pools.values()) if len(self.pools) == len(self.consumed) else None

    @property
    def train_documents(self) -> float | None:
        return _mean(self.documents.values())

    @property
    def train_labels(self) -> float | None:
        """Labels that a training reads: one per document of a classifier, none of a language model."""
        if self.examples:
            return self.train_documents
        return 0.0 if self.tokens else None

    def models(self) -> set[tuple[Any, ...]]:
        """The identity of each run's model: subset, training seed and model; the run itself where its subset is unknown."""
        identities: set[tuple[Any, ...]] = set()
        for data, training in self.runs:
            if data in self.train_digests:
                names = (self.ids.get("corpus"), self.ids.get("model"))
                identities.add((*names, self.train_digests[data], str(training)))
            else:
                identities.add((canonical(self.ids), data, training))
        return identities

    def distinct(self, runs: Mapping[Run, Any]) -> dict[Run, Any]:
        """`runs` without those of a data seed that drew and trained the same as an earlier one.

        A sampler that ranks without chance (nearest, entropy) draws the same documents with every data
        seed; its runs differ by their training seeds alone, and copies of one run are no evidence.
        """
        kept: dict[Run, Any] = {}
        known: set[frozenset[tuple[str, int]]] = set()
        for seed in sorted({data for data, _ in runs}):
            of_seed = [run for run in sorted(runs) if run[0] == seed]
            subset = self.train_digests.get(seed, f"unknown {seed}")
            models = frozenset((subset, training) for _, training in of_seed)
            if models not in known:
                known.add(models)
                kept.update((run, runs[run]) for run in of_seed)
        return kept


def same_models(arms: Mapping[str, Arm]) -> dict[str, dict[str, int]]:
    """For each arm, how many of its models each other arm has, too: they are no independent evidence."""
    models = {name: arm.models() for name, arm in arms.items()}
    return {
        name: {
            other: common
            for other in models
            if other != name and (common := len(models[name] & models[other]))
        }
        for name in models
    }


def _mean(values: Any) -> float | None:
    values = list(values)
    return sum(values) / len(values) if values else None


def _belongs(ids: Mapping[str, Any], pattern: Mapping[str, Any]) -> bool:
    return all(ids.get(key) == value for key, value in pattern.items())


# -- reading ------------------------------------------------------------------------------------------


def _ids(path: Path, content: Any) -> dict[str, Any]:
    ids = content.get("ids") if isinstance(content, dict) else None
    if not isinstance(ids, dict):
        raise InputError(f'{path}: no "ids"; give a file of the stage that wrote it')
    return ids


def _run_of(path: Path, ids: Mapping[str, Any]) -> Run:
    """The run of a file's ids; that of a pretrained model, which has no seeds, is (0, 0)."""
    if "pretrained" in ids:
        return 0, 0
    for name in ("data_seed", "training_seed"):
        if ids.get(name) is None:
            raise InputError(f'{path}: "ids" lacks {name}; a trained model has both')
    return int(ids["data_seed"]), int(ids["training_seed"])


def read_items(path: Path, classifier: bool, run: tuple[int, int] | None = None) -> dict[Pair, Items]:
    """Items of an items.parquet by benchmark and metric; of a classifier, macro-F1 is made of its `acc` rows. `run`: data
    seed and round of the rows to take, of a file of many.

    Raises InputError for missing columns and for an item that occurs twice.
    """
    file = pq.ParquetFile(path)
    missing = [name for name in ITEM_COLUMNS if name not in file.schema_arrow.names]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}; required: {', '.join(ITEM_COLUMNS)}")
    choices = "scores" in file.schema_arrow.names
    table = file.read(columns=[*ITEM_COLUMNS, *(["scores"] if choices else [])])
    if run is not None:
        seeds = file.read(columns=["data_seed", "round"])
        table = table.filter(pc.and_(pc.equal(seeds["data_seed"], run[0]), pc.equal(seeds["round"], run[1])))
    if choices:
        table = table.append_column("choices", pc.list_value_length(table["scores"])).drop_columns("scores")
    for name in ("benchmark", "task", "group", "metric"):
        text = pc.cast(table[name], pa.string()).combine_chunks()
        table = table.set_column(table.column_names.index(name), name, text)
    table = table.sort_by([(name, "ascending") for name in ("benchmark", "metric", "task", "item")])
    by_pair = {}
    pairs = pc.unique(pc.binary_join_element_wise(table["benchmark"], table["metric"], "\x00")).to_pylist()
    for pair in pairs:
        benchmark, metric = pair.split("\x00")
        rows = table.filter(
            pc.and_(pc.equal(table["benchmark"], benchmark), pc.equal(table["metric"], metric))
        )
        keys = rows.select(["task", "item"]).combine_chunks()
        if keys.group_by(["task", "item"]).aggregate([]).num_rows != keys.num_rows:
            raise InputError(f"{path}: an item of {benchmark} ({metric}) occurs twice")
        answers = rows["label"].null_count == 0 and rows["prediction"].null_count == 0
        counted = choices and len(rows) and rows["choices"].null_count == 0
        items = Items(
            keys,
            np.array([*rows["group"].to_pylist(), None], dtype=object)[:-1],
            rows["value"].to_numpy().astype(np.float64),
            rows["weight"].to_numpy().astype(np.float64),
            rows["label"].to_numpy() if answers else None,
            rows["prediction"].to_numpy() if answers else None,
            rows["choices"].to_numpy().astype(np.float64) if counted else None,
        )
        by_pair[benchmark, metric] = items
        if classifier and metric == "acc" and answers:
            by_pair[benchmark, "f1"] = items
    return by_pair


def _is_classifier(results: Mapping[str, Any]) -> bool:
    """Whether an evaluation is a classifier's: its results hold F1."""
    return any("f1" in task for task in results.get("tasks", {}).values() if isinstance(task, dict))


def arms_of(specs: Mapping[str, Mapping[str, Any]]) -> dict[str, Arm]:
    """Arms by name from their ids, data seeds and tokenizer."""
    arms = {}
    for name, spec in specs.items():
        ids = {key: value for key, value in spec.items() if key not in ("data_seeds", "tokenizer")}
        arms[name] = Arm(name, ids, spec.get("data_seeds"), spec.get("tokenizer"))
    return arms


def collect(
    evaluations: Sequence[Path],
    items: Sequence[Path],
    subsets: Sequence[Path],
    models: Sequence[Path],
    spec: Mapping[str, Any],
    ngrams: Sequence[Path] = (),
    contamination: Sequence[Path] = (),
) -> dict[str, Arm]:
    """The arms with all that belongs to them; `items` are the items.parquet of the `evaluations`, in their order.

    Raises InputError for an arm without evaluations, a run with two evaluations of one suite, and an
    evaluation that belongs to no arm.
    """
    arms = arms_of(spec["arms"])
    _add_evaluations(arms, evaluations, items, spec)
    _add_subsets(arms, subsets)
    _add_models(arms, models)
    for path in sorted(set(ngrams)):
        baseline = read_json(path)
        for arm in arms.values():
            ids = dict(_ids(path, baseline))
            if ids.pop("tokenizer", None) == arm.tokenizer and arm.drew(ids):
                arm.ngrams[int(ids["data_seed"]), baseline["benchmark"]] = baseline
    for path in sorted(set(contamination)):
        report = read_json(path)
        for arm in arms.values():
            if arm.drew(_ids(path, report)):
                for benchmark, counts in report["benchmarks"].items():
                    arm.contamination.setdefault(benchmark, []).append(counts)
    return arms


def _add_evaluations(
    arms: Mapping[str, Arm], evaluations: Sequence[Path], items: Sequence[Path], spec: Mapping[str, Any]
) -> None:
    if len(items) != len(evaluations):
        raise InputError(
            f"--items: {len(items)} files for the {len(evaluations)} of --evaluations; give the items.parquet of each, in "
            "the same order"
        )
    seen: dict[tuple[str, Run, str], Path] = {}
    pairs_of_suite: dict[str, set[Pair]] = {}
    for path, items_path in sorted(set(zip(evaluations, items, strict=True))):
        results = read_json(path)
        ids = _ids(path, results)
        owners = [arm for arm in arms.values() if arm.has(ids)]
        if not owners or ids.get("suite") not in spec["suites"]:
            raise InputError(
                f"{path}: belongs to no arm and suite of this table "
                f"({', '.join(f'{key} {value}' for key, value in sorted(ids.items()))})"
            )
        suite = ids["suite"]
        higher = {
            (benchmark, metric): bool(up)
            for benchmark, metrics_ in results.get("higher_is_better", {}).items()
            for metric, up in metrics_.items()
            if up is not None
        }
        for run, whole in _runs_of(path, results, items_path):
            by_pair = _shown_items(path, whole, spec["metrics"])
            pairs_of_suite.setdefault(suite, set()).update(by_pair)
            for arm in owners:
                if arm.seeds is not None and "runs" in results and run[0] not in arm.seeds:
                    continue
                if (arm.name, run, suite) in seen:
                    raise InputError(f"{path}: {seen[arm.name, run, suite]} is of the same run and suite")
                seen[arm.name, run, suite] = path
                arm.runs.add(run)
                for pair, of_run in by_pair.items():
                    if run not in arm.items.setdefault(pair, {}):
                        arm.items[pair][run] = of_run
                        arm.files.setdefault(pair, []).append(str(items_path))
        for arm in owners:
            arm.item_limits.update(results.get("limits", {}))
            arm.higher_is_better.update(higher)
            if "runs" in results:
                _add_probes(arm, path, results)
    for arm in arms.values():
        if not arm.items:
            raise InputError(f"--spec arms: {arm.name} has no evaluation among the {len(evaluations)} given")
    for (name, run, suite), path in seen.items():
        for pair in sorted(pairs_of_suite[suite]):
            if run not in arms[name].items.get(pair, {}):
                raise InputError(
                    f"{path}: has no {pair[1]} of {pair[0]}, which other runs of suite {suite} have; evaluate it again"
                )


def _runs_of(path: Path, results: Mapping[str, Any], items: Path) -> list[tuple[Run, dict[Pair, Items]]]:
    """The runs of an evaluation with their items: one, or, of an arm of probes, that of each data seed at its last round."""
    if "runs" not in results:
        return [(_run_of(path, results["ids"]), read_items(items, _is_classifier(results)))]
    last = max(run["round"] for run in results["runs"])
    return [
        ((run["data_seed"], run["training_seed"]), read_items(items, True, (run["data_seed"], last)))
        for run in results["runs"]
        if run["round"] == last
    ]


def _add_probes(arm: Arm, path: Path, results: Mapping[str, Any]) -> None:
    """What the file of an arm of probes tells of its subsets and models."""
    last = max(run["round"] for run in results["runs"])
    arm.manifests.append(str(path))
    for run in results["runs"]:
        seed = run["data_seed"]
        if run["round"] == last and (arm.seeds is None or seed in arm.seeds):
            arm.consumed[seed] = results["consumed"]
            arm.pools[seed] = run["pool"]["documents"] + run["pool"]["excluded"].get("not looked at", 0)
            arm.documents[seed] = run["documents"]
            arm.examples[seed, run["training_seed"]] = run["documents"]
            arm.train_digests[seed] = run["train"]
    arm.deterministic = len(arm.train_digests) > 1 == len(set(arm.train_digests.values()))


def _shown_items(
    path: Path, by_pair: dict[Pair, Items], shown: Mapping[str, Sequence[str]]
) -> dict[Pair, Items]:
    """The items of the metrics that a benchmark shows: those of `shown`, all of a benchmark that it does not name."""
    for benchmark, names in sorted(shown.items()):
        available = sorted(metric for name, metric in by_pair if name == benchmark)
        if available and (missing := sorted(set(names) - set(available))):
            raise InputError(
                f"{path}: benchmark {benchmark} has no metric {missing[0]!r}; it has: {', '.join(available)}"
            )
    return {pair: items for pair, items in by_pair.items() if pair[1] in shown.get(pair[0], [pair[1]])}


def _add_subsets(arms: Mapping[str, Arm], subsets: Sequence[Path]) -> None:
    definitions = Definitions()
    for path in sorted(set(subsets)):
        manifest = read_json(path)
        ids = _ids(path, manifest)
        train = manifest.get("counts", {}).get("splits", {}).get("train", {})
        digest = manifest.get("sha256", {}).get("train.parquet")
        for arm in arms.values():
            if not arm.drew(ids):
                continue
            definitions.add_subset(path, manifest)
            arm.manifests.append(str(path))
            if ids.get("data_seed") is None:
                raise InputError(f'{path}: "ids" lacks data_seed; a subset has one')
            seed = int(ids["data_seed"])
            arm.consumed[seed] = manifest.get("consumed")
            if "documents" in (manifest.get("pool") or {}):
                arm.pools[seed] = manifest["pool"]["documents"]
            if "documents" in train:
                arm.documents[seed] = train["documents"]
            if digest:
                arm.train_digests[seed] = digest


def _add_models(arms: Mapping[str, Arm], models: Sequence[Path]) -> None:
    definitions = Definitions()
    for path in sorted(set(models)):
        manifest = read_json(path)
        ids = _ids(path, manifest)
        for arm in arms.values():
            if arm.has(ids):
                definitions.add_model(path, manifest)
                arm.manifests.append(str(path))
                run = _run_of(path, ids)
                if "epochs" in manifest:
                    arm.epochs[run] = float(manifest["epochs"])
                for name, amounts in (("training_tokens", arm.tokens), ("training_examples", arm.examples)):
                    if name in manifest:
                        amounts[run] = int(manifest[name])
