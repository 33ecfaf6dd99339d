"""`snakemake profile` on any corpus, and samplers that go by its measures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, Snakemake

RUN = """
results: {folder}/results
corpora:
  tinystories-mini: {{shards: 2, source: {{documents: 300}}, heldout: {{documents: 20}}}}
  plain: {{source: {{files: [{folder}/*.txt], txt: lines}}, text: text}}
samplers:
  easy: {{allocation: {{weight: none}}, filters: {{where: {{column: profile.reading_level, values: [early_reader, easy]}}}}}}
  joyful: {{allocation: {{weight: none}}, filters: {{where: {{column: profile.emotion, values: [joy]}}}}}}
  long: {{allocation: {{weight: none}}, filters: {{where: {{column: profile.words, min: 130}}}}}}
  rich: {{allocation: {{weight: size}}, ranking: {{by: score, column: profile.type_token_ratio, order: descending}}}}
budgets: {{few: {{train: 30}}}}
experiments:
  - {{name: stories, corpus: tinystories-mini, clustering: null, samplers: [random, long], budget: few, model: neox-nano, data_seeds: [0], suites: [stories]}}
  - {{name: clustered, corpus: tinystories-mini, clustering: minilm-k12, samplers: [rich], budget: few, model: neox-nano, data_seeds: [0], suites: [stories]}}
tables: {{stories: {{title: S, experiments: [stories, clustered], baseline: stories/random}}}}
targets: [stories]
{more}
"""


def line(tmp_path: Path, more: str = "profile: {families: [lengths, pronouns, scripts]}") -> tuple[str, ...]:
    (tmp_path / "run.yaml").write_text(RUN.format(folder=tmp_path, more=more))
    (tmp_path / "text.txt").write_text("A cat.\nA dog ran.\n")
    return ("--configfile", str(tmp_path / "run.yaml"), "--directory", str(tmp_path))


def test_the_target_profile_describes_the_corpora_of_the_run(snakemake: Snakemake, tmp_path: Path) -> None:
    done = snakemake("profile", "-n", "-p", *line(tmp_path))
    expected = dict(
        measure_documents=6,
        count_documents=2,
        describe_corpus=1,
        associate_measures=1,
        write_profile=1,
        compare_draws=0,
    )
    assert {rule: done.jobs().get(rule, 0) for rule in expected} == expected
    assert not {"measure_creativity", "train_model"} & done.jobs().keys()
    assert '"prompts":{"features":"features","words":"words"}' in done.text


def test_what_samplers_favour_is_read_from_their_draws_of_all_arms_and_seeds(
    snakemake: Snakemake, tmp_path: Path
) -> None:
    done = snakemake("shifts", "-n", "-p", *line(tmp_path))
    assert (done.jobs()["compare_draws"], done.jobs()["draw_sample"]) == (2, 3)
    commands = [part.split("&>")[0] for part in done.text.split("python -m winnow.profile.shift")[1:]]
    (stories,) = [command for command in commands if "tinystories-mini/stories" in command]
    assert '"draws":[["random",0],["long",0]]' in stories
    (given,) = re.findall(r"--draws @<\((.*?)\)", stories)
    assert re.findall(r"subsets/none/(\w+)/few/seed0/draw.parquet", given) == ["random", "long"]
    (given,) = re.findall(r"--measures @<\((.*?)\)", stories)
    assert given.count(".parquet") == 2 * 3


def test_creativity_may_go_by_clusters_of_a_clustering_that_is_named(
    snakemake: Snakemake, tmp_path: Path
) -> None:
    more = "profile: {{families: [lengths], creativity: {{by: cluster{}}}}}"
    done = snakemake("profile", "-n", *line(tmp_path, more.format("")))
    assert "profile.creativity.by: 'cluster' groups documents by a clustering" in done.text
    done = snakemake("profile", "-n", *line(tmp_path, more.format(", clustering: gone")))
    assert "profile.creativity.clustering: unknown clustering 'gone'" in done.text
    named = more.format(", clustering: minilm-k12") + "\n"
    target = str(tmp_path / "results/tinystories-mini/profile/creativity.json")
    done = snakemake(target, "-n", "-p", *line(tmp_path, named))
    assert (
        "clusterings/minilm-k12/assignments/0001.parquet" in done.text.split("winnow.profile.creativity")[1]
    )


def test_the_config_may_name_other_corpora_with_just_a_text_column(
    snakemake: Snakemake, tmp_path: Path
) -> None:
    done = snakemake(
        "profile", "-n", "-p", *line(tmp_path, "profile: {corpora: [plain], families: [lengths]}")
    )
    assert done.jobs()["measure_documents"] == 1
    assert "/results/plain/profile/" in done.text
    assert '"prompts":{"features":null,"words":null}' in done.text


def test_creativity_is_measured_for_the_page_where_a_family_reads_vectors(
    snakemake: Snakemake, tmp_path: Path
) -> None:
    """A profile without such a family must not embed the corpus for it."""
    more = "profile: {{corpora: [plain], families: [{}]}}"
    done = snakemake("profile", "-n", "-p", *line(tmp_path, more.format("lengths")))
    assert not {"measure_creativity", "embed_documents"} & done.jobs().keys()
    done = snakemake("profile", "-n", "-p", *line(tmp_path, more.format("lengths, emotions")))
    assert (done.jobs()["measure_creativity"], done.jobs()["embed_documents"]) == (1, 1)
    assert re.search(
        r"--creativity \S+/plain/profile/creativity.json \S+/creativity-dispersion.svg", done.text
    )


def test_a_sampler_waits_for_the_measure_it_goes_by_and_for_no_other(
    snakemake: Snakemake, tmp_path: Path
) -> None:
    done = snakemake("subsets", "-n", "-p", *line(tmp_path))
    assert done.jobs()["measure_documents"] == 2
    assert "count_documents" not in done.jobs()
    draws = [part.split("&>")[0] for part in done.text.split("python -m winnow.sample.draw")[1:]]
    measured = r"profile/measures/lengths/\d{4}\.parquet"
    for name, option in (("random", None), ("long", "measures"), ("rich", "scores")):
        (command,) = [draw for draw in draws if f'"sampler":"{name}"' in draw]
        for other in ("measures", "scores"):
            (given,) = re.findall(rf"--{other} @<\((.*?)\)", command)
            assert len(re.findall(measured, given)) == (2 if other == option else 0), (name, other)


def test_an_nli_model_reads_a_label_set_in_place_of_the_encoder(snakemake: Snakemake, tmp_path: Path) -> None:
    (tmp_path / "nli").mkdir()
    (tmp_path / "nli/model.safetensors").write_bytes(b"weights")
    source = f"{{folder: {tmp_path}/nli, sha256: {'a' * 64}}}"
    more = "profile: {families: [lengths, emotions]}\n" + (
        f"label_sets: {{emotions: {{nli: {{source: {source}}}}}}}"
    )
    done = snakemake("profile", "-n", "-p", *line(tmp_path, more))
    assert done.jobs()["entail_documents"] == 2
    assert not {"embed_documents", "embed_labels", "measure_creativity"} & done.jobs().keys()
    commands = [part.split("&>")[0] for part in done.text.split("python -m winnow.profile.measure")[1:]]
    judged = [command for command in commands if '"family":"emotions"' in command]
    assert len(judged) == 2
    for command in judged:
        assert re.search(r"--entailment \S+/profile/entailment/emotions/000[01].npz", command)
        assert '"temperature":1.0' in command


@pytest.mark.slow
def test_a_profile_and_subsets_by_its_measures_are_made(snakemake: Snakemake, tmp_path: Path) -> None:
    more = "profile: {corpora: [tinystories-mini, plain], families: [lengths, scripts, reading, emotions]}"
    subset = "results/tinystories-mini/subsets/none/long/few/seed0"
    others = {
        name: str(tmp_path / f"results/tinystories-mini/subsets/none/{name}/few/seed0/train.parquet")
        for name in ("easy", "joyful")
    }
    targets = ("profile", "shifts", str(tmp_path / subset / "manifest.json"), *others.values())
    done = snakemake(*targets, "--cores", "1", *line(tmp_path, more), cwd=ROOT)
    assert done.code == 0, done.text
    folder = tmp_path / "results" / "tinystories-mini"
    stories = pq.read_table(folder / "documents" / "0000.parquet")["words"].to_pylist()
    stories += pq.read_table(folder / "documents" / "0001.parquet")["words"].to_pylist()
    words = pd.read_csv(folder / "profile" / "words.csv").set_index("name")["count"]
    assert words.to_dict() == pd.Series([word for row in stories for word in row]).value_counts().to_dict()
    draw = tmp_path / subset / "train.parquet"
    assert all(len(re.findall(r"[\w']+", text)) >= 125 for text in pq.read_table(draw)["text"].to_pylist())
    for name, family, measure, accepted in (
        ("easy", "reading", "reading_level", {"early_reader", "easy"}),
        ("joyful", "emotions", "emotion", {"joy"}),
    ):
        shards = [pq.read_table(path) for path in (folder / "profile/measures" / family).glob("*.parquet")]
        rows = {row["doc"]: row[measure] for shard in shards for row in shard.to_pylist()}
        docs = pq.read_table(others[name])["doc"].to_pylist()
        assert len(docs) == 30
        assert {rows[doc] for doc in docs} <= accepted
    shift = pd.read_csv(folder / "profile/shift/stories/shift.csv").set_index(["arm", "column"])
    assert shift.loc[("long", "words"), "p_adjusted"] < 0.001
    assert {"prompt words", "prompt features", "text words", "emotion", "reading_level"} <= {
        *shift.loc["long"].index
    }
    assert json.loads((folder / "profile/creativity.json").read_text())["groups"] > 0
    plain = (tmp_path / "results" / "plain" / "profile" / "card.md").read_text()
    assert "documents: 2" in plain
    assert "The corpus has no column of words of its prompts" in plain
