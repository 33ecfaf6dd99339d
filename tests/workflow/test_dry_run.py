"""The runs of config/: what they would do, job by job, and that the rules follow the rules of CONTRIBUTING.md.

One long file: the cases share one clone of the workflow.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Finished, Snakemake, copy_workflow
from winnow.config.checks import resolve
from winnow.config.files import definition_files, read_files
from winnow.config.pins import by_name

DEFAULT = {
    "copy_guide": 1,
    "generate_corpus": 3,
    "index_source": 3,
    "write_documents": 3,
    "hold_out": 3,
    "embed_documents": 3,
    "fit_clusters": 3,
    "assign_clusters": 3,
    "summarise_clusters": 3,
    "exclude_clusters": 3,
    "draw_sample": 8,
    "write_subset": 8,
    "train_tokenizer": 2,
    "tokenize_subset": 8,
    "train_model": 8,
    "build_heldout_benchmark": 5,
    "build_grammar_benchmark": 1,
    "evaluate_model": 8,
    "compare_samplers": 3,
    "count_ngrams": 8,
    "find_benchmark_items": 8,
    "embed_benchmark": 1,
    "run_probes": 5,
    "write_report": 1,
    "compare_arms": 3,
    "chart_learning_curves": 1,
    "map_chosen_documents": 1,
    "chart_labelling_costs": 1,
    "chart_costs": 2,
    "trace_provenance": 3,
}
PAPER = {
    "copy_guide": 1,
    "download_benchmark": 8,
    "download_corpus": 2,
    "download_model": 24,
    "index_source": 2,
    "mirror_benchmark": 8,
    "write_documents": 258,
    "embed_documents": 256,
    "hold_out": 2,
    "build_heldout_benchmark": 1,
    "draw_sample": 94,
    "fit_clusters": 2,
    "fit_hdbscan": 1,
    "train_tokenizer": 2,
    "assign_clusters": 512,
    "assign_hdbscan": 256,
    "evaluate_pretrained": 21,
    "write_subset": 94,
    "choose_probe": 2,
    "find_benchmark_items": 93,
    "summarise_clusters": 3,
    "tokenize_subset": 94,
    "count_ngrams": 90,
    "inspect_clusters": 3,
    "train_model": 145,
    "evaluate_model": 144,
    "exclude_clusters": 3,
    "score_documents": 256,
    "score_probe": 512,
    "mean_losses": 2,
    "compare_samplers": 1,
    "write_report": 1,
    "compare_arms": 15,
    "chart_costs": 15,
    "trace_provenance": 15,
}
SST2 = {
    "copy_guide": 1,
    "download_corpus": 1,
    "index_source": 1,
    "write_documents": 1,
    "hold_out": 1,
    "embed_documents": 1,
    "reduce_vectors": 1,
    "fit_clusters": 1,
    "assign_clusters": 1,
    "summarise_clusters": 1,
    "exclude_clusters": 1,
    # Fine-tuned, five seeds: random and proportionate at four budgets, the start of entropy-clusters, a ceiling; four
    # samplers that ask a model for three rounds.
    "draw_sample": 5 * (4 + 4 + 1) + 1,
    "draw_round": 5 * 4 * 3,
    "write_subset": 106,
    "train_model": 106,
    "evaluate_model": 106,
    "predict_pool": 5 * (2 + 4 * 2),
    "download_model": 1,
    "download_benchmark": 1,
    "build_labelled_benchmark": 1,
    "compare_samplers": 1,
    "find_benchmark_items": 30,
    "embed_benchmark": 1,
    "run_probes": 8 + 1,
    "write_report": 1,
    "compare_arms": 2,
    "chart_learning_curves": 2,
    "map_chosen_documents": 2,
    "chart_labelling_costs": 2,
    "chart_costs": 1,
    "trace_provenance": 2,
}
TINYSTORIES = {
    "build_grammar_benchmark": 1,
    "copy_guide": 1,
    "download_benchmark": 1,
    "download_corpus": 1,
    "embed_labels": 1,
    "index_source": 1,
    "mirror_benchmark": 1,
    "write_documents": 16,
    "embed_documents": 16,
    "hold_out": 1,
    "measure_documents": 48,
    "build_heldout_benchmark": 3,
    "draw_sample": 149,
    "fit_clusters": 2,
    "fit_hdbscan": 1,
    "train_tokenizer": 1,
    "assign_clusters": 32,
    "assign_hdbscan": 16,
    "count_tokens": 16,
    "write_subset": 149,
    "choose_probe": 1,
    "find_benchmark_items": 147,
    "find_near_duplicates": 1,
    "score_vectors": 16,
    "summarise_clusters": 3,
    "tokenize_subset": 149,
    "count_ngrams": 147,
    "exclude_clusters": 3,
    "train_model": 149,
    "evaluate_model": 147,
    "score_documents": 32,
    "score_probe": 16,
    "mean_losses": 1,
    "compare_samplers": 1,
    "write_report": 1,
    "compare_arms": 4,
    "chart_costs": 4,
    "trace_provenance": 4,
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workflow as in a fresh clone, without results."""
    return copy_workflow(tmp_path_factory.mktemp("clone"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), DEFAULT),
        (("--profile", "slurm"), DEFAULT),
        (("--profile", "profiles/local"), DEFAULT),
        pytest.param(
            ("--profile", "slurm", "--configfile", "config/minipile.yaml"), PAPER, marks=pytest.mark.slow
        ),
        pytest.param(
            ("paper_tables", "--profile", "slurm", "--configfile", "config/minipile.yaml"),
            {**PAPER, "collate_claims": 1},
            marks=pytest.mark.slow,
        ),
        (("--profile", "slurm", "--configfile", "config/sst2.yaml"), SST2),
        (("--configfile", "config/tinystories.yaml"), TINYSTORIES),
    ],
    ids=["default", "slurm", "local", "paper", "paper and ledger", "sst2", "tinystories"],
)
def test_a_run_has_exactly_its_jobs(
    clone: Path, snakemake: Snakemake, arguments: tuple[str, ...], expected: dict[str, int]
) -> None:
    done = snakemake(*arguments, "--dry-run", "--quiet", "rules", cwd=clone)
    assert done.jobs() == expected
    assert sum(expected.values()) < 10_000
    if PAPER.items() <= expected.items():
        assert (
            "embed 134,318,121 documents (about 69 billion tokens), train 145 models, evaluate 165"
            in done.text
        )


# Those of rounds of labelling are planned in test_rounds.py.
SHIPPED = {
    name: sampler
    for name, sampler in yaml.safe_load((ROOT / "config" / "samplers.yaml").read_text())["samplers"].items()
    if "start" not in sampler
}
UNCERTAIN = [name for name in SHIPPED if "entropy" in name]  # they rank labelled documents
PROXIES = [name for name in SHIPPED if name.startswith("proxy-train")]


@pytest.mark.parametrize("clustering", ["minilm-k22", "minilm-hdbscan"])
@pytest.mark.parametrize("budget", ["{train: 600}", "{unit: tokens, tokenizer: bpe-2k, train: 50000}"])
def test_every_shipped_sampler_runs_from_config_alone(
    clone: Path, snakemake: Snakemake, tmp_path: Path, clustering: str, budget: str
) -> None:
    in_tokens = "tokens" in budget
    names = [name for name in SHIPPED if name not in (*UNCERTAIN, *PROXIES)]
    if in_tokens:
        names = [
            n
            for n in names
            if not n.endswith("-published")
            and SHIPPED[n].get("ranking", {}).get("by") not in ("lsh", "weighted")
        ]
    run = f"""
budgets: {{all: {budget}, all-labels: {{train: 100}}}}
experiments:
  - {{name: texts, corpus: pile-mini, clustering: {clustering}, samplers: {names}, budget: all, model: neox-nano, data_seeds: [0], suites: [mini]}}
  - {{name: labels, corpus: sst2-mini, clustering: {clustering}, samplers: {["random", *UNCERTAIN]}, budget: all-labels, model: minilm-classifier, data_seeds: [0], suites: [labels]}}
targets: []
"""
    (tmp_path / "run.yaml").write_text(run)
    jobs = snakemake(
        "subsets", "--dry-run", "--quiet", "rules", "--configfile", str(tmp_path / "run.yaml"), cwd=clone
    ).jobs()
    proxies = jobs["train_model"]
    assert jobs["write_subset"] == len(names) + 1 + len(UNCERTAIN) + proxies
    assert jobs.get("count_tokens", 0) == in_tokens
    # Of sst2-mini, too, though no sampler there goes by clusters: its noise is out of every pool.
    assert jobs.get("fit_hdbscan", 0) == 2 * (clustering == "minilm-hdbscan")


def test_random_draws_under_a_clustering_only_where_something_of_it_is_excluded(
    clone: Path, snakemake: Snakemake
) -> None:
    def subsets(*more: str) -> set[str]:
        done = snakemake("subsets", "--dry-run", "--quiet", "reason", *more, cwd=clone)
        return set(
            re.findall(
                r"results/(\S+/subsets/\S+)/budget/seed0/draw.parquet".replace("budget", r"[\w-]+"), done.text
            )
        )

    assert {"pile-mini/subsets/none/random", "tinystories-mini/subsets/none/random"} <= subsets()
    person = clone / "config" / "exclusions" / "pile-mini.minilm-k22.tsv"
    person.write_text("# clustering 0123\n")
    try:
        found = subsets()
    finally:
        person.unlink()
    assert {"pile-mini/subsets/minilm-k22/random", "tinystories-mini/subsets/none/random"} <= found
    assert "pile-mini/subsets/none/random" not in found
    proposed = clone / "proposed.yaml"
    proposed.write_text("corpora: {tinystories-mini: {apply_proposals: true}}\n")
    found = subsets("--configfile", str(proposed))
    assert {"pile-mini/subsets/none/random", "tinystories-mini/subsets/minilm-k12/random"} <= found


def test_the_target_clusters_makes_the_template_that_a_person_copies(
    clone: Path, snakemake: Snakemake
) -> None:
    jobs = snakemake("clusters", "--dry-run", "--quiet", "rules", cwd=clone).jobs()
    assert jobs["inspect_clusters"] == jobs["exclude_clusters"] == 3
    assert "draw_sample" not in jobs


def test_the_report_has_the_pages_of_targets_that_the_config_names_and_no_others(
    clone: Path, snakemake: Snakemake
) -> None:
    asked = ("--dry-run", "--quiet", "rules")
    extra = ("inspect_clusters", "sweep_clusters", "describe_corpus", "compare_draws")
    alone = snakemake(*asked, cwd=clone).jobs()
    assert not set(extra) & set(alone)
    for targets, expected in (
        ("[clusters]", {"inspect_clusters": 3}),
        ("[sweep, profile]", {"sweep_clusters": 3, "describe_corpus": 3}),
        ("[shifts]", {"describe_corpus": 2, "compare_draws": 2}),  # not of the arms that label in rounds
    ):
        jobs = snakemake(*asked, "--config", f"report={{targets: {targets}}}", cwd=clone).jobs()
        assert {rule: jobs[rule] for rule in extra if rule in jobs} == expected
    proposed = clone / "reported.yaml"
    proposed.write_text("corpora: {tinystories-mini: {apply_proposals: true}}\n")
    done = snakemake("--dry-run", "-p", "--configfile", str(proposed), cwd=clone)
    report = done.text.split("python -m winnow.report.site")[1].split("--out")[0]
    reviews = report.split("--reviews")[1].split("--sweeps")[0]
    assert reviews.split()[0] == "results/tinystories-mini/clusterings/minilm-k12/review.html"
    assert "pile-mini" not in reviews


REDUCED = """
corpora: {pile-mini: {shards: 2}}
reductions: {pca-8: {method: pca, dimensions: 8}}
clusterings: {reduced-k5: {encoder: minilm, reduce: pca-8, k: 5}}
experiments:
  - {name: one, corpus: pile-mini, clustering: reduced-k5, samplers: [uniform, lsh, semdedup, semdedup-after], budget: mini, model: neox-nano, data_seeds: [0], suites: [mini]}
  - {name: two, corpus: pile-mini, clustering: minilm-hdbscan, samplers: [uniform], budget: mini, model: neox-nano, data_seeds: [0], suites: [mini]}
targets: []
"""


def test_a_reduced_clustering_reads_the_reduced_vectors_and_semantic_duplicates_those_of_the_encoder(
    clone: Path, snakemake: Snakemake, tmp_path: Path
) -> None:
    (tmp_path / "run.yaml").write_text(REDUCED)
    done = snakemake("subsets", "sweep", "-n", "-p", "--configfile", str(tmp_path / "run.yaml"), cwd=clone)
    jobs = done.jobs()
    one_each = ("reduce_vectors", "sweep_clusters", "fit_clusters")  # HDBSCAN has no k to sweep
    assert [jobs[rule] for rule in one_each] == [1, 1, 1]
    reduced, plain = "results/pile-mini/reduced/minilm/pca-8.npy", "results/pile-mini/embeddings/minilm/"
    commands = [part.split("&>")[0] for part in done.text.split("python -m winnow.")[1:]]
    of_reduced = [command for command in commands if "/reduced-k5/" in command]
    for stage, vectors in (
        ("cluster.kmeans fit", [reduced]),
        ("cluster.kmeans assign", [reduced]),
        ("score.documents vectors", [reduced]),
        ("cluster.sweep", [reduced]),
        ("score.semdedup score", [f"{plain}0000.npy", f"{plain}0001.npy"]),
    ):
        found = [command for command in of_reduced if command.startswith(stage)]
        assert found, stage
        for command in found:
            assert re.findall(r"results/pile-mini/(?:reduced|embeddings)/[^\s)]+", command) == vectors, (
                command
            )
    after = [c for c in of_reduced if c.startswith("sample.draw") and f"{plain}0000.npy" in c]
    assert len(after) == 1
    assert reduced not in after[0]


def test_a_sweep_without_k_means_ends_with_one_line(
    clone: Path, snakemake: Snakemake, tmp_path: Path
) -> None:
    (tmp_path / "run.yaml").write_text(REDUCED.replace("reduced-k5, samplers", "minilm-hdbscan, samplers"))
    line = ("--dry-run", "--configfile", str(tmp_path / "run.yaml"))
    done = snakemake("sweep", *line, cwd=clone)
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        "error: sweep: no experiment of this run has a clustering by k-means; name one of its clusterings"
    )
    assert snakemake("clusters", *line, cwd=clone).code == 0


def test_published_figures_of_a_sweep_are_found_from_any_folder(snakemake: Snakemake, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("sweep: {published: config/published/sst2-sweep.csv}\n")
    line = ("--snakefile", str(ROOT / "Snakefile"), "-n", "-p", "--configfile", "run.yaml")
    done = snakemake("sweep", *line, cwd=tmp_path)
    assert done.code == 0, done.text
    assert f"--published {ROOT}/config/published/sst2-sweep.csv" in done.text
    (tmp_path / "run.yaml").write_text("sweep: {published: nowhere.csv}\n")
    done = snakemake("sweep", *line, cwd=tmp_path)
    assert done.err.splitlines()[-1].startswith(
        "error: run.yaml:1: sweep.published: nowhere.csv: no file there; give a CSV"
    )


@pytest.mark.parametrize("target", ["subsets", "models"])
def test_a_run_can_stop_at_subsets_or_models(clone: Path, snakemake: Snakemake, target: str) -> None:
    jobs = snakemake(target, "--dry-run", "--quiet", "rules", cwd=clone).jobs()
    assert jobs["write_subset"] == 8
    assert jobs.get("train_model", 0) == (8 if target == "models" else 0)
    assert "evaluate_model" not in jobs


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("budgets: {mini: {trian: 5}}\n", "budgets.mini: unknown key 'trian'; did you mean 'train'?"),
        (
            "budgets:\n  mini: {train: 5}\n  mini: {train: 6}\n",
            "budgets.mini: the key is on line 2 already",
        ),
        ("targets: [nothing]\n", "targets[0]: unknown table 'nothing'; known: "),
        (
            "corpora: {pile: {source: {revision: 005fee9a}}}\n",
            'corpora.pile.source.revision: "005fee9a" is not right',
        ),
    ],
)
def test_a_bad_config_ends_the_command_with_one_line_before_any_job(
    clone: Path, snakemake: Snakemake, tmp_path: Path, text: str, line: str
) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    done = snakemake("--dry-run", "--configfile", str(tmp_path / "bad.yaml"), cwd=clone)
    assert done.code == 1
    assert "Traceback" not in done.text
    (message,) = [row for row in done.err.splitlines() if row.startswith("error: ")]
    assert re.match(rf"error: {re.escape(str(tmp_path))}/bad\.yaml:\d+: {re.escape(line)}", message)
    assert done.err.rstrip().endswith(message)


def test_a_file_that_is_no_yaml_ends_the_command_without_a_traceback(
    clone: Path, snakemake: Snakemake, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("experiments: [\n")
    done = snakemake("--dry-run", "--configfile", str(tmp_path / "bad.yaml"), cwd=clone)
    assert done.code == 1
    assert "Traceback" not in done.text
    assert "Config file is not valid JSON or YAML" in done.text


def rules() -> dict[str, str]:
    text = "".join(path.read_text() for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")))
    parts = re.split(r"^rule (\w+):\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("rule", rules())
def test_every_rule_has_a_log_a_benchmark_threads_and_resources(rule: str) -> None:
    body = rules()[rule]
    for directive in ("output", "log", "benchmark", "conda", "threads", "resources", "params", "shell"):
        assert re.search(rf"^    {directive}:", body, re.MULTILINE), directive
    assert "mem_mb=" in body
    assert "runtime=" in body


def test_the_jobs_of_the_demo_fit_nodes_of_four_cores_and_limits_of_an_hour(
    snakemake: Snakemake, tmp_path: Path
) -> None:
    done = snakemake("--dry-run", "--cores", "8", "--nolock", "--config", f"results={tmp_path}")
    assert done.code == 0, done.text
    asked = {
        key: [int(n) for n in re.findall(rf"\b{key}[=:] ?(\d+)", done.text)]
        for key in ("threads", "mem_mb", "runtime", "gpu")
    }
    assert len(asked["mem_mb"]) == len(asked["runtime"]) == sum(DEFAULT.values())
    assert 2 <= max(asked["threads"]) <= 4
    assert 1500 <= min(asked["mem_mb"]) <= max(asked["mem_mb"]) <= 8000
    assert max(asked["runtime"]) <= 60
    assert max(asked["gpu"]) == 0


def test_an_exclusions_file_with_a_slip_in_its_name_is_pointed_out(clone: Path, snakemake: Snakemake) -> None:
    slip = clone / "config" / "exclusions" / "pile-mini.minilm-k22x.tsv"
    slip.write_text("# clustering 0\n")
    try:
        done = snakemake("--dry-run", "--quiet", "rules", cwd=clone)
    finally:
        slip.unlink()
    assert (
        "k22x.tsv belongs to no clustering of this run and is not read; did you mean pile-mini.minilm-k22.tsv?"
        in done.text
    )


@pytest.mark.parametrize("rule", rules())
def test_settings_reach_a_rule_through_params_alone(rule: str) -> None:
    body = rules()[rule]
    shell = body.split("    shell:", 1)[1].split('"""')[1]
    assert "config" not in shell.lower().replace("tokenizer-config", "").replace(
        "tokenizer_config", ""
    ).replace("--config", "")
    params = body.split("    params:\n", 1)[1].split("    shell:", 1)[0]
    assert not re.search(r"lambda wildcards,", params), "params that read input or resources trigger no rerun"
    assert re.search(r'version=(scorer_|family_)?version\(\s*"', params)


@pytest.mark.parametrize("config", ["default", "sst2", "tinystories", "minipile"])
def test_params_are_plain_text_and_numbers(clone: Path, snakemake: Snakemake, config: str) -> None:
    """What Snakemake cannot write as a literal it drops from the record, and a change of it reruns nothing."""
    probe = clone / f"probe-{config}.smk"
    probe.write_text(
        f'include: "{clone}/Snakefile"\n'
        "from snakemake.iocontainers import Wildcards\n"
        "values = dict(corpus=sorted(CONFIG['corpora'])[0], encoder=sorted(CONFIG['encoders'])[0])\n"
        "ids, experiment = every_run(CONFIG)[0], CONFIG['experiments'][0]\n"
        "values.update(ids, clustering=experiment['clustering'], encoder='minilm', shard='0000',\n"
        "    suite=experiment['suites'][0], table=CONFIG['targets'][0], tokenizer='bpe-2k',\n"
        "    repository='a/b', revision='0' * 40)\n"
        "values = {key: str(value) for key, value in values.items()}\n"
        "asking = list(CONFIG['rounds']['samplers'])\n"
        "rounds = dict(sampler=asking[-1], budget=list(CONFIG['rounds']['budgets'])[1]) if asking else {}\n"
        "for rule in workflow.rules:\n"
        "    for name, value in rule.params.items():\n"
        "        of_round = rule.name in ('predict_pool', 'draw_round')\n"
        "        if of_round and not asking:\n"
        "            continue\n"
        "        if callable(value):\n"
        "            try:\n"
        "                value = value(Wildcards(fromdict={**values, **(rounds if of_round else {})}))\n"
        "            except (AttributeError, KeyError, IndexError):  # of another kind than these wildcards\n"
        "                continue\n"
        "        assert isinstance(value, (str, int)) or (\n"
        "            isinstance(value, list) and all(isinstance(v, str) for v in value)), (rule.name, name)\n"
        "        print('checked', rule.name, name)\n"
    )
    more = () if config == "default" else ("--configfile", f"config/{config}.yaml")
    done = snakemake("--list-rules", "-s", str(probe), *more, cwd=clone)
    assert done.code == 0, done.text
    assert len(re.findall(r"^checked ", done.text, re.MULTILINE)) > 30


@pytest.mark.parametrize("rule", rules())
def test_every_path_and_name_on_a_shell_line_is_quoted(rule: str) -> None:
    """A blank in a path made `&>log` write outside the results folder, to a file of the name before the blank."""
    shell = rules()[rule].split("    shell:", 1)[1].split('"""')[1]
    fields = [f for f in re.findall(r"(?<!\{)\{([^{}]+)\}(?!\})", shell)]
    unquoted = [f for f in fields if not f.endswith(":q") and not re.match(r"threads$|resources\.", f)]
    assert fields
    assert unquoted == []
    assert "{log:q}" in shell


@pytest.mark.parametrize(
    ("results", "folder"),
    [
        ("out dir/", "out dir"),
        ("./out//deep/.", "out/deep"),
        ("~/res", "HOME/res"),
        ("$SCRATCH/res", "SCRATCH/res"),
        ("${SCRATCH}/res/", "SCRATCH/res"),
        ("${NOWHERE:-o [x] ü 'q\"}/res", "o [x] ü 'q\"/res"),
    ],
)
def test_results_may_lie_anywhere(
    clone: Path, snakemake: Snakemake, tmp_path: Path, results: str, folder: str
) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"results": results}))
    home, scratch = str(tmp_path / "ho me"), str(tmp_path / "scr[a]tch")
    expected = folder.replace("HOME", home).replace("SCRATCH", scratch)
    line = ("--dry-run", "--quiet", "rules", "--configfile", str(tmp_path / "run.yaml"))
    done = snakemake(f"{expected}/pile-mini/heldout.parquet", *line, cwd=clone, HOME=home, SCRATCH=scratch)
    assert done.jobs() == dict.fromkeys(("generate_corpus", "index_source", "write_documents", "hold_out"), 1)


@pytest.mark.parametrize(
    ("results", "line"),
    [
        ("${NOWHERE}/res", "${NOWHERE}/res: NOWHERE is not set; set it, or write ${NOWHERE:-default}"),
        ("a{b}", "'a{b}' holds '{', '}', which Snakemake does not allow in a path"),
        ("Snakefile/res", "'Snakefile/res': Snakefile is a file, not a folder"),
        (".", "'.': name a folder for results alone, such as ./results"),
    ],
)
def test_results_that_cannot_be_end_the_command_with_one_line(
    clone: Path, snakemake: Snakemake, tmp_path: Path, results: str, line: str
) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"results": results}))
    done = snakemake("--dry-run", "--configfile", str(tmp_path / "run.yaml"), cwd=clone)
    assert done.code == 1
    assert done.err.splitlines()[-1] == f"error: {tmp_path}/run.yaml:1: results: {line}"
    assert "Traceback" not in done.text
    assert not list(clone.glob("*{*"))


def test_a_clone_whose_path_snakemake_cannot_read_says_so(snakemake: Snakemake, tmp_path: Path) -> None:
    done = snakemake("--dry-run", cwd=copy_workflow(tmp_path / "a{b}"))
    assert done.code == 1
    assert done.err.splitlines()[-1].endswith(
        "a{b}: Winnow cannot run from a folder with '{' in its path; move it"
    )


def test_missing_files_are_named_in_one_line(clone: Path, snakemake: Snakemake, tmp_path: Path) -> None:
    """Those of a corpus that no experiment of the run names: asked for by the path of a result."""
    corpus = {"source": {"files": ["nowhere/*.txt"]}, "text": "text"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"corpora": {"gone": corpus}}))
    for way in ("--dry-run", "--cores=1"):
        done = snakemake(
            "results/gone/source.json", way, "--configfile", str(tmp_path / "run.yaml"), cwd=clone
        )
        assert done.code == 1
        assert done.err.splitlines()[-1].startswith(
            "error: corpora.gone.source.files: nowhere/*.txt: no file there; give an existing path or glob"
        )
        assert "Traceback" not in done.text


@pytest.mark.parametrize("run", [[], ["config/sst2.yaml"], ["config/tinystories.yaml"]])
def test_runs_but_the_paper_need_no_pins(run: list[str]) -> None:
    """What they read from the Hub is named by its commit: on a fresh clone they run at once."""
    paths = [*definition_files(ROOT), *(str(ROOT / path) for path in run)]
    assert by_name(resolve(read_files(paths), paths), needed_only=True) == {}


def test_full_size_budgets_are_those_of_minipile() -> None:
    budgets = yaml.safe_load((ROOT / "config" / "budgets.yaml").read_text())["budgets"]
    assert budgets["minipile"] == {"train": 1_000_000, "validation": 500, "test": 10_000}


def test_every_comparison_of_the_study_can_be_measured() -> None:
    paper = yaml.safe_load((ROOT / "config" / "minipile.yaml").read_text())
    assert list(paper["tables"]) == paper["targets"]
    for name, table in paper["tables"].items():
        if published := table.get("published"):
            assert {*published["a"], *published["b"]} == set(published["arms"]), name


@pytest.mark.slow
def test_the_published_tables_come_out_without_training(clone: Path, snakemake: Snakemake) -> None:
    line = ("published_tables", "--profile", "profiles/local", "--configfile", "config/minipile.yaml")
    done = snakemake(*line, "--cores", "2", cwd=clone)
    assert done.code == 0, done.text
    folder = clone / "results" / "tables" / "published"
    paper = yaml.safe_load((ROOT / "config" / "minipile.yaml").read_text())["targets"]
    assert {path.stem for path in folder.glob("*.md")} == {
        name for name in paper if name not in ("cancelled", "recipes", "variance")
    }
    assert len((folder / "audit.csv").read_text().splitlines()) == 22
    claims = json.loads((folder / "paper.claims.json").read_text())
    assert sum(claim["published_verdict"] not in (None, "") for claim in claims) == 46


def test_published_models_are_measured_without_training(clone: Path, snakemake: Snakemake) -> None:
    for name in "ab":
        (clone / "theirs" / name).mkdir(parents=True)
        (clone / "theirs" / name / "model.safetensors").write_text("")
    weights = [{"folder": f"theirs/{name}", "sha256": name * 64} for name in "ab"]
    table = {"title": "Theirs", "experiments": [], "corpus": "pile-mini", "suites": ["paper-tasks"], "baseline": "a",
             "pretrained": ["a", "b"], "unit": "models"}  # fmt: skip
    models = {name: {"kind": "pretrained", "weights": w} for name, w in zip("ab", weights, strict=True)}
    change = clone / "theirs.yaml"
    change.write_text(yaml.safe_dump({"models": models, "tables": {"theirs": table}}))
    asked = ("--dry-run", "--quiet", "rules", "--configfile", str(change))
    alone = {"download_benchmark": 8, "mirror_benchmark": 8, "evaluate_pretrained": 2, "compare_arms": 1}
    assert snakemake("results/tables/theirs.md", *asked, cwd=clone).jobs() == alone
    done = snakemake(*asked, "--config", "targets=[theirs]", cwd=clone)
    jobs = done.jobs()
    jobs.pop("copy_guide", None)  # it may be there already
    assert jobs == {
        **alone,
        "chart_costs": 1,
        "trace_provenance": 1,
        "write_report": 1,
    }  # nothing of the default's experiments
    for key, value, message in (
        ("suites", None, "key 'suites' is required where there are none"),
        ("baseline", "c", "'c' is not among the arms a, b"),
        ("pretrained", ["a", "neox-nano"], "'neox-nano' is trained here, not pretrained"),
    ):
        wrong = {k: v for k, v in {**table, key: value}.items() if v is not None}
        change.write_text(
            yaml.safe_dump({"models": models, "tables": {"theirs": wrong}, "targets": ["theirs"]})
        )
        done = snakemake("--dry-run", "--configfile", str(change), cwd=clone)
        assert done.code != 0
        assert message in done.text


def test_a_broken_table_of_the_paper_stops_only_who_asks_for_measured_ones(
    clone: Path, snakemake: Snakemake
) -> None:
    (clone / "change.yaml").write_text("tables: {idea-3: {baseline: densty}}")
    line = ("--dry-run", "--quiet", "rules", "--configfile", "config/minipile.yaml", "change.yaml")
    wrong = "tables.idea-3.baseline: 'densty' is not among the arms"
    done = snakemake("published_tables", *line, cwd=clone)
    assert done.code == 0
    assert f"warning: change.yaml:1: {wrong}" in done.err
    for targets in ((), ("paper_tables",)):
        done = snakemake(*targets, *line, cwd=clone)
        assert done.code == 1
        assert done.err.splitlines()[-1].startswith(f"error: change.yaml:1: {wrong}")


@pytest.mark.parametrize(
    ("target", "profile"), [("paper_tables", "slurm"), ("published_tables", "profiles/local")]
)
def test_the_papers_targets_name_their_run_config_where_no_figures_are_published(
    clone: Path, snakemake: Snakemake, target: str, profile: str
) -> None:
    done = snakemake(target, "--dry-run", cwd=clone)
    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        f"error: {target}: no table of this run has published figures; those of the paper: "
        f"snakemake {target} --profile {profile} --configfile config/minipile.yaml"
    )


def test_the_linter_of_snakemake_is_content(snakemake: Snakemake) -> None:
    done: Finished = snakemake("--lint", cwd=ROOT)
    assert done.code == 0, done.text


@pytest.mark.parametrize(
    "stage", ["documents.shards", "documents.heldout", "sample.draw", "sample.subset", "cluster.exclude"]
)
def test_a_light_stage_loads_nothing_heavy(stage: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"winnow.{stage}", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT / "workflow",
        check=True,
    )
    loaded = {
        line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line
    }
    heavy = {"torch", "transformers", "datasets", "pandas", "lm_eval", "sklearn", "scipy"}
    if stage == "sample.subset":
        heavy.remove("pandas")  # pyarrow.dataset imports it
    assert not loaded & heavy


def test_parsing_the_workflow_loads_nothing_heavy() -> None:
    code = "import sys; from winnow import experiments, paths, selection, stage; from winnow.config import checks; from winnow.commands import preflight; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "workflow", check=True
    )
    assert not set(done.stdout.split()) & {"torch", "numpy", "pyarrow", "pandas", "jsonschema", "cyclopts"}
