"""What a stage imports: seconds of every training and evaluation, which a run pays some hundred times."""

import subprocess
import sys
from pathlib import Path

import pytest
from test_evaluate import classifier, folders  # noqa: F401 (fixtures)
from winnow.stage import canonical

HEAVY = {
    "torch",
    "transformers",
    "tokenizers",
    "lm_eval",
    "datasets",
    "scipy",
    "pandas",
    "sklearn",
    "statsmodels",
}


def modules(code: str) -> set[str]:
    """Names of all modules, packages included, in a fresh process after `code`."""
    line = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines()[-1].split())


def test_a_stage_that_refuses_its_input_has_imported_nothing_heavy() -> None:
    stages = "winnow.train.loop, winnow.evaluate.harness, winnow.evaluate.benchmarks, winnow.evaluate.ngrams"
    loaded = modules(f"import {stages}, winnow.train.tokens, winnow.evaluate.contamination")
    assert not HEAVY & loaded


@pytest.mark.slow
def test_the_evaluation_of_a_classifier_imports_no_statistics_and_no_lm_eval(
    classifier: Path,  # noqa: F811
    folders: dict,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder, definition = folders["labels"]
    spec = canonical({"ids": {}, "suite": "s", "benchmarks": {"labels": definition}})
    code = (
        "from pathlib import Path; from winnow.evaluate import harness; "
        f"harness.evaluate(model=Path({str(classifier)!r}), benchmarks=[Path({str(folder)!r})], spec={spec!r}, "
        f"out_dir=Path({str(tmp_path)!r}))"
    )
    loaded = modules(code)
    assert (tmp_path / "results.json").exists()
    assert not {"scipy.stats", "lm_eval", "datasets", "sklearn", "statsmodels"} & loaded
