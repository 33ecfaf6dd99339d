# Inputs and params of the rules of documents.smk: sources of corpora. No rules here.
def source_kind(kind):
    return names_of("corpora", lambda corpus: kind in corpus["source"])


def generated_source(wildcards):
    """The generated file that a corpus is read from."""
    generated = "generator" in CONFIG["corpora"][wildcards.corpus]["source"]
    return [f"{R}/{wildcards.corpus}/source.parquet"] if generated else []


def source_download(wildcards):
    source = CONFIG["corpora"][wildcards.corpus]["source"]
    if "hub" not in source:
        return []
    check_pinned(source["hub"], source["revision"], "dataset")
    return [f"{R}/{wildcards.corpus}/download.json"]


def source_state(wildcards):
    """State of the local files of a source, which changes when one is replaced."""
    source = CONFIG["corpora"][wildcards.corpus]["source"]
    if "generator" in source or "hub" in source:
        return "pinned"
    return files_state(f"corpora.{wildcards.corpus}.source.files", *source["files"])
