"""`snakemake profile` on any corpus, and samplers that go by its measures."""

from __future__ import annotations

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
        measure_documents=6, count_documents=2, describe_corpus=1, associate_measures=1, write_profile=1
    )
    assert {rule: done.jobs().get(rule, 0) for rule in expected} == expected
    assert not {"embed_documents", "draw_sample"} & done.jobs().keys()
    assert '"prompts":{"features":"features","words":"words"}' in done.text


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


@pytest.mark.slow
def test_a_profile_and_subsets_by_its_measures_are_made(snakemake: Snakemake, tmp_path: Path) -> None:
    more = "profile: {corpora: [tinystories-mini, plain]}"
    subset = "results/tinystories-mini/subsets/none/long/few/seed0"
    targets = ("profile", str(tmp_path / subset / "manifest.json"))
    done = snakemake(*targets, "--cores", "1", *line(tmp_path, more), cwd=ROOT)
    assert done.code == 0, done.text
    folder = tmp_path / "results" / "tinystories-mini"
    stories = pq.read_table(folder / "documents" / "0000.parquet")["words"].to_pylist()
    stories += pq.read_table(folder / "documents" / "0001.parquet")["words"].to_pylist()
    words = pd.read_csv(folder / "profile" / "words.csv").set_index("name")["count"]
    assert words.to_dict() == pd.Series([word for row in stories for word in row]).value_counts().to_dict()
    draw = tmp_path / subset / "train.parquet"
    assert all(len(re.findall(r"[\w']+", text)) >= 125 for text in pq.read_table(draw)["text"].to_pylist())
    plain = (tmp_path / "results" / "plain" / "profile" / "card.md").read_text()
    assert "documents: 2" in plain
    assert "The corpus has no column of words of its prompts" in plain
