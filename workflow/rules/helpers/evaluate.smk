# Inputs and params of the rules of evaluate.smk: benchmarks and suites. No rules here.
EVALUATION = f"{MODEL}/evaluation/{{suite}}"
PRETRAINED = f"{R}/{{corpus}}/pretrained/{{pretrained}}/evaluation/{{suite}}"


def benchmark_kind(kind):
    return names_of("benchmarks", lambda benchmark: kind in benchmark)


def benchmark_folder(corpus, benchmark):
    """Benchmarks of held-out documents or of a corpus's classes belong to it, the others to all corpora."""
    definition = CONFIG["benchmarks"][benchmark]
    owner = f"{R}/{corpus}" if "heldout" in definition or "labelled" in definition else R
    return f"{owner}/benchmarks/{benchmark}"


def benchmark_state(wildcards):
    """State of the local files of a benchmark, which changes when one is replaced."""
    benchmark = CONFIG["benchmarks"][wildcards.benchmark]
    key = "labelled" if "labelled" in benchmark else "data"
    if "hub" in benchmark[key]:
        return "pinned"
    files = benchmark[key]["files"]
    patterns = files.values() if isinstance(files, dict) else files
    return files_state(f"benchmarks.{wildcards.benchmark}.{key}.files", *patterns)


def benchmark_download(wildcards):
    data = CONFIG["benchmarks"][wildcards.benchmark]["data"]
    if "hub" not in data:
        return []
    check_pinned(data["hub"], data["revision"], "dataset")
    return [f"{R}/benchmarks/{wildcards.benchmark}/download.json"]


def suite_folders(wildcards):
    return [benchmark_folder(wildcards.corpus, b) for b in CONFIG["suites"][wildcards.suite]]


def suite_manifests(wildcards):
    return [f"{folder}/manifest.json" for folder in suite_folders(wildcards)]


def suite_benchmark(benchmark):
    """What the items of a benchmark and their evaluation depend on: not the metrics that tables show of it."""
    return {k: v for k, v in CONFIG["benchmarks"][benchmark].items() if k != "metrics"}


def suite_benchmarks(suite):
    """The same of each benchmark of a suite."""
    return {name: suite_benchmark(name) for name in CONFIG["suites"][suite]}
