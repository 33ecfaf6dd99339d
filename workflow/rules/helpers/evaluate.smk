# Inputs and params of the rules of evaluate.smk: benchmarks and suites. No rules here.
EVALUATION = f"{MODEL}/evaluation/{{suite}}"
PRETRAINED = f"{R}/{{corpus}}/pretrained/{{pretrained}}/evaluation/{{suite}}"


def benchmark_kind(*kinds):
    return names_of("benchmarks", lambda benchmark: any(kind in benchmark for kind in kinds))


def benchmark_folder(corpus, benchmark):
    """Benchmarks of held-out documents or of a corpus's classes belong to it, the others to all corpora."""
    definition = CONFIG["benchmarks"][benchmark]
    owner = f"{R}/{corpus}" if "heldout" in definition or "labelled" in definition else R
    return f"{owner}/benchmarks/{benchmark}"


def benchmark_source(benchmark):
    """Where the files of a benchmark come from: those of a task of lm-eval, or labelled documents."""
    definition = CONFIG["benchmarks"][benchmark]
    source = definition["labelled"] if "labelled" in definition else definition["data"]
    return {key: source[key] for key in ("hub", "revision", "files") if key in source}


def benchmark_state(wildcards):
    """State of the local files of a benchmark, which changes when one is replaced."""
    source = benchmark_source(wildcards.benchmark)
    if "hub" in source:
        return "pinned"
    files = source["files"]
    patterns = files.values() if isinstance(files, dict) else files
    key = "labelled" if "labelled" in CONFIG["benchmarks"][wildcards.benchmark] else "data"
    return files_state(f"benchmarks.{wildcards.benchmark}.{key}.files", *patterns)


def benchmark_download(wildcards):
    source = benchmark_source(wildcards.benchmark)
    if "hub" not in source:
        return []
    check_pinned(source["hub"], source["revision"], "dataset")
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
