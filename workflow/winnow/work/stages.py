"""The work of the jobs of each rule, by its name. The formulas: winnow.work.corpus_stages and model_stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from winnow.work import corpus_stages as corpus
from winnow.work import model_stages as models
from winnow.work.job import PYTHON, TABLES, Job
from winnow.work.requests import Sizes, Work


def small(memory: float = TABLES, start: str = "light", serial: float = 0.0) -> Callable[[Job], Work]:
    """The formula of jobs whose work does not grow with a corpus."""
    return lambda job: Work(start, serial=serial, memory_mb=memory)


STAGES: dict[str, Callable[[Job], Work]] = {
    "generate_corpus": corpus.generate_corpus,
    "download_corpus": corpus.download,
    "download_model": corpus.download,
    "download_benchmark": corpus.download,
    "index_source": corpus.index_source,
    "write_documents": corpus.write_documents,
    "hold_out": corpus.hold_out,
    "embed_documents": corpus.embed_documents,
    "embed_benchmark": corpus.embed_benchmark,
    "reduce_vectors": corpus.reduce_vectors,
    "fit_clusters": corpus.fit_clusters,
    "assign_clusters": corpus.assign_clusters,
    "fit_hdbscan": corpus.fit_hdbscan,
    "assign_hdbscan": corpus.assign_hdbscan,
    "summarise_clusters": corpus.summarise_clusters,
    "inspect_clusters": corpus.inspect_clusters,
    "exclude_clusters": small(),
    "sweep_clusters": corpus.sweep_clusters,
    "score_documents": corpus.score_documents,
    "fit_ratios": corpus.fit_ratios,
    "score_vectors": corpus.score_vectors,
    "find_near_duplicates": corpus.find_near_duplicates,
    "sweep_near_duplicates": corpus.sweep_near_duplicates,
    "choose_probe": corpus.choose_probe,
    "score_probe": corpus.score_probe,
    "mean_losses": corpus.mean_losses,
    "draw_sample": corpus.draw_sample,
    "draw_round": corpus.draw_sample,
    "write_subset": corpus.write_subset,
    "compare_samplers": corpus.compare_samplers,
    "train_tokenizer": models.train_tokenizer,
    "count_tokens": models.count_tokens,
    "tokenize_subset": models.tokenize_subset,
    "train_model": models.train_model,
    "evaluate_model": models.evaluate_model,
    "evaluate_pretrained": models.evaluate_pretrained,
    "count_ngrams": models.count_ngrams,
    "find_benchmark_items": models.find_benchmark_items,
    "find_contaminated_documents": models.find_contaminated_documents,
    "build_heldout_benchmark": models.build_heldout_benchmark,
    "build_labelled_benchmark": small(TABLES + 100),
    "build_grammar_benchmark": small(),
    "mirror_benchmark": models.mirror_benchmark,
    "compare_arms": models.compare_arms,
    "compare_partial_arms": models.compare_arms,
    "write_report": models.write_report,
    "check_partition": small(PYTHON, "shell"),
    "chart_costs": small(TABLES + 100, "plots"),
    "trace_provenance": small(TABLES, "shell"),
    "copy_guide": small(PYTHON, "shell"),
    "compare_published": small(start="plots"),
    "collate_claims": small(PYTHON, "shell"),
    "collate_published_claims": small(PYTHON, "shell"),
    "audit_published": small(start="shell"),
    "embed_labels": models.embed_labels,
    "entail_documents": models.entail_documents,
    "measure_documents": models.measure_documents,
    "count_documents": models.count_documents,
    "describe_corpus": models.describe_corpus,
    "associate_measures": models.associate_measures,
    "measure_creativity": models.measure_creativity,
    "write_profile": small(TABLES + 150, "plots", 5.0),
    "compare_draws": models.compare_draws,
    "predict_pool": models.predict_pool,
    "run_probes": models.run_probes,
    "chart_learning_curves": models.chart_learning_curves,
    "map_chosen_documents": models.map_chosen_documents,
    "chart_labelling_costs": small(PYTHON, "shell"),
}
"""The formula of each rule; the targets, which have no outputs, are none."""


def work_of(config: Mapping[str, Any], rule: str, ids: Mapping[str, Any], sizes: Sizes) -> Work:
    """The work of a job of `rule` with the wildcards `ids`. Raises KeyError for a rule without a formula."""
    return STAGES[rule](Job(config, rule, ids, sizes))
