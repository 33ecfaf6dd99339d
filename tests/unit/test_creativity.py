"""What a user would lose if creativity were measured wrongly: a repeated story that counts as varied, chance that counts as
a finding, figures that depend on the shards, a corpus without prompts that ends in a traceback."""

from __future__ import annotations

import functools
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from winnow.csv_files import read_rows
from winnow.profile import creativity, prompts, variety
from winnow.profile.prompts import Members, opening, terms
from winnow.stage import InputError, canonical, read_json

NOUNS = [
    "cat",
    "dog",
    "bird",
    "boat",
    "tree",
    "lamp",
    "ball",
    "cake",
    "star",
    "king",
    "wolf",
    "road",
    "shoe",
    "frog",
    "door",
    "ship",
    "moon",
    "coat",
]
VERBS = [
    "saw",
    "took",
    "met",
    "lost",
    "made",
    "found",
    "hid",
    "gave",
    "sold",
    "drew",
    "built",
    "broke",
    "kept",
    "threw",
    "held",
]
PLACES = ["park", "house", "hill", "lake", "town", "barn", "cave", "shop"]


def independent(rng: np.random.Generator, sentences: int = 12) -> str:
    """A text of random short sentences."""
    out = []
    for _ in range(sentences):
        one, two = rng.choice(NOUNS, 2, replace=False)
        name = "".join(rng.choice(list("abcdefghijklmnop"), 4))
        out.append(f"{name.title()} the {one} {rng.choice(VERBS)} a {two} near the {rng.choice(PLACES)}.")
    return " ".join(out)


def paraphrase(text: str, rng: np.random.Generator) -> str:
    """The text with a few of its words replaced."""
    words = text.split()
    for place in rng.choice(len(words), len(words) // 8, replace=False):
        words[place] = rng.choice(NOUNS)
    return " ".join(words)


def vectors_of(texts: list[str], dimension: int = 64) -> np.ndarray:
    """Unit vectors of bags of words: equal texts have equal vectors."""

    @functools.cache
    def of_word(word: str) -> np.ndarray:
        return np.random.default_rng(prompts.number((word,)) % 2**32).normal(size=dimension)

    out = np.zeros((len(texts), dimension))
    for i, text in enumerate(texts):
        for word in re.findall(r"\w+", text.lower()):
            out[i] += of_word(word)
    norms = np.linalg.norm(out, axis=1, keepdims=True)
    return np.where(norms > 0, out / np.maximum(norms, 1e-9), 1 / np.sqrt(dimension)).astype(np.float16)


def write(folder: Path, columns: dict[str, Any], shards: int = 1) -> tuple[list[Path], list[Path]]:
    """Shards of documents and of their vectors."""
    texts = columns["text"]
    table = pa.table({"doc": np.arange(len(texts)), **columns})
    vectors = vectors_of(texts)
    documents, embeddings = [], []
    for i, rows in enumerate(np.array_split(np.arange(len(texts)), shards)):
        for name in ("documents", "embeddings"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        documents.append(folder / "documents" / f"{i:04d}.parquet")
        embeddings.append(folder / "embeddings" / f"{i:04d}.npy")
        pq.write_table(table.slice(rows[0] if len(rows) else 0, len(rows)), documents[-1])
        np.save(embeddings[-1], vectors[rows])
    return documents, embeddings


def spec_of(settings: dict[str, Any], columns: dict[str, Any] = {}) -> str:
    prompts = {what: what if what in columns else None for what in ("words", "features")}
    return canonical(
        {"creativity": settings, "prompts": {**prompts, "text": "prompt" if "prompt" in columns else None}}
    )


def run(
    folder: Path, columns: dict[str, Any], shards: int = 1, reverse: bool = False, **settings: Any
) -> tuple[list[dict[str, str]], dict[str, Any]]:
    documents, embeddings = write(folder, columns, shards)
    settings = {"draws": 199, **settings}
    creativity.main(
        documents=documents[::-1] if reverse else documents,
        embeddings=embeddings[::-1] if reverse else embeddings,
        spec=spec_of(settings, columns),
        out_dir=folder / "out",
    )
    text = (folder / "out" / "creativity.csv").read_text()
    rows = read_rows(folder / "out" / "creativity.csv", ["group"]) if text.count("\n") > 1 else []
    return rows, read_json(folder / "out" / "creativity.json")


@pytest.fixture(scope="module")
def planted() -> dict[str, Any]:
    """15 groups of each kind, 5 documents each, by words of the prompt; the first word says the kind."""
    rng = np.random.default_rng(0)
    texts, words = [], []
    for kind in ("identical", "paraphrased", "independent"):
        for group in range(15):
            first = independent(rng)
            for i in range(5):
                text = {
                    "identical": first,
                    "paraphrased": paraphrase(first, rng) if i else first,
                    "independent": independent(rng),
                }[kind]
                texts.append(text)
                words.append([kind, f"w{group}", f"v{group}"])
    order = rng.permutation(len(texts))
    return {"text": [texts[i] for i in order], "words": [words[i] for i in order]}


@pytest.fixture(scope="module")
def measured(planted, tmp_path_factory) -> tuple[list[dict[str, str]], dict[str, Any]]:
    return run(tmp_path_factory.mktemp("planted"), planted, by="same-words")


@pytest.mark.parametrize("measure", [m for m in variety.MEASURES if not m.startswith("same")])
def test_identical_paraphrased_and_independent_groups_are_in_this_order(measured, measure: str) -> None:
    rows, _ = measured
    of = {
        kind: [variety.MEASURES[measure] * float(row[measure]) for row in rows if kind in row["group"]]
        for kind in ("identical", "paraphrased", "independent")
    }
    assert {len(values) for values in of.values()} == {15}
    for less, more in (("identical", "paraphrased"), ("paraphrased", "independent")):
        assert stats.mannwhitneyu(of[less], of[more], alternative="less").pvalue < 0.01


def test_groups_less_varied_than_chance_are_found_and_independent_ones_are_not(measured) -> None:
    rows, summary = measured
    assert summary["by"] == "same-words"
    assert summary["groups"] == 45
    for kind, low, high in (("identical", 1, 1), ("paraphrased", 0.9, 1), ("independent", 0, 0.1)):
        found = [
            float(row["dispersion_p_adjusted"]) < 0.05 and float(row["dispersion_effect"]) < 0
            for row in rows
            if kind in row["group"]
        ]
        assert low <= np.mean(found) <= high
    of = summary["measures"]["dispersion"]
    assert of["p"] < 0.01
    assert of["ratio"] == pytest.approx(summary["score"], abs=1e-5)
    assert 0 < summary["score"] < 1
    assert "identical" in summary["least_varied"][0]["group"]
    assert "independent" in summary["most_varied"][0]["group"]
    assert summary["least_varied"][0]["examples"][0]["start"]
    identical = next(row for row in rows if "identical" in row["group"])
    assert [float(identical[m]) for m in ("dispersion", "self_bleu", "compression", "same_opening", "same_ending")] \
        == [0, 1, 0, 1, 1]  # fmt: skip


def test_shuffled_documents_are_chance(planted, tmp_path: Path) -> None:
    shuffled = dict(planted, words=[[f"w{i % 45}"] for i in range(225)])
    rows, summary = run(tmp_path, shuffled, by="same-words", draws=499)
    assert len(rows) == 45
    assert summary["measures"]["dispersion"]["p"] > 0.01
    assert summary["measures"]["dispersion"]["less_varied"] <= 0.05
    assert stats.kstest([float(row["dispersion_p"]) for row in rows], "uniform").pvalue > 0.001
    assert summary["score"] == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_the_same_bytes_for_any_number_and_order_of_shards(planted, tmp_path: Path) -> None:
    for name, options in {"one": {}, "four": {"shards": 4}, "back": {"shards": 3, "reverse": True}}.items():
        run(tmp_path / name, planted, draws=99, **options)
    files = sorted(path.name for path in (tmp_path / "one" / "out").iterdir())
    assert files == ["creativity-dispersion.svg", "creativity-groups.svg", "creativity-measures.svg",
                     "creativity.csv", "creativity.json"]  # fmt: skip
    for file in files:
        whole = (tmp_path / "one" / "out" / file).read_bytes()
        assert whole == (tmp_path / "four" / "out" / file).read_bytes()
        assert whole == (tmp_path / "back" / "out" / file).read_bytes()


def test_a_corpus_of_one_repeated_story_scores_0(tmp_path: Path) -> None:
    text = independent(np.random.default_rng(1))
    rows, summary = run(tmp_path / "a", {"text": [text] * 40})
    assert (len(rows), summary["by"], summary["score"]) == (1, "opening", 0)
    assert (float(rows[0]["dispersion"]), float(rows[0]["self_bleu"]), float(rows[0]["compression"])) == (
        0,
        1,
        0,
    )
    rows, summary = run(tmp_path / "b", {"text": [text] * 40, "words": [[f"w{i % 4}"] for i in range(40)]})
    assert (len(rows), summary["by"], summary["score"]) == (4, "same-words", 0)
    assert summary["measures"]["dispersion"]["p"] == 1
    assert {row["dispersion_effect"] for row in rows} == {""}


@pytest.mark.parametrize(
    "texts", [["One story about a cat."], [""], ["", "  ", "\n"], ["..."] * 30, ["a b"] * 30]
)
def test_too_little_to_group_is_stated_and_no_error(tmp_path: Path, texts: list[str]) -> None:
    rows, summary = run(tmp_path, {"text": texts})
    assert rows == []
    assert summary["score"] is None
    assert summary["measures"] == {}
    assert summary["documents"] == len(texts)
    assert summary["documents_without_words"] == sum(not re.search(r"\w", text) for text in texts)
    assert "no variety" in summary["notes"][0]
    assert "no groups" in (tmp_path / "out" / "creativity-groups.svg").read_text()


def test_a_corpus_without_prompts_is_grouped_by_openings_that_the_text_measures_leave_out(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(2)
    start = "Once upon a time there was a "
    texts = [start + independent(rng) for _ in range(10)] + [independent(rng) for _ in range(5)] + ["", "  "]
    absent = pa.nulls(len(texts), pa.string())
    rows, summary = run(tmp_path, {"text": texts, "words": absent, "prompt": absent}, opening_words=7)
    assert summary["by"] == "opening"
    assert [(row["group"], row["documents"]) for row in rows] == [("once upon a time there was a", "10")]
    assert float(rows[0]["same_opening"]) == 0
    assert summary["documents_without_words"] == 2
    assert any("too few groups of the same prompt, words or features" in note for note in summary["notes"])


@pytest.mark.parametrize(
    "value",
    [
        ["  Dog", "cat", "dog", ""],
        "cat, dog",
        " Dog ;cat;",
        "['cat', 'Dog']",
        '["cat", "dog"]',
        [["cat"], ["dog"]],
        ("dog", "CAT "),
        "[cat, dog]",
        {"list": ["cat", "dog"]},
    ],
)
def test_words_of_a_prompt_are_read_in_every_form(value: Any) -> None:
    assert terms(pa.array([value])) == [("cat", "dog")]


@pytest.mark.parametrize("value", [None, [], "", "  ", [None], "[]", [""], [[]]])
def test_no_words_are_no_words(value: Any) -> None:
    assert terms(pa.array([value])) == [()]


@pytest.mark.slow
def test_columns_as_strings_lists_dictionaries_and_nested_lists_give_one_result(
    planted, tmp_path: Path
) -> None:
    words = planted["words"][:60]
    forms = {
        "list": pa.array(words),
        "string": pa.array([", ".join(w) for w in words]),
        "dictionary": pa.array([json.dumps(w[::-1]) for w in words]).dictionary_encode(),
        "nested": pa.array([[[w[0].upper()], w[1:]] for w in words]),
    }
    out = {}
    for name, column in forms.items():
        run(
            tmp_path / name,
            {"text": planted["text"][:60], "words": column},
            by="same-words",
            documents=2,
            draws=99,
        )
        out[name] = (tmp_path / name / "out" / "creativity.csv").read_bytes()
    assert len(set(out.values())) == 1


def test_prompts_that_share_two_words_are_similar(planted, tmp_path: Path) -> None:
    words = [[*word[:2], f"x{i}"] for i, word in enumerate(planted["words"])]  # no prompt twice
    rows, summary = run(tmp_path, dict(planted, words=words))
    assert summary["by"] == "two-words"
    assert len(rows) == 45
    assert summary["kinds"]["same-words"]["groups"] == 0
    assert summary["measures"]["dispersion"]["p"] < 0.01


def test_features_tell_prompts_of_the_same_words_apart(planted, tmp_path: Path) -> None:
    features = [["Twist"] if i % 2 else [] for i in range(len(planted["text"]))]
    _, summary = run(tmp_path, dict(planted, features=features), by="same-words", documents=2)
    assert summary["kinds"]["same-words"]["groups"] > 45


def test_a_story_in_a_script_without_spaces_has_words(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    letters = [chr(0x4E00 + i) for i in range(400)]
    texts = ["从前有一个小女孩她叫丽" + "".join(rng.choice(letters, 80)) for _ in range(12)]
    rows, summary = run(tmp_path, {"text": texts})
    assert (summary["by"], len(rows)) == ("opening", 1)
    assert rows[0]["group"] == "从 前 有 一 个 小 女 孩"
    assert 0 < float(rows[0]["distinct_1"]) < 1
    assert opening(texts[0], 8)[1] == 8


def test_names_of_groups_may_hold_anything(planted, tmp_path: Path) -> None:
    words = [[f"$w_{'{'}{w[0]}<&>", w[1], "ü…漢"] for w in planted["words"]]
    rows, _ = run(tmp_path, dict(planted, words=words), by="same-words", draws=99)
    assert len(rows) == 45
    assert "&lt;&amp;&gt;" in (tmp_path / "out" / "creativity-groups.svg").read_text()


# ---------------------------------------------------------------- pure functions


def test_dispersion_is_the_mean_over_all_pairs() -> None:
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(40, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    groups = rng.permutation(40).reshape(5, 8)
    expected = [1 - np.mean([vectors[i] @ vectors[j] for i in g for j in g if i != j]) for g in groups]
    assert variety.dispersion(vectors, groups) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(InputError, match="zeros"):
        variety.dispersion(np.zeros((2, 3)), np.array([[0, 1]]))


def test_text_measures_are_those_worked_out_by_hand() -> None:
    from sacrebleu.metrics import BLEU

    vocabulary = variety.Vocabulary()
    raw = [
        "The cat sat on the mat. It was red!",
        "the CAT sat on a hat; it was red",
        "A dog ran home and then slept.",
    ]
    texts = [vocabulary.read(text) for text in raw]
    of = variety.text_measures(texts, vocabulary, variety.bleu_scorer())
    words = [re.findall(r"\w+", text.lower()) for text in raw]
    for n in (1, 2, 3):
        ngrams = [tuple(w[i : i + n]) for w in words for i in range(len(w) - n + 1)]
        assert of[f"distinct_{n}"] == pytest.approx(len(set(ngrams)) / len(ngrams))
    bleu = BLEU(tokenize="none", effective_order=True)
    pairs = [(0, 1), (1, 2), (2, 0)]
    scores = [bleu.sentence_score(" ".join(words[a]), [" ".join(words[b])]).score / 100 for a, b in pairs]
    assert of["self_bleu"] == pytest.approx(np.mean(scores))
    assert of["same_opening"] == 0.5  # two of three begin with "the cat sat on"
    assert of["same_ending"] == 0
    assert vocabulary.read(" ... ") is None


def test_random_groups_have_different_members_and_every_document_alike_often() -> None:
    draws = variety.reference_draws(12, 5, 4000, 0)
    assert draws.shape == (4000, 5)
    assert all(len(set(row)) == 5 for row in draws.tolist())
    counts = np.bincount(draws.ravel(), minlength=12)
    assert stats.chisquare(counts).pvalue > 1e-3
    assert (variety.reference_draws(12, 5, 10, 0) == draws[:10]).all()
    assert (variety.reference_draws(12, 5, 4000, 1) != draws).any()
    assert sorted(variety.reference_draws(3, 3, 1, 0)[0]) == [0, 1, 2]


def test_p_values_are_of_a_permutation_test() -> None:
    reference = np.arange(1, 100, dtype=np.float64)
    assert variety.p_values(np.array([0.0, 1000.0]), reference).tolist() == [0.02, 0.02]
    assert variety.p_values(np.array([50.0]), reference).tolist() == [1.0]
    assert variety.p_values(np.array([3.0]), np.full(99, 3.0)).tolist() == [1.0]


def test_members_are_thinned_by_keys_alone(monkeypatch) -> None:
    monkeypatch.setattr(prompts, "GROUPS", 64)
    monkeypatch.setattr(prompts, "BUFFER", 100)
    rng = np.random.default_rng(5)
    number = np.array([prompts.number((str(i),)) for i in range(500)], dtype=np.uint64)
    group, doc = number[rng.integers(0, 500, 5000)], np.arange(5000)
    kept = []
    for order, step in ((np.arange(5000), 5000), (np.arange(5000)[::-1], 70), (rng.permutation(5000), 333)):
        members = Members(3, 0)
        for start in range(0, 5000, step):
            members.add(group[order[start : start + step]], doc[order[start : start + step]])
        members.finish()
        kept.append((members.halvings, members.group.tolist(), members.doc.tolist(), members.count.tolist()))
    assert kept[0] == kept[1] == kept[2]
    halvings, groups, _, counts = kept[0]
    assert 32 <= 500 * 0.5**halvings <= 64 * 1.3
    expected = {int(g): int((group == g).sum()) for g in set(groups)}
    assert counts == [expected[g] for g in sorted(expected)]


# ---------------------------------------------------------------- bad input


def test_files_that_do_not_fit_are_one_line(planted, tmp_path: Path) -> None:
    documents, embeddings = write(tmp_path, planted, 2)
    spec, out = spec_of({}), tmp_path / "out"

    def main(**changes: Any) -> None:
        given = {"documents": documents, "embeddings": embeddings, "spec": spec, "out_dir": out, **changes}
        creativity.main(**given)

    with pytest.raises(InputError, match="2 shards"):
        main(embeddings=embeddings * 2)
    np.save(tmp_path / "short.npy", np.zeros((50, 4), np.float16))
    with pytest.raises(InputError, match="50 vectors for the 113"):
        main(embeddings=[tmp_path / "short.npy", embeddings[1]])
    with pytest.raises(InputError, match="by: cluster"):
        main(spec=spec_of({"by": "cluster"}))
    with pytest.raises(InputError, match="--assignments: 1 files for 2 shards"):
        main(assignments=[documents[0]])
    with pytest.raises(InputError, match="no column 'cluster'"):
        main(assignments=documents)
    with pytest.raises(InputError, match="unknown key 'draw'; did you mean 'draws'"):
        main(spec=spec_of({"draw": 3}))
    pq.write_table(pa.table({"doc": [0]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="no column 'text'"):
        main(documents=[tmp_path / "x.parquet"], embeddings=embeddings[:1])
    assert not out.exists()


def test_clusters_group_documents_where_nothing_else_does(planted, tmp_path: Path) -> None:
    documents, embeddings = write(tmp_path, {"text": planted["text"]}, 2)
    assignments = []
    for i, path in enumerate(documents):
        doc = pq.read_table(path)["doc"].to_numpy()
        assignments.append(tmp_path / f"{i}.parquet")
        pq.write_table(pa.table({"doc": doc, "cluster": (doc % 15).astype(np.int32)}), assignments[-1])
    spec, out = spec_of({"draws": 99}), tmp_path / "out"
    creativity.main(
        documents=documents, embeddings=embeddings, spec=spec, out_dir=out, assignments=assignments
    )
    assert read_json(out / "creativity.json")["by"] in ("cluster", "opening")
    spec = spec_of({"draws": 99, "by": "cluster"})
    creativity.main(
        documents=documents, embeddings=embeddings, spec=spec, out_dir=out, assignments=assignments
    )
    assert read_json(out / "creativity.json")["groups"] == 15
    with pytest.raises(InputError, match="its documents are not those of"):
        creativity.main(
            documents=documents, embeddings=embeddings, spec=spec, out_dir=out, assignments=assignments[::-1]
        )


@pytest.mark.slow
def test_the_command_line_needs_no_torch(planted, tmp_path: Path) -> None:
    documents, embeddings = write(tmp_path, planted)
    code = (
        "import sys, runpy; sys.argv[0] = 'creativity'; runpy.run_module('winnow.profile.creativity', "
        "run_name='__main__'); assert 'torch' not in sys.modules and 'lm_eval' not in sys.modules"
    )
    arguments = ["--documents", documents[0], "--embeddings", embeddings[0], "--spec", spec_of({"draws": 99}),
                 "--out-dir", tmp_path / "out"]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "creativity.json").exists()


@pytest.mark.slow
@pytest.mark.real
def test_real_stories_without_prompts_are_grouped_by_openings_and_are_more_alike_than_chance(
    real_data: Path, tmp_path: Path
) -> None:
    with gzip.open(real_data / "tinystories" / "tinystories.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file][:4000]
    columns = {"text": [row["story"] or "" for row in rows], "words": pa.nulls(len(rows), pa.string())}
    found, summary = run(tmp_path, columns, 2, draws=99)
    assert summary["by"] == "opening"
    assert summary["documents"] == 4000
    assert len(found) == summary["groups"] >= creativity.ENOUGH
    assert summary["measures"]["dispersion"]["p"] < 0.01
    assert 0 < summary["score"] < 1
