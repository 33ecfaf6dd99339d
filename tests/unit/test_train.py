"""Training: a stopped run ends with the bits of one that was not; what it writes opens in transformers."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_tokens import TEXTS, config_of, make, packed
from winnow.stage import InputError, canonical
from winnow.train.checkpoint import make_optimiser
from winnow.train.loop import main
from winnow.train.schedule import rate_at, rows_of_step, steps_of
from winnow.train.tasks import LanguageModel

RECIPE = {"steps": 60, "batch": 4, "micro_batch": 3, "learning_rate": 5e-3, "final_rate": 0.1, "warmup": 0.1,
          "betas": [0.9, 0.95], "epsilon": 1e-8, "weight_decay": 0.1, "clip": 1.0,
          "precision": "float32"}  # fmt: skip
MODEL = {
    "kind": "language-model",
    "layers": 1,
    "width": 16,
    "heads": 2,
    "sequence": 16,
    "tokenizer": "t",
    "recipe": "r",
}


@given(st.integers(1, 500), st.floats(0, 1), st.floats(0, 1))
def test_the_rate_rises_to_its_peak_and_falls_to_its_share(steps: int, warmup: float, final: float) -> None:
    recipe = {"steps": steps, "learning_rate": 2.0, "warmup": warmup, "final_rate": final}
    rates = [rate_at(step, recipe) for step in range(steps)]
    peak = max(1, round(warmup * steps)) - 1
    assert rates[peak] == pytest.approx(2.0)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert min(rates[peak:]) >= 2.0 * final - 1e-12
    assert min(rates) > 0 or final == 0


@given(st.integers(1, 40), st.integers(1, 16), st.integers(0, 2**32 - 1))
def test_each_epoch_reads_each_row_once(rows: int, batch: int, seed: int) -> None:
    steps = -(-3 * rows // batch)
    order = np.concatenate([rows_of_step(step, batch, rows, seed) for step in range(steps)])
    for epoch in range(3):
        assert sorted(order[epoch * rows : (epoch + 1) * rows]) == list(range(rows))


class Run:
    """Inputs of a language model in a folder, and the command line that trains it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.tokenizer = make(folder / "tokenizer")
        packed(folder, self.tokenizer, TEXTS)
        (folder / "manifest.json").write_text(json.dumps({"ids": {"corpus": "toy", "data_seed": 0}}))

    def arguments(self, out: str, **recipe: float) -> dict:
        spec = {
            "model": MODEL,
            "recipe": {**RECIPE, **recipe},
            "training_seed": 1,
            "names": {"model": "m"},
            "base": None,
        }
        return {"subset": self.folder / "manifest.json", "spec": canonical(spec),
                "out": self.folder / out / "manifest.json", "tokens": [self.folder / "t.npy"],
                "tokens_meta": [self.folder / "t.json"], "tokenizer": [self.tokenizer],
                "tokenizer_config": [config_of(self.tokenizer)], "threads": 1,
                "checkpoint_minutes": 1e-9}  # fmt: skip

    def start(self, out: str, **recipe: float) -> subprocess.Popen:
        line = [sys.executable, "-m", "winnow.train.loop"]
        for key, value in self.arguments(out, **recipe).items():
            line += ["--" + key.replace("_", "-"), str(value[0] if isinstance(value, list) else value)]
        return subprocess.Popen(
            line, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )

    def die(self, out: str, step: int) -> None:
        """Trains until the checkpoint after `step` is written, and is killed there."""
        arguments = repr(self.arguments(out)).replace("PosixPath", "pathlib.Path")
        script = (
            "import os, pathlib, winnow.train.loop as stage\nsave = stage.Checkpoint.save\n"
            "def die(self, step, *rest):\n"
            f"    save(self, step, *rest)\n    if step == {step}: os.kill(os.getpid(), 9)\n"
            f"stage.Checkpoint.save = die\nstage.main(**{arguments})"
        )
        line = [sys.executable, "-c", script]
        killed = subprocess.run(
            line, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr

    def wait_for_checkpoint(self, out: str, process: subprocess.Popen) -> None:
        while not (self.folder / out / "state" / "checkpoint.safetensors").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("train"))
    main(**run.arguments("whole"))
    return run


def weights(run: Run, out: str) -> bytes:
    return (run.folder / out / "model.safetensors").read_bytes()


def test_the_loss_falls_and_the_model_opens(undisturbed: Run) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = undisturbed.folder / "whole"
    losses = [h[0] for h in json.loads((folder / "metrics.json").read_text())["history"]]
    assert len(losses) == 60
    assert np.mean(losses[-5:]) < losses[0] - 0.5
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model(**tokenizer("The cat", return_tensors="pt")).logits.isfinite().all()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["ids"] == {"corpus": "toy", "data_seed": 0, "model": "m", "training_seed": 1}
    assert manifest["training_tokens"] == 60 * 4 * 16
    assert not (folder / "state").exists()
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_bits(
    undisturbed: Run, capsys: pytest.CaptureFixture
) -> None:
    undisturbed.die("killed", step=23)
    main(**undisturbed.arguments("killed"))
    assert "continuing from step 23" in capsys.readouterr().err
    assert weights(undisturbed, "killed") == weights(undisturbed, "whole")
    one, other = ((undisturbed.folder / n / "manifest.json").read_bytes() for n in ("killed", "whole"))
    assert one == other


@pytest.mark.slow
def test_a_terminated_run_keeps_its_state_and_says_so(
    undisturbed: Run, capsys: pytest.CaptureFixture
) -> None:
    process = undisturbed.start("stopped", steps=100_000)
    undisturbed.wait_for_checkpoint("stopped", process)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate()[1]
    assert process.returncode == 143
    assert "stopped by signal 15" in errors
    assert (undisturbed.folder / "stopped" / "state" / "checkpoint.safetensors").exists()
    main(**undisturbed.arguments("stopped"))
    assert "of other settings or inputs: starting clean" in capsys.readouterr().err
    assert weights(undisturbed, "stopped") == weights(undisturbed, "whole")


def test_a_loss_that_is_not_finite_is_an_error(undisturbed: Run) -> None:
    with pytest.raises(InputError, match=r"loss .* at step \d+; lower the learning rate"):
        main(**undisturbed.arguments("wild", learning_rate=1e30, warmup=0.0))
    assert not (undisturbed.folder / "wild" / "manifest.json").exists()


def test_fewer_tokens_than_a_sequence_are_an_error(tmp_path: Path) -> None:
    run = Run(tmp_path)
    packed(tmp_path, run.tokenizer, ["a"])
    with pytest.raises(InputError, match="fewer than one sequence of 16"):
        main(**run.arguments("x"))


def test_a_classifier_learns_labels_opens_and_knows_what_it_is_unsure_of(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    import yaml
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from winnow.classifier import Classifier
    from winnow.score.entropy import entropies

    root = Path(__file__).parents[2]
    base = yaml.safe_load((root / "config/encoders.yaml").read_text())["encoders"]["minilm"]
    rows = [f"a {'good fine' if i % 2 else 'bad awful'} film {i}" for i in range(64)]
    table = pa.table({"text": rows, "label": pa.array([i % 2 for i in range(64)], pa.int32())})
    (tmp_path / "elsewhere").mkdir()
    split = (
        tmp_path / "elsewhere" / "labelled.parquet"
    )  # what is read is an argument, not a name beside another
    pq.write_table(table, split)
    (tmp_path / "manifest.json").write_text(
        json.dumps({"ids": {"corpus": "toy"}, "classes": ["bad", "good"]})
    )
    spec = {"model": {"kind": "classifier", "encoder": "minilm", "max_tokens": 16, "recipe": "r"},
            "recipe": {**RECIPE, "steps": 12, "batch": 8, "learning_rate": 2e-4},
            "training_seed": 0, "names": {"model": "m"}, "base": base}  # fmt: skip
    main(subset=tmp_path / "manifest.json", split=[split], spec=canonical(spec),
         out=tmp_path / "out" / "manifest.json")  # fmt: skip
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert model.config.id2label == {0: "bad", 1: "good"}
    history = json.loads((tmp_path / "out" / "metrics.json").read_text())["history"]
    assert history[-1][0] < history[0][0]

    clear = [f"a good fine film {i}" for i in range(70, 78)] + [
        f"a bad awful film {i}" for i in range(70, 78)
    ]
    torn = [f"a good awful bad fine film {i}" for i in range(70, 78)]
    entropy, label = entropies(Classifier(tmp_path / "out"), clear + torn)
    assert label[:16].tolist() == [1] * 8 + [0] * 8
    assert ((entropy >= 0) & (entropy <= np.log(2))).all()
    assert entropy[:16].mean() < entropy[16:].mean()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    for text, found in zip(clear + torn, entropy, strict=True):  # alone, without padding
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=16)
        share = torch.softmax(model(**inputs).logits[0].double(), 0).detach().numpy()
        assert found == pytest.approx(-(share * np.log(share)).sum(), abs=1e-4)


def test_inputs_that_a_kind_of_model_lacks_are_one_line(undisturbed: Run) -> None:
    arguments = undisturbed.arguments("none")
    with pytest.raises(InputError, match="needs --tokens, --tokens-meta, --tokenizer and --tokenizer-config"):
        main(**{**arguments, "tokenizer_config": []})
    spec = json.loads(arguments["spec"])
    spec["model"] = {"kind": "classifier", "encoder": "minilm", "max_tokens": 16, "recipe": "r"}
    with pytest.raises(InputError, match="a classifier needs --split"):
        main(**{**arguments, "spec": canonical(spec)})


def history(run: Run, out: str) -> np.ndarray:
    return np.array(json.loads((run.folder / out / "metrics.json").read_text())["history"])


@pytest.mark.slow
def test_two_processes_train_as_one(undisturbed: Run) -> None:
    arguments = undisturbed.arguments("pair", steps=6, batch=4, micro_batch=4)
    line = [sys.executable, "-m", "winnow.train.loop", "--processes", "2"]
    for key, value in arguments.items():
        line += ["--" + key.replace("_", "-"), str(value[0] if isinstance(value, list) else value)]
    subprocess.run(line, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    main(**undisturbed.arguments("single", steps=6, batch=4, micro_batch=4))
    np.testing.assert_allclose(history(undisturbed, "pair"), history(undisturbed, "single"), rtol=1e-4)
    assert json.loads((undisturbed.folder / "pair" / "timings.json").read_text())["processes"] == 2


def test_metrics_and_curves_are_there(undisturbed: Run) -> None:
    folder = undisturbed.folder / "whole"
    timings = json.loads((folder / "timings.json").read_text())
    assert 0 < timings["model_flops_utilisation"] < 1
    assert timings["kwh_estimate"] == pytest.approx(timings["cpu_hours"] * timings["watts_assumed"] / 1000)
    assert timings["targets_per_second"] == pytest.approx(60 * 4 * 16 / timings["seconds"])
    assert sorted(json.loads((folder / "metrics.json").read_text())) == ["history", "model_flops"]
    (events,) = (folder / "tensorboard").iterdir()
    for name in (b"loss", b"learning_rate", b"gradient_norm", b"targets_per_second"):
        assert name in events.read_bytes()


def test_documents_stand_alone_without_end_of_text(undisturbed: Run) -> None:
    task = LanguageModel(MODEL, undisturbed.folder / "t.npy", 400, 0, "cpu", False, documents=True)
    stream = np.load(undisturbed.folder / "t.npy")
    texts = [part for part in np.split(stream, np.flatnonzero(stream == 0) + 1) if len(part)]
    rows = [part[:-1][:16].astype(np.int64) for part in texts if len(part) > 2]
    assert task.rows == len(rows)
    inputs, targets = task.windows(np.arange(task.rows))
    for row, wanted in enumerate(rows):
        n = len(wanted) - 1
        assert inputs[row, :n].tolist() == wanted[:-1].tolist()
        assert targets[row, :n].tolist() == wanted[1:].tolist()
        assert (targets[row, n:] == -1).all()
    assert task.targets(np.arange(task.rows)) == int((targets >= 0).sum())


def test_compiled_attention_is_causal_and_has_no_mask(undisturbed: Run) -> None:
    """A mask in memory costs flash attention, and a GPU half its speed."""
    import torch

    task = LanguageModel(MODEL, undisturbed.folder / "t.npy", 400, 0, "cpu", False)
    attention = []

    def backend(graph: torch.fx.GraphModule, _example: list) -> torch.fx.GraphModule:
        attention.extend(n for n in graph.graph.nodes if "scaled_dot_product" in str(n.target))
        return graph

    rows = np.arange(4)
    eager = float(task.loss(rows)[0].detach())
    task.body = torch.compile(task.model.gpt_neox, backend=backend)
    assert float(task.loss(rows)[0].detach()) == pytest.approx(eager, rel=1e-5)
    assert len(attention) == MODEL["layers"]
    for node in attention:
        assert len(node.args) == 3
        assert node.kwargs["is_causal"]
        assert node.kwargs.get("attn_mask") is None


def test_padding_changes_no_loss(undisturbed: Run) -> None:
    import torch

    torch.manual_seed(0)
    task = LanguageModel(MODEL, undisturbed.folder / "t.npy", 400, 0, "cpu", False, documents=True)
    rows = np.arange(8)
    alone = sum(float(task.loss(rows[i : i + 1])[0].detach()) for i in rows)
    assert float(task.loss(rows)[0].detach()) == pytest.approx(alone, rel=1e-4)


def test_the_studys_optimiser_decays_through_the_gradient(undisturbed: Run) -> None:
    """Coupled L2 is divided by the root of the second moment: weights without a gradient shrink at the full rate."""
    import torch

    for kind, shrunk in (("adam", 0.1), ("adamw", 0.001)):
        layer = torch.nn.Linear(2, 2)
        before = layer.weight.detach().clone()
        optimiser = make_optimiser(layer, {**RECIPE, "optimizer": kind, "weight_decay": 0.01})
        optimiser.param_groups[0]["lr"] = 0.1
        layer.weight.grad, layer.bias.grad = torch.zeros(2, 2), torch.zeros(2)
        optimiser.step()
        moved = (before - layer.weight.detach()).abs()
        wanted = shrunk if kind == "adam" else shrunk * before.abs()
        torch.testing.assert_close(moved, torch.as_tensor(wanted).expand(2, 2), rtol=1e-3, atol=1e-6)


def test_lengths_of_a_recipe() -> None:
    assert steps_of({"steps": 5, "batch": 4}, 100, 16) == 5
    assert steps_of({"tokens": 129, "batch": 4}, 100, 16) == 3
    assert steps_of({"epochs": 2, "batch": 4}, 100, 16) == 50


def test_a_run_goes_on_from_a_checkpoint_of_its_shape(undisturbed: Run) -> None:
    folder = undisturbed.folder / "whole"
    start = {
        "folder": str(folder),
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
    }
    arguments = undisturbed.arguments("more", steps=1)
    spec = json.loads(arguments["spec"])
    spec["model"]["start"] = start
    main(**{**arguments, "spec": canonical(spec)})
    assert history(undisturbed, "more")[0, 0] < history(undisturbed, "whole")[0, 0] - 0.5
    spec["model"]["layers"] = 2
    with pytest.raises(InputError, match=r"num_hidden_layers is 1, the model's is 2"):
        main(**{**arguments, "spec": canonical(spec), "out": undisturbed.folder / "other" / "manifest.json"})


@pytest.mark.slow
def test_a_run_goes_on_from_a_pinned_commit_of_the_hub(undisturbed: Run, tmp_path: Path) -> None:
    """A stand-in of the Hub's cache, as snapshot_download leaves it."""
    sha, folder = "0123456789abcdef0123456789abcdef01234567", undisturbed.folder / "whole"
    snapshot = tmp_path / "models--owner--name" / "snapshots" / sha
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(folder)
    (tmp_path / "models--owner--name" / "refs").mkdir()
    arguments = undisturbed.arguments("hub", steps=1)
    spec = json.loads(arguments["spec"])
    for revision, code in ((sha, 0), ("f" * 40, 1)):
        spec["model"]["start"] = {"hub": "owner/name", "revision": revision}
        line = [sys.executable, "-m", "winnow.train.loop"]
        for key, value in {**arguments, "spec": canonical(spec)}.items():
            line += ["--" + key.replace("_", "-"), str(value[0] if isinstance(value, list) else value)]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(line, capture_output=True, text=True, env=env)
        assert done.returncode == code, done.stderr
    assert "is not in the Hub cache" in done.stderr
    assert history(undisturbed, "hub")[0, 0] < history(undisturbed, "whole")[0, 0] - 0.5
