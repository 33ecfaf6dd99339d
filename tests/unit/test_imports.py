"""What a stage imports: seconds of every training and evaluation, which a run pays some hundred times."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_evaluate import classifier, folders  # noqa: F401 (fixtures)
from winnow.stage import canonical

ROOT = Path(__file__).parents[2]
COMPILER = {
    "torch._dynamo.convert_frame",
    "torch._inductor",
    "torch.distributed.tensor",
    "torch.distributed.checkpoint",
    "scipy",
}
"""Half of the time that transformers' models and torch's optimisers take to import; for a processor there is no use of it."""
STEP = """
import hashlib, torch
from winnow.train.checkpoint import make_optimiser
from winnow.train.tasks import attend_causally, make_network
torch.manual_seed(0)
network = make_network({"width": 16, "layers": 1, "heads": 2, "sequence": 8}, 64, 0)
attend_causally(network)
optimiser = make_optimiser(network, {"weight_decay": 0.1, "betas": [0.9, 0.95], "epsilon": 1e-8})
optimiser.param_groups[0]["lr"] = 0.1
network(input_ids=torch.arange(8)[None]).logits.square().mean().backward()
optimiser.step()
optimiser.zero_grad()
weights = b"".join(value.numpy().tobytes() for value in network.state_dict().values())
print("weights", hashlib.sha256(weights).hexdigest())
"""
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


def run_code(code: str) -> tuple[str, set[str]]:
    """What `code` printed in a fresh process without a GPU, and the names of all modules, packages included, after it."""
    line = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    here = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(line, check=True, capture_output=True, text=True, env=here)
    *printed, loaded = done.stdout.splitlines()
    return "\n".join(printed), set(loaded.split())


def modules(code: str) -> set[str]:
    return run_code(code)[1]


def test_a_stage_that_refuses_its_input_has_imported_nothing_heavy() -> None:
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    stages = set(re.findall(r"python -m (winnow\.[\w.]+)", rules))
    assert len(stages) > 25
    # pyarrow.dataset, with which subsets are read, imports pandas; a learning curve has intervals from the first budget on.
    stages -= {"winnow.sample.subset", "winnow.rounds.learning_curves"}
    assert not HEAVY & modules(f"import {', '.join(sorted(stages))}")


@pytest.mark.slow
def test_a_training_on_a_processor_imports_no_compiler_and_ends_with_the_same_bits() -> None:
    printed, loaded = run_code(STEP)
    assert not (COMPILER | {"sympy"}) & loaded
    everything = "import winnow.light_imports as light; light.skip_unused = lambda: None"
    printed_by_all, all_loaded = run_code(f"{everything}\n{STEP}")
    assert printed_by_all == printed
    assert all_loaded >= COMPILER


@pytest.mark.slow
def test_what_was_left_out_is_imported_when_it_is_asked_for_after_all() -> None:
    compiled = "f = torch.compile(lambda x: x + 1, backend='eager'); print(float(f(torch.ones(1))))"
    printed, loaded = run_code(f"{STEP}\n{compiled}\nprint(torch._dynamo.config.suppress_errors)")
    assert printed.splitlines()[1:] == ["2.0", "False"]
    assert "torch._dynamo.convert_frame" in loaded


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
    assert not COMPILER & loaded
