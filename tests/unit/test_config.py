"""The configuration: every mistake gets one line that says where, what, and what would be right."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from winnow.commands.check import check
from winnow.commands.listing import list_
from winnow.config import checks
from winnow.config.files import definition_files, merge, read_files
from winnow.config.names import DEFINITIONS
from winnow.config.reference import MARK, key_reference
from winnow.experiments import FEWEST_SEEDS, NO_CLUSTERS, arms, draw_clustering, exclusions_path
from winnow.schema import schema
from winnow.stage import InputError

ROOT = Path(__file__).parents[2]
SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    return read_files(definition_files(ROOT))


def resolved(shipped: dict[str, Any], text: str, folder: Path) -> dict[str, Any]:
    """What the shipped configuration with a run config of this text over it gives."""
    path = folder / "run.yaml"
    path.write_text(text)
    merged = copy.deepcopy(shipped)
    merge(merged, yaml.safe_load(text) or {})
    return checks.resolve(merged, [path])


RUN = """\
experiments:
  - name: mine
    corpus: {corpus}
    clustering: {clustering}
    samplers: [{samplers}]
    budget: {budget}
    model: {model}
    data_seeds: [{seeds}]
    suites: [{suites}]
    {more}
tables: {{mine: {{title: Mine, experiments: [{table}], baseline: {baseline}}}}}
targets: [{targets}]
"""
DEFAULTS = {
    "corpus": "pile-mini",
    "clustering": "minilm-k22",
    "samplers": "random, uniform",
    "budget": "mini",
    "model": "neox-nano",
    "seeds": "0, 1",
    "suites": "mini",
    "table": "mine",
    "baseline": "random",
    "targets": "mine",
    "more": "",
}


def run(**changes: str) -> str:
    return RUN.format(**{**DEFAULTS, **changes})


SEED = "expected: a whole number from 0 to 4,294,967,295"
LM = "layers: 2, tokenizer: bpe-2k, recipe: nano, sequence: 64"
COMMIT = "expected: text: the full commit of the Hub repository, 40 hex digits, or a branch or tag that `winnow pin` has looked up (no short hash)"
NAME = "not a name; expected: lower-case letters and digits, single hyphens and dots between them"

# (name, text of the run config, the line after `run.yaml:`)
BAD = [
    ("section", "budget: {}", "1: top level: unknown key 'budget'; did you mean 'budgets'? known: "),
    (
        "key",
        "budgets: {mine: {train: 5, trian: 3}}",
        "1: budgets.mine: unknown key 'trian'; did you mean 'train'? known: rounds, test, tokenizer, train, unit, validation",
    ),
    ("key in list", run(more="seed: 3"), "10: experiments[mine]: unknown key 'seed'; known: "),
    ("missing", "budgets: {mine: {test: 5}}", "1: budgets.mine: missing key 'train'; expected: a whole number from 1"),
    ("section type", "budgets: 3", "1: budgets: 3 is not right; expected: a mapping"),
    ("empty section", "budgets:", "1: budgets: null is not right; expected: a mapping"),
    ("text for number", "budgets: {mine: {train: many}}", '1: budgets.mine.train: "many" is not right; expected: a whole number from 1'),
    ("number for text", "corpora: {mine: {source: {files: [a]}, text: 3}}", "1: corpora.mine.text: 3 is not right; expected: text"),
    ("negative", "budgets:\n  mine:\n    train: -3", "3: budgets.mine.train: -3 is not right; expected: a whole number from 1"),
    ("fraction", "budgets: {mine: {train: 2.5}}", "1: budgets.mine.train: 2.5 is not right; expected: a whole number from 1"),
    ("true", "budgets: {mine: {train: true}}", "1: budgets.mine.train: true is not right; expected: a whole number from 1"),
    ("not a number", "recipes: {nano: {clip: .nan}}", "1: recipes.nano.clip: nan is not a finite number"),
    ("exponent", "recipes: {nano: {learning_rate: 2e-3}}", '1: recipes.nano.learning_rate: "2e-3" is text to YAML; write 2.0e-3'),
    ("zero rate", "recipes: {nano: {learning_rate: 0}}", "1: recipes.nano.learning_rate: 0 is not right; expected: a number above 0"),
    ("share", "recipes: {nano: {warmup: 5}}", "1: recipes.nano.warmup: 5 is not right; expected: a number from 0 to 1"),
    ("betas", "recipes: {nano: {betas: [0.9]}}", "1: recipes.nano.betas: a list of 1 is too short; expected: a list of 2 numbers"),
    ("date", "tables: {mine: {title: 2026-01-01, experiments: [a], baseline: b}}", "1: tables.mine.title: 2026-01-01 is a date; put it in quotes if text is meant"),
    ("numeric name", "budgets: {2: {train: 5}}", "1: budgets: key 2 is a number; names are text: put it in quotes"),
    ("name", "budgets: {My_Budget: {train: 5}}", f"1: budgets.My_Budget: {NAME}"),
    ("path as name", "corpora: {../x: {source: {files: [a]}, text: t}}", f"1: corpora.../x: {NAME}"),
    ("enum", "encoders: {minilm: {pooling: max}}", '1: encoders.minilm.pooling: "max" is not one of mean, cls'),
    ("weight", "samplers: {mine: {allocation: {weight: sizes}}}", '1: samplers.mine.allocation.weight: "sizes" is not one of '),
    ("shards", "corpora: {pile-mini: {shards: 0}}", "1: corpora.pile-mini.shards: 0 is not right; expected: a whole number from 1 to 10,000"),
    ("no source", "corpora: {mine: {source: {}, text: t}}", "1: corpora.mine.source: expected: generator or files or hub with revision; got no key"),
    ("odd source", "corpora: {mine: {source: {url: x}, text: t}}", "1: corpora.mine.source: expected: generator or files or hub with revision; got url"),
    ("no revision", "corpora: {mine: {source: {hub: a/b}, text: t}}", "1: corpora.mine.source: missing key 'revision'; " + COMMIT),
    ("branch", "corpora: {mine: {source: {hub: a/b, revision: 'my branch'}, text: t}}", f'1: corpora.mine.source.revision: "my branch" is not right; {COMMIT}'),
    ("short hash", "corpora: {mine: {source: {hub: a/b, revision: 0123abc}, text: t}}", f'1: corpora.mine.source.revision: "0123abc" is not right; {COMMIT}'),
    ("repository", f"corpora: {{mine: {{source: {{hub: sst2, revision: {SHA}}}, text: t}}}}", '1: corpora.mine.source.hub: "sst2" is not right; expected: text: owner/name'),
    ("weights", "encoders: {mine: {source: {hub: a/b, revision: v1~}, dimension: 4}}", f'1: encoders.mine.source.revision: "v1~" is not right; {COMMIT}'),
    ("kind", "models: {neox-nano: {kind: lm}}", '1: models.neox-nano.kind: "lm" is not one of classifier, language-model, pretrained, probe'),
    ("other kind's key", "models: {neox-nano: {encoder: minilm}}", "1: models.neox-nano: unknown key 'encoder'; known: heads, kind, layers, recipe, sequence, start, tokenizer, width"),
    ("heads", f"models: {{mine: {{kind: language-model, width: 100, heads: 4, {LM}}}}}", "1: models.mine.width: 100 is not right; expected: a multiple of 32 (8 x heads"),
    ("length", "recipes: {nano: {tokens: 5}}", "1: recipes.nano: expected: one of steps, tokens and epochs; got steps and tokens"),
    ("arm of a table", "tables: {pile-mini: {arms: [random, densty]}}", "1: tables.pile-mini.arms[1]: 'densty' is not among the arms "),
    ("trained as pretrained", "tables: {pile-mini: {pretrained: [neox-nano]}}", "1: tables.pile-mini.pretrained[0]: 'neox-nano' is trained here, not pretrained"),
    ("pretrained as trained", "models: {neox-nano: {kind: pretrained}}", "1: models.neox-nano: "),
    ("contaminated suite", "samplers: {random: {filters: {contaminated: papr}}}", "1: samplers.random.filters.contaminated: unknown suite 'papr'; did you mean 'paper'? known: distillation, labels, mini, paper, paper-local, paper-tasks, sst2, stories"),
    ("measure", "samplers: {random: {filters: {where: {column: profile.wrds, min: 5}}}}", "1: samplers.random.filters.where.column: 'wrds' is no measure of profile.families; did you mean 'words'? known: "),
    ("measure that is not measured", "profile: {families: [lengths]}\nsamplers: {random: {filters: {where: {column: profile.gender, values: [equal]}}}}", "2: samplers.random.filters.where.column: 'gender' is no measure of profile.families; "),
    ("bounds of text", "samplers: {random: {filters: {where: {column: profile.gender, min: 5}}}}", "1: samplers.random.filters.where.column: 'gender' is text; take the key values, or a measure that is a number"),
    ("rank by text", "samplers: {random: {ranking: {by: score, column: profile.script}}}", "1: samplers.random.ranking.column: 'script' is text; take the key values, or a measure that is a number"),
    ("no condition", "samplers: {random: {filters: {where: {column: domain}}}}", "1: samplers.random.filters.where: missing: one of values, min and max, which say what documents must have"),
    ("measure for nearest", "samplers: {random: {ranking: {by: random, column: profile.words}}}", "1: samplers.random.ranking.column: 'words' of the profile goes with 'by: score, weighted' only, not with random"),
    ("measure and scorer", "samplers: {random: {ranking: {by: score, scorer: dsir-web, column: profile.words}}}", "1: samplers.random.ranking.scorer: goes with a column of its scores; 'profile.words' is of the profile"),
    ("meta of the profile", "corpora: {pile-mini: {meta: [profile.words]}}", "1: corpora.pile-mini.meta[0]: 'profile.words' would be read as a measure of the profile; keep the struct 'profile' whole"),
    ("objective", "profile: {objectives: {mine: {measure: wods, min: 3}}}", "1: profile.objectives.mine.measure: 'wods' is no measure; "),
    ("objective of text", "profile: {objectives: {mine: {measure: gender, min: 3}}}", "1: profile.objectives.mine: 'gender' is text; it takes the key values, and no bounds"),
    ("objective of a number", "profile: {objectives: {mine: {measure: words}}}", "1: profile.objectives.mine: 'words' is a number; it takes min or max, and no values"),
    ("corpus of a profile", "profile: {corpora: [pile-mni]}", "1: profile.corpora[0]: unknown corpus 'pile-mni'; did you mean 'pile-mini'? known: "),
    ("labelled without revision", "benchmarks: {b: {labelled: {hub: a/b, files: [x], text: t, label: l}}}", "1: benchmarks.b.labelled: missing key 'revision', which goes with 'hub'"),
    ("family", "profile: {families: [length]}", '1: profile.families[0]: "length" is not one of '),
    ("column of prompts", "corpora: {pile-mini: {prompts: {words: asked}}}", "1: corpora.pile-mini.prompts.words: 'asked' is not among meta: domain, origin; add it to meta"),
    ("published figures of a corpus", "corpora: {pile-mini: {published: nowhere.csv}}", "1: corpora.pile-mini.published: nowhere.csv: no file there; "),
    ("recipe", "models: {neox-nano: {recipe: nan0}}", "1: models.neox-nano.recipe: unknown recipe 'nan0'; did you mean 'nano'? known: "),
    ("tokenizer", "models: {neox-nano: {tokenizer: bpe}}", "1: models.neox-nano.tokenizer: unknown tokenizer 'bpe'; "),
    ("classifier's encoder", "models: {minilm-classifier: {encoder: bert}}", "1: models.minilm-classifier.encoder: unknown encoder 'bert'; known: bert-base-uncased, e5-base-4k, e5-large, minilm, minilm-128, minilm-64"),
    ("encoder", "clusterings: {mine: {encoder: bert, k: 3}}", "1: clusterings.mine.encoder: unknown encoder 'bert'; known: bert-base-uncased, e5-base-4k, e5-large, minilm, minilm-128, minilm-64"),
    ("reserved clustering", "clusterings: {none: {encoder: minilm, k: 3}}", "1: clusterings.none: the name is that of samplers without clusters; take another"),
    ("reserved corpus", "corpora: {tables: {source: {files: [a]}, text: t}}", "1: corpora.tables: the name is reserved; take another than benchmarks, calibration.json, downloads, logs, preflight, provenance, report, report.html, ro-crate-metadata.json, tables, timings"),
    ("colliding table", "tables: {a.claims: {title: A, experiments: [pile-mini], baseline: random}}", "1: tables.a.claims: the name collides with files of other tables; take another"),
    ("own column", "corpora: {mine: {source: {files: [a]}, text: t, meta: [bytes]}}", "1: corpora.mine.meta[0]: 'bytes' is a column of Winnow's own; rename it in the source"),
    ("column of a clustering", "corpora: {mine: {source: {files: [a]}, text: t, meta: [a, cluster]}}", "1: corpora.mine.meta[1]: 'cluster' is a column of Winnow's own; rename it in the source"),
    ("column of a draw", "corpora: {mine: {source: {files: [a]}, text: t, meta: [probability]}}", "1: corpora.mine.meta[0]: 'probability' is a column of Winnow's own; rename it in the source"),
    ("field of a kept struct", "corpora: {mine: {source: {files: [a]}, text: t, meta: [a.b, a]}}", "1: corpora.mine.meta[0]: 'a.b' is a field of 'a', which is kept whole; keep one of them"),
    ("text as label", "corpora: {mine: {source: {files: [a]}, text: t, label: t}}", "1: corpora.mine.label: 't' is the text; name the column of the classes"),
    ("group", "corpora: {pile-mini: {group: set}}", "1: corpora.pile-mini.group: 'set' is not among meta: domain, origin; add it to meta"),
    ("fixed generator", "corpora: {pile-mini: {source: {seed: 3}}}", "1: corpora.pile-mini.source.seed: python-packages is a fixed corpus; leave the key out"),
    ("no pool", "corpora: {sst2-mini: {heldout: {documents: 4000}}}", "1: corpora.sst2-mini.heldout.documents: 4,000 of 4,000 documents leaves no pool; hold out fewer"),
    ("omega", "samplers: {mine: {allocation: {weight: density}}}", "1: samplers.mine.allocation: missing key 'omega': weight density requires it, from 0 (size alone) to 1"),
    ("omega range", "samplers: {mine: {allocation: {weight: density, omega: 1.5}}}", "1: samplers.mine.allocation.omega: 1.5 is not right; expected: a number from 0 to 1"),
    ("foreign key", "samplers: {mine: {allocation: {weight: size, omega: 1}}}", "1: samplers.mine.allocation.omega: goes with weight density only, not with size"),
    ("ranking", "samplers: {mine: {allocation: {weight: none}, ranking: {by: nearest}}}", "1: samplers.mine.ranking.by: nearest requires the distances of a clustering; weight is none"),
    ("benchmark", "suites: {mine: [heldout-bpp]}", "1: suites.mine[0]: unknown benchmark 'heldout-bpp'; did you mean 'heldout-bpb'? known: "),
    ("empty suite", "suites: {mine: []}", "1: suites.mine: an empty list is too short; expected: a list of at least one of different texts"),
    ("benchmark form", "benchmarks: {mine: {items: 3}}", "1: benchmarks.mine: expected: heldout or "),
    ("no experiments", "experiments: []", "1: experiments: an empty list is too short; expected: a list of at least one of mappings"),
    ("corpus", run(corpus="pile-mni"), "3: experiments[mine].corpus: unknown corpus 'pile-mni'; did you mean 'pile-mini'? known: "),
    ("clustering", run(clustering="minilm-k2"), "4: experiments[mine].clustering: unknown clustering 'minilm-k2'; did you mean "),
    ("no clustering", run(clustering="null"), "5: experiments[mine].samplers[1]: 'uniform' draws from clusters, and the experiment has none; set its key clustering"),
    ("sampler", run(samplers="random, unifrom"), "5: experiments[mine].samplers[1]: unknown sampler 'unifrom'; did you mean 'uniform'? known: "),
    ("sampler twice", run(samplers="random, random"), '5: experiments[mine].samplers: "random" is listed twice; expected: '),
    ("budget name", run(budget="maxi"), "6: experiments[mine].budget: unknown budget 'maxi'; "),
    ("model", run(model="gpt"), "7: experiments[mine].model: unknown model 'gpt'; known: "),
    ("unlabelled", run(model="minilm-classifier"), "7: experiments[mine].model: 'minilm-classifier' is a classifier, and corpora.pile-mini has no label column; set its key label, or take a language model"),
    ("seed twice", run(seeds="1, 1"), "8: experiments[mine].data_seeds: 1 is listed twice; expected: a list of at least one of different whole numbers"),
    ("seed", run(seeds="-1"), f"8: experiments[mine].data_seeds[0]: -1 is not right; {SEED}"),
    ("training seed twice", run(more="training_seeds: [0, 0]"), "10: experiments[mine].training_seeds: 0 is listed twice; expected: "),
    ("suite", run(suites="small"), "9: experiments[mine].suites[0]: unknown suite 'small'; "),
    ("unfit suite", run(suites="labels"), "9: experiments[mine].suites[0]: benchmark 'heldout-labels' of suite 'labels' requires a classifier or a probe; 'neox-nano' is a language-model"),
    ("unfit suite 2", run(corpus="sst2-mini", model="minilm-classifier", budget="mini-labels"), "9: experiments[mine].suites[0]: benchmark 'heldout-bpb' of suite 'mini' requires a language model; 'minilm-classifier' is a classifier"),
    ("nothing held out", run(more="\ncorpora: {pile-mini: {heldout: {documents: 0}}}"), "9: experiments[mine].suites[0]: benchmark 'heldout-bpb' is made of held-out documents; set corpora.pile-mini.heldout.documents above 0"),
    ("beyond the pool", run(corpus="tinystories-mini", more="\nbudgets: {mini: {train: 2300}}"), "6: experiments[mine].budget: 'mini' asks for 2,330 documents, the pool of tinystories-mini has at most 1,900"),
    ("too many clusters", run(corpus="tinystories-mini", more="\nclusterings: {minilm-k22: {k: 3000}}"), "4: experiments[mine].clustering: 'minilm-k22' has 3,000 clusters, the pool of tinystories-mini at most 1,900 documents"),
    ("target", run(targets="mein"), "12: targets[0]: unknown table 'mein'; did you mean 'mine'? known: "),
    ("table's experiment", run(table="other"), "11: tables.mine.experiments[0]: unknown experiment 'other'; this run lists: mine"),
    ("baseline", run(baseline="best"), "11: tables.mine.baseline: 'best' is not among the arms mine/random, mine/uniform"),
    ("one arm", run(samplers="random"), "11: tables.mine.experiments: one arm (mine/random) leaves nothing to compare; add another"),
    ("tokens of none", "budgets:\n  mini: {unit: tokens}", "2: budgets.mini: unit: tokens requires the key tokenizer: the one that counts them"),
    ("tokens of nothing", "budgets:\n  mini: {unit: tokens, tokenizer: bpe}", "2: budgets.mini.tokenizer: unknown tokenizer 'bpe'; did you mean 'bpe-8k'? known: "),
    ("tokenizer of documents", "budgets:\n  mini: {tokenizer: bpe-2k}", "2: budgets.mini.tokenizer: is for unit: tokens; leave it out, or set the unit"),
    ("own subset", "samplers: {random: {filters: {used: [{sampler: random, budget: mini}]}}}", "1: samplers.random: waits for its own draw: random -> random"),
    ("circle of samplers", "samplers: {random: {filters: {used: [{sampler: uniform, budget: mini}]}}, uniform: {filters: {used: [{sampler: random, budget: mini}]}}}", "1: samplers.random: waits for its own draw: random -> uniform -> random"),
    (
        "circle of a proxy",
        run(samplers="random, own", more="\nsamplers: {own: {allocation: {weight: none}, ranking: {by: score, scorer: mine}}}"
            "\nscorers: {mine: {kind: proxy-loss, proxy: {model: neox-nano, budget: proxy, sampler: own}}}"),
        "11: samplers.own: waits for its own draw: own -> own",
    ),
    ("no owner", "encoders: {mine: {source: {hub: bge, revision: " + "a" * 40 + "}, dimension: 8}}", '1: encoders.mine.source.hub: "bge" is not right; expected: text: owner/name'),
    ("benchmark file", run(more="\nbenchmarks: {other: {task: piqa, data: {files: {test: Snakefile}}}}\nsuites: {mini: [other]}"), "11: benchmarks.other.data.files.test: Snakefile: unknown file format; known: .parquet, .arrow, .jsonl, .csv, .tsv, .txt (all but parquet and arrow also with .gz, .zst, .bz2 or .xz)"),
    ("reduction", "clusterings:\n  mine: {encoder: minilm, k: 5, reduce: umap50}\n", "2: clusterings.mine.reduce: unknown reduction 'umap50'; did you mean 'umap-50'? known: "),
    ("reduced dimensions", "reductions: {wide: {method: pca, dimensions: 384}}\nclusterings:\n  mine: {encoder: minilm, k: 5, reduce: wide}\n", "3: clusterings.mine.reduce: 'wide' has 384 dimensions, encoder 'minilm' 384; a reduction requires fewer"),
    ("method of a reduction", "reductions: {mine: {method: tsne, dimensions: 2}}\n", '1: reductions.mine.method: "tsne" is not one of pca, umap'),
    ("cleaning", "corpora: {sst2-mini: {clean: [stem]}}\n", '1: corpora.sst2-mini.clean[0]: "stem" is not one of strip, lower'),
    ("one cluster", "sweep: {k: [1, 2]}\n", "1: sweep.k[0]: 1 is not right; expected: a whole number from 2"),
    ("published figures of a sweep", "sweep: {published: none.csv}\n", "1: sweep.published: none.csv: no file there; give a CSV of published figures, seen from "),
    ("labelled file", run(corpus="sst2-mini", model="minilm-classifier", budget="mini-labels", suites="own", more="\nbenchmarks: {test: {labelled: {files: [none.csv], text: t, label: l}}}\nsuites: {own: [test]}"), "11: benchmarks.test.labelled.files[0]: none.csv: no file there; "),
    ("two sources", "corpora: {pile-mini: {source: {files: [a.txt]}}}", "1: corpora.pile-mini.source: unknown key 'files'; known: documents, generator, seed"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_value_is_named_with_its_file_and_line(
    shipped: dict[str, Any], tmp_path: Path, text: str, line: str
) -> None:
    with pytest.raises(InputError) as caught:
        resolved(shipped, text, tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/run.yaml:{line}")
    if not line.endswith((" ", "heads")):
        assert message == f"{tmp_path}/run.yaml:{line}"
    assert "\n" not in message


def test_at_least_forty_mistakes_are_tested() -> None:
    assert len(BAD) >= 40


def test_a_good_run_is_filled_with_defaults(shipped: dict[str, Any], tmp_path: Path) -> None:
    done = resolved(shipped, run(), tmp_path)
    assert done["experiments"][0]["training_seeds"] is None
    assert done["recipes"]["nano"]["final_rate"] == 0.1
    assert done["corpora"]["pile"]["source"]["files"] == ["**/*.parquet"]
    assert list(arms(done, done["experiments"][0])) == ["mine/random", "mine/uniform"]


def test_the_given_configuration_stays_as_it_is(shipped: dict[str, Any]) -> None:
    before = copy.deepcopy(shipped)
    checks.resolve(shipped)
    assert shipped == before


def test_arms_that_are_the_same_models_are_not_compared(shipped: dict[str, Any], tmp_path: Path) -> None:
    twice = yaml.safe_load(run())
    twice["experiments"].append({**twice["experiments"][0], "name": "again"})
    twice["tables"]["mine"].update(experiments=["mine", "again"], baseline="mine/random")
    with pytest.raises(InputError, match="arms mine/random and again/random have the same models"):
        resolved(shipped, yaml.safe_dump(twice), tmp_path)
    twice["experiments"][1]["data_seeds"] = [
        7,
        8,
    ]  # the same sampler again, with other seeds: an A/A comparison
    assert resolved(shipped, yaml.safe_dump(twice), tmp_path)["experiments"][1]["data_seeds"] == [7, 8]
    twice["experiments"][1]["name"] = "mine"
    with pytest.raises(InputError, match=r"experiments\[mine\]\.name: 'mine' is listed twice"):
        resolved(shipped, yaml.safe_dump(twice), tmp_path)


def test_random_from_the_whole_corpus_is_another_arm_only_where_something_is_excluded(
    shipped: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = run(samplers="random, random-whole, uniform")
    with pytest.raises(InputError, match="arms mine/random and mine/random-whole have the same models"):
        resolved(shipped, text, tmp_path)
    file = exclusions_path("pile-mini", "minilm-k22")
    file.parent.mkdir(parents=True)
    file.write_text("# clustering 0\n")
    config = resolved(shipped, text, tmp_path)
    clusterings = {arm: ids["clustering"] for arm, ids in arms(config, config["experiments"][0]).items()}
    assert clusterings == {
        "mine/random": "minilm-k22",
        "mine/random-whole": NO_CLUSTERS,
        "mine/uniform": "minilm-k22",
    }


def test_a_sampler_needs_a_clustering_for_what_it_leaves_out(shipped: dict[str, Any], tmp_path: Path) -> None:
    samplers = """
samplers:
  rest: {allocation: {weight: none}, filters: {used: [{sampler: uniform, budget: mini}]}}
"""
    for name in ("rest", "random-semdedup"):
        with pytest.raises(InputError, match=rf"samplers\[1\]: '{name}' draws from clusters"):
            resolved(shipped, run(samplers=f"random, {name}", clustering="null", more=samplers), tmp_path)
    config = resolved(shipped, run(samplers="random, rest", more=samplers), tmp_path)
    assert draw_clustering(config, "pile-mini", "minilm-k22", "rest") == "minilm-k22"
    assert draw_clustering(config, "pile-mini", "minilm-k22", "random") == NO_CLUSTERS


def test_a_missing_file_is_named_before_any_job(shipped: dict[str, Any], tmp_path: Path) -> None:
    more = "\ncorpora: {mine: {source: {files: ['/no/such/*.jsonl']}, text: text, heldout: {documents: 3}}}"
    with pytest.raises(InputError) as caught:
        resolved(shipped, run(corpus="mine", more=more), tmp_path)
    assert "run.yaml:11: corpora.mine.source.files[0]: /no/such/*.jsonl: no file there; give an" in str(
        caught.value
    )


def test_an_environment_value_that_is_not_set_is_named(shipped: dict[str, Any], tmp_path: Path) -> None:
    more = "\ncorpora: {mine: {source: {files: ['${WINNOW_NO_SUCH}/a.txt']}, text: text, heldout: {documents: 3}}}"
    with pytest.raises(
        InputError, match=r"WINNOW_NO_SUCH is not set; set it, or write \$\{WINNOW_NO_SUCH:-default\}"
    ):
        resolved(shipped, run(corpus="mine", more=more), tmp_path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("budgets:\n  mini: {train: 5}\n  other: {train: 6}\n  mini: {train: 7}\n",
         "4: budgets.mini: the key is on line 2 already; keep one"),
        ("results: a\nresults: b\n", "2: results: the key is on line 1 already; keep one"),
        ("experiments: [\n", "2: not YAML: "),
        ("a: b: c\n", "1: not YAML: mapping values are not allowed in this context"),
        ("budgets:\n\tmini: {train: 5}\n", "2: a tab; YAML is indented with blanks only"),
        ("budgets:\n  mini:\n  \ttrain: 5\n", "3: a tab; YAML is indented with blanks only"),
        ("- a\n", "1: not a mapping; expected: keys such as experiments and targets at the top level"),
    ],
)  # fmt: skip
def test_a_file_that_yaml_misreads_is_refused(
    shipped: dict[str, Any], tmp_path: Path, text: str, line: str
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        checks.resolve(shipped, [path])
    assert str(caught.value).startswith(f"{path}:{line}")


def test_a_key_that_no_file_holds_came_from_the_command_line(shipped: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("results: results\n")
    with pytest.raises(InputError, match=r"^--config: top level: unknown key 'bla'"):
        checks.resolve({**shipped, "bla": 1}, [tmp_path / "run.yaml"])


def test_the_last_file_that_holds_a_key_is_named(shipped: dict[str, Any], tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("budgets: {mini: {train: 5}}\n")
    second.write_text("budgets: {mini: {train: 0}}\n")
    with pytest.raises(InputError, match=r"b\.yaml:1: budgets\.mini\.train: 0 "):
        checks.resolve({**shipped, "budgets": {"mini": {"train": 0}}}, [first, second])


def test_every_key_of_the_readme_is_that_of_the_schema() -> None:
    page = (ROOT / "config" / "README.md").read_text()
    assert page.split(MARK)[1] == key_reference().split(MARK)[1], "run: winnow readme --out config/README.md"


def test_every_key_of_the_schema_is_explained() -> None:
    rows = [r for r in key_reference().splitlines() if r.startswith("| `") and not r.endswith("| | | |")]
    assert len(rows) > 80
    assert [r for r in rows if not r.rsplit(" | ", 1)[-1].removesuffix("|").strip()] == []


def test_the_schema_has_no_keyword_by_accident() -> None:
    """A comma in an unquoted description makes a key of the rest of the sentence."""
    words = set(
        [
            "$schema",
            "title",
            "description",
            "type",
            "additionalProperties",
            "required",
            "properties",
            "$defs",
            "$ref",
            "default",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "pattern",
            "enum",
            "const",
            "items",
            "minItems",
            "maxItems",
            "uniqueItems",
            "minLength",
            "minProperties",
            "oneOf",
            "dependentRequired",
            "propertyNames",
        ]
    )

    def walk(part: Any, where: str, named: bool) -> list[str]:
        if isinstance(part, list):
            return [w for item in part for w in walk(item, where, False)]
        if not isinstance(part, dict):
            return []
        found = [] if named else [f"{where}: {key}" for key in part if key not in words]
        for key, value in part.items():
            if named or key in words - {"default", "dependentRequired"}:
                found += walk(value, f"{where}.{key}", not named and key in ("properties", "$defs"))
        return found

    assert walk(schema(), "", False) == []


# ---------------------------------------------------------------- commands


def checked(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> list[str]:
    (tmp_path / "run.yaml").write_text(text)
    check([tmp_path / "run.yaml"])
    return capsys.readouterr().out.splitlines()


def test_check_names_models_that_may_be_too_short_for_a_benchmark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every evaluation of such models failed, after all of them had been trained."""
    monkeypatch.chdir(ROOT)
    short = yaml.safe_load(run(seeds="0, 1, 2"))
    short["models"] = {"neox-nano": {"sequence": 64}}
    assert checked(tmp_path, capsys, yaml.safe_dump(short))[0] == (
        "note: experiment mine: neox-nano reads 64 tokens at a time (sequence), an ending of heldout-cloze has up to 100: its "
        "evaluation fails if one is longer"
    )


def test_check_names_the_arms_that_get_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    base = yaml.safe_load(run(seeds="0, 1, 2"))
    assert checked(tmp_path, capsys, yaml.safe_dump(base)) == ["1 experiment, 6 models, 1 table: all right"]
    few = {**base["experiments"][0], "name": "few", "samplers": ["density"], "data_seeds": [0, 1]}
    base["experiments"].append(few)
    base["tables"]["mine"]["experiments"].append("few")
    assert checked(tmp_path, capsys, yaml.safe_dump(base))[:-1] == [
        "note: table mine: no verdict on few/density (2): a verdict requires 3 data seeds per arm"
    ]
    base["tables"]["mine"]["arms"] = ["random", "uniform"]  # the arm of two seeds is no arm of the table
    assert len(checked(tmp_path, capsys, yaml.safe_dump(base))) == 1
    del base["tables"]["mine"]["arms"]
    base["tables"]["mine"]["baseline"] = "density"
    assert checked(tmp_path, capsys, yaml.safe_dump(base))[:-1] == [
        "note: table mine: no verdict at all: a verdict requires 3 data seeds per arm, and the baseline few/density has 2"
    ]
    base["tables"]["mine"]["unit"] = "models"
    assert len(checked(tmp_path, capsys, yaml.safe_dump(base))) == 1


def test_the_fewest_seeds_are_those_of_the_statistics() -> None:
    text = (ROOT / "workflow" / "winnow" / "compare" / "statistics.py").read_text()
    assert f"FEWEST_SEEDS = {FEWEST_SEEDS}\n" in text


@pytest.mark.parametrize("section", DEFINITIONS)
def test_list_has_a_line_for_each_name_that_ships(
    shipped: dict[str, Any], section: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    list_(section)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(shipped[section])
    assert all(len(line.split()) > 1 for line in lines)


def test_list_knows_definitions_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text(
        "samplers:\n  mine: # mine alone\n    allocation: {weight: density, omega: 0.3}\n    ranking: {by: nearest}\n"
    )
    list_("samplers", config=[tmp_path / "run.yaml"])
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch("mine +weight density omega 0.3, by nearest  # mine alone", last)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "none.yaml"], "error: none.yaml: no such file"),
        (["check", "config"], "error: config: a folder; name a file in it"),
    ],
)
def test_a_run_config_that_is_not_there_is_told(arguments: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "winnow", *arguments], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow")},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == [message]


def test_no_table_is_named_like_a_file_of_another(shipped: dict[str, Any], tmp_path: Path) -> None:
    """A table `a.pareto` would have overwritten the plot a.pareto.svg of the table `a`."""
    rules = (ROOT / "workflow" / "rules" / "compare.smk").read_text()
    endings = set(re.findall(r"tables/\{\{table\}\}\.(\w+)\.\w+", rules))
    assert {"claims", "costs", "pareto"} <= endings
    for ending in sorted(endings):
        table = f"tables: {{a.{ending}: {{title: A, experiments: [pile-mini], baseline: random}}}}"
        with pytest.raises(InputError, match="collides with files of other tables"):
            resolved(shipped, table, tmp_path)


def test_scorers_of_the_review_page_must_read_texts(shipped: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"proposals\.scorers\[0\]: 'lsh' is of kind lsh; expected: a kind that reads texts"
    ):
        resolved(shipped, "proposals: {scorers: [lsh]}", tmp_path)
    with pytest.raises(InputError, match=r"proposals\.scorers\[0\]"):
        resolved(shipped, "proposals: {scorers: [nothing]}", tmp_path)
