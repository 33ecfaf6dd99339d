"""The profile of a corpus: measures, tables, page and card from shards of documents, whatever the corpus is like."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from winnow.profile import associate, counts, describe, measure, page
from winnow.profile.families import lengths, pronouns, scripts
from winnow.profile.kinds import facts, family_of, is_text, measures, names
from winnow.profile.tables import ASSOCIATIONS, PLOTS, TABLES
from winnow.schema import schema
from winnow.stage import InputError

FAMILIES = ["lengths", "pronouns", "scripts"]
OBJECTIVES = {
    "long": {"measure": "words", "min": 5, "max": 100},
    "her": {"measure": "gender", "values": ["she only", "more she"]},
    "elsewhere": {"measure": "grade", "min": 1},
}
TEXTS = [
    "Once Tim saw Anna. She was happy, and he ran.",
    "A cat and a dog.",
    "Sie sagte nichts. Der Hund bellte.",
    "Мама мыла раму.",
    "我喜欢猫。你呢？",
    "... !!!",
    "x",
    "a  CAT and a dog",
    "A cat and a dog.",
]


def write_corpus(folder: Path, texts: list[str], shards: int, **meta: Any) -> list[Path]:
    """Shards of documents, 4,096 source rows apart so that each may be a block."""
    doc = np.arange(len(texts)) * 4096
    table = pa.table({"doc": doc, "text": pa.array(texts, pa.string()), **meta})
    digest = [hash(text) % 2**63 for text in texts]
    table = table.append_column("digest", pa.array(digest, pa.uint64()))
    edges = [round(len(texts) * part / shards) for part in range(shards + 1)]
    folder.mkdir(parents=True)
    (folder / "source.json").write_text(json.dumps({"rows": len(texts) + 2, "files": []}))
    pq.write_table(
        pa.table({"doc": doc[:1], "role": ["heldout"][: len(doc[:1])]}), folder / "heldout.parquet"
    )
    paths = [folder / "documents" / f"{shard:04d}.parquet" for shard in range(shards)]
    paths[0].parent.mkdir()
    for path, low, high in zip(paths, edges, edges[1:], strict=False):
        pq.write_table(table.slice(low, high - low), path)
    return paths


def profile(
    folder: Path, documents: list[Path], prompts: dict[str, str | None], published: list[Path] = []
) -> dict[str, bytes]:
    """The stages of a profile on shards of documents; the files that they write, by name."""
    out = folder / "profile"
    limits = {"documents": 100, "ngram_documents": 100, "ngrams": [2]}
    measured, counted, digests = [], [], []
    for family in FAMILIES:
        for path in documents:
            measured.append(out / family / path.name)
            spec = json.dumps({"family": family, "settings": {}})
            measure.main(documents=path, spec=spec, out=measured[-1])
    for path in documents:
        counted.append(out / "counts" / path.name)
        digests.append(counted[-1].with_suffix(".npy"))
        counts.main(documents=path, source=folder / "source.json", out=counted[-1], digests_out=digests[-1],
                    spec=json.dumps({"prompts": prompts, "counts": limits}))  # fmt: skip
    describe.main(documents=documents, measures=measured, counts=counted, digests=digests,
                  source=folder / "source.json", out_dir=out,
                  spec=json.dumps({"families": FAMILIES, "prompts": prompts, "objectives": OBJECTIVES}))  # fmt: skip
    associate.main(documents=documents, measures=measured, features=out / "features.csv", out_dir=out,
                   spec=json.dumps({"families": FAMILIES, "prompts": prompts}))  # fmt: skip
    origin = {"source": {"files": ["a.txt"]}, "licence": None}
    page.main(tables=out, heldout=folder / "heldout.parquet", published=published, out_dir=out,
              spec=json.dumps({"name": "toy", "origin": origin, "families": FAMILIES, "prompts": prompts,
                               "judges": {"emotions": "the encoder e", "levels": "the NLI model n"}}))  # fmt: skip
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.is_file()}


WORDS = pa.array([["Cat ", "dog"], None, [], ["cat"], ["dog"], ["sun"], [""], ["cat", "cat"], ["sun"]])
FEATURES = pa.array(
    ["['Twist', 'Dialogue']", "Twist", None, "", "twist", "[]", "Dialogue", "twist, dialogue", ""]
)
WITH = {"words": "words", "features": "features"}
WITHOUT: dict[str, str | None] = {"words": None, "features": None}


@pytest.mark.slow
@pytest.mark.parametrize("shards", [3, 9])
def test_a_profile_has_the_same_bytes_for_any_number_of_shards(tmp_path: Path, shards: int) -> None:
    one, many = (
        profile(
            tmp_path / str(n), write_corpus(tmp_path / str(n), TEXTS, n, words=WORDS, features=FEATURES), WITH
        )
        for n in (1, shards)
    )
    assert one.keys() == many.keys()
    assert [name for name in one if one[name] != many[name]] == []
    assert {f"{name}.csv" for name in (*TABLES, *ASSOCIATIONS)} | {
        f"{name}.svg" for name in PLOTS
    } <= one.keys()


def test_the_tables_of_a_profile_say_what_is_in_the_documents(tmp_path: Path) -> None:
    profile(tmp_path / "c", write_corpus(tmp_path / "c", TEXTS, 2, words=WORDS, features=FEATURES), WITH)
    out = tmp_path / "c" / "profile"
    assert (out / "words.csv").read_text() == "name,count\ncat,4\ndog,2\nsun,2\n"
    assert (out / "features.csv").read_text() == "name,count\ntwist,4\ndialogue,3\n"
    table = pd.read_csv(out / "describe.csv").set_index("of")
    of_words = pd.Series([len(re.findall(r"\w+", text)) for text in TEXTS])
    of_words[4] = 6  # in Chinese a character is a word
    assert table.loc["words", "mean":].tolist() == pytest.approx(of_words.describe().tolist()[1:])
    assert table.loc["words.csv", ["count", "mean", "max"]].tolist() == pytest.approx([3, 8 / 3, 4])
    assert table.loc["type_token_ratio", "missing"] == 1
    levels = pd.read_csv(out / "levels.csv")
    of_script = levels[levels["measure"] == "script"].set_index("level")["documents"].to_dict()
    assert of_script == {"latin": 6, "cjk": 1, "cyrillic": 1}
    together = pd.read_csv(out / "cooccurrence.csv")
    row = together[(together["level"] == "latin") & (together["feature"] == "twist")].iloc[0]
    assert (row["documents"], row["share"]) == (3, 0.75)
    suit = pd.read_csv(out / "suitability.csv").set_index("objective")
    assert suit.loc["long", ["documents", "passing", "without"]].tolist() == [9, 6, 0]
    assert suit.loc["her", ["documents", "passing", "without"]].tolist() == [1, 0, 8]
    known = json.loads((out / "facts.json").read_text())
    assert (known["documents"], known["duplicates"], known["alike"]) == (9, 1, 2)
    assert (known["with_words"], known["with_features"], known["not_measured"]) == (6, 5, ["elsewhere"])
    assert "The labels of emotions are read by the encoder e." in (out / "profile.md").read_text()
    card = (out / "card.md").read_text()
    assert "rows without a text: 2" in card
    assert "held out: 1" in card
    assert "'elsewhere' is left out" in card


ODD = {
    "no prompts": (TEXTS, {}, WITHOUT),
    "one story": (["One day a cat ran."], {"words": pa.array([["cat"]])}, {"words": "words", "features": None}),
    "stories without words": (["...", "!", "?"], {}, WITHOUT),
    "no documents": ([], {"words": pa.array([], pa.list_(pa.string()))}, {"words": "words", "features": None}),
    "empty columns of prompts": (TEXTS, {"words": pa.nulls(9), "features": pa.array([""] * 9)}, WITH),
    "a word that looks like markup": (TEXTS, {"words": pa.array(["<b>$x$|&</b>"] * 9)}, {"words": "words", "features": None}),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_an_odd_corpus_has_a_profile_that_says_what_it_lacks(tmp_path: Path, case: str) -> None:
    texts, meta, prompts = ODD[case]
    files = profile(tmp_path / "c", write_corpus(tmp_path / "c", texts, 2, **meta), prompts)
    text = files["profile.md"].decode()
    for what in ("words", "features"):
        if prompts[what] is None:
            assert f"The corpus has no column of {what} of its prompts" in text
        elif not files[f"{what}.csv"].decode().splitlines()[1:]:
            assert f"No document has an entry in the column '{what}'" in text
    assert "nan" not in files["describe.csv"].decode()
    assert b"<b>" not in files["profile.html"]
    assert files["profile.html"].startswith(b"<!doctype html>")


def test_published_figures_are_shown_only_for_a_corpus_of_as_many_rows(tmp_path: Path) -> None:
    """Figures of the whole corpus beside a part of it would compare what cannot be compared."""
    figures = tmp_path / "published.csv"
    documents = write_corpus(tmp_path / "c", TEXTS, 1, words=WORDS)
    prompts = {"words": "words", "features": None}
    rows = "of,name,value,source\nwords,cat,7,a paper\nwords,describe:mean,3.5,a paper\ncorpus,documents,{},a paper\n"
    figures.write_text(rows.format(99))
    assert "a paper" not in profile(tmp_path / "c", documents, prompts, [figures])["profile.md"].decode()
    figures.write_text(rows.format(len(TEXTS) + 2))
    text = profile(tmp_path / "c", documents, prompts, [figures])["profile.md"].decode()
    assert "| cat | 4 | 7 | a paper |" in text
    assert "published |  | 3.5" in text


# ---------------------------------------------------------------- families


def test_families_are_those_of_the_schema_and_their_measures_have_names_of_their_own() -> None:
    listed = schema()["$defs"]["profile"]["properties"]["families"]
    assert sorted(listed["items"]["enum"]) == names()
    every = measures(names())
    assert len(set(every)) == len(every)
    assert all(set(facts(name).levels) <= set(facts(name).columns) for name in names())
    assert is_text("gender")
    assert not is_text("words")
    assert family_of("she", names()) == "pronouns"
    assert family_of("she", ["lengths"]) is None


def test_lengths_of_a_text() -> None:
    found = lengths.measure(["The cat. The DOG ran!", "..."], None, {})
    assert {name: values[0] for name, values in found.items()} == pytest.approx(
        dict(characters=21, words=5, sentences=2, vocabulary=4, type_token_ratio=0.8, words_per_sentence=2.5)
    )
    assert np.isnan(found["type_token_ratio"][1])
    assert (found["words"][1], found["sentences"][1]) == (0, 0)


def test_pronouns_of_a_text() -> None:
    found = pronouns.measure(["He's here, his dog; she ran.", "They saw her.", "A dog.", "he she"], None, {})
    assert found["he"].tolist() == [2, 0, 0, 1]
    assert found["she"].tolist() == [1, 1, 0, 1]
    assert found["they"].tolist() == [0, 1, 0, 0]
    assert found["gender"].tolist() == ["more he", "she only", None, "equal"]


def test_script_and_english_words_of_a_text() -> None:
    found = scripts.measure(["The cat and the dog", "Мама, the", "猫", "123"], None, {})
    assert found["script"].tolist() == ["latin", "cyrillic", "cjk", None]
    assert found["english"].tolist() == pytest.approx([0.6, 0.5, 0, 0])


def test_a_family_that_measures_something_else_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = write_corpus(tmp_path / "c", TEXTS, 1)
    spec = json.dumps({"family": "lengths", "settings": {}})
    monkeypatch.setattr(lengths, "measure", lambda texts, vectors, settings: {"words": np.zeros(len(texts))})
    with pytest.raises(InputError, match=r"^family lengths: measures words; FAMILY.columns has characters, "):
        measure.main(documents=path, spec=spec, out=tmp_path / "x.parquet")
    with pytest.raises(InputError, match="a family of measures is a module"):
        measure.main(documents=path, spec=spec.replace("lengths", "depths"), out=tmp_path / "x.parquet")


def test_an_objective_of_the_wrong_kind_ends_in_one_line(tmp_path: Path) -> None:
    (path,) = write_corpus(tmp_path / "c", TEXTS, 1)
    out = tmp_path / "x.parquet"
    measure.main(documents=path, spec=json.dumps({"family": "pronouns", "settings": {}}), out=out)
    with pytest.raises(InputError, match=r"profile.objectives.her: min or max of 'gender', which is text"):
        describe.suitability("her", {"measure": "gender", "min": 1}, [out])
