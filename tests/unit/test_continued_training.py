"""A classifier that continues the model of the round before: from its weights, under its fingerprint, with all its costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT
from winnow.stage import InputError, canonical
from winnow.train.loop import main

pytestmark = pytest.mark.slow

RECIPE = {"steps": 3, "batch": 8, "micro_batch": 8, "learning_rate": 1e-3, "final_rate": 0.1, "warmup": 0.1,
          "betas": [0.9, 0.95], "epsilon": 1e-8, "weight_decay": 0.1, "clip": 1.0, "precision": "float32"}  # fmt: skip
BASE = yaml.safe_load((ROOT / "config/encoders.yaml").read_text())["encoders"]["minilm"]


class Rounds:
    """Two rounds of an arm: 16 documents, then 24."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for index, size in enumerate((16, 24)):
            rows = [f"a {'good fine' if i % 2 else 'bad awful'} film {i}" for i in range(size)]
            labels = pa.array([i % 2 for i in range(size)], pa.int64())
            subset = folder / f"subset{index}"
            subset.mkdir()
            pq.write_table(pa.table({"text": rows, "label": labels}), subset / "train.parquet")
            manifest = {"ids": {"corpus": "toy", "budget": f"b.round{index}"}, "classes": ["bad", "good"]}
            (subset / "manifest.json").write_text(json.dumps(manifest))

    def arguments(self, index: int, out: str, previous: str = "", **recipe: Any) -> dict[str, Any]:
        model = {"kind": "classifier", "encoder": "minilm", "max_tokens": 16, "recipe": "r"}
        if previous:
            model["rounds"] = "continue"
        spec = {"model": model, "recipe": {**RECIPE, **recipe}, "training_seed": 5, "names": {"model": "m"}, "base": BASE}  # fmt: skip
        subset = self.folder / f"subset{index}"
        return {"subset": subset / "manifest.json", "split": [subset / "train.parquet"], "spec": canonical(spec),
                "previous": [self.folder / previous / "manifest.json"] if previous else [],
                "out": self.folder / out / "manifest.json", "threads": 1, "checkpoint_minutes": 1e-9}  # fmt: skip

    def train(self, *arguments: Any, **recipe: Any) -> dict[str, Any]:
        made = self.arguments(*arguments, **recipe)
        main(**made)
        return json.loads(made["out"].read_text())

    def bytes_of(self, out: str) -> dict[str, bytes]:
        names = ("model.safetensors", "manifest.json", "metrics.json")
        return {name: (self.folder / out / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> Rounds:
    rounds = Rounds(tmp_path_factory.mktemp("continued"))
    rounds.train(0, "first")
    rounds.train(1, "second", "first")
    return rounds


def tensors(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def test_it_starts_from_the_weights_of_the_round_before(rounds: Rounds) -> None:
    rounds.train(1, "still", "first", learning_rate=1e-30, weight_decay=0.0, steps=1)
    one, other = tensors(rounds.folder / "first"), tensors(rounds.folder / "still")
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)


def test_what_its_weights_took_is_counted_with_all_rounds(rounds: Rounds) -> None:
    first, second = (json.loads(rounds.bytes_of(out)["manifest.json"]) for out in ("first", "second"))
    one, other = (json.loads(rounds.bytes_of(out)["metrics.json"]) for out in ("first", "second"))
    assert (first["steps"], second["steps"]) == (3, 6)
    assert (first["training_examples"], second["training_examples"]) == (24, 48)
    assert (first["epochs"], second["epochs"]) == (24 / 16, 48 / 24)
    assert other["history"][:3] == one["history"]
    assert len(other["history"]) == 6
    assert other["model_flops"] > 1.9 * one["model_flops"]
    assert second["continues"] == {"ids": first["ids"], "files": first["files"]}
    assert "continues" not in first
    seconds = [
        json.loads((rounds.folder / out / "timings.json").read_text())["seconds"]
        for out in ("first", "second")
    ]
    assert seconds[1] > seconds[0]


def test_a_killed_round_goes_on_to_the_same_bits(rounds: Rounds, capsys: pytest.CaptureFixture) -> None:
    arguments = repr(rounds.arguments(1, "killed", "first")).replace("PosixPath", "pathlib.Path")
    script = (
        "import os, pathlib, winnow.train.loop as stage\nsave = stage.Checkpoint.save\n"
        "def die(self, step, *rest):\n    save(self, step, *rest)\n    os.kill(os.getpid(), 9)\n"
        f"stage.Checkpoint.save = die\nstage.main(**{arguments})"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert killed.returncode == -9, killed.stderr
    rounds.train(1, "killed", "first")
    assert "continuing from step 1" in capsys.readouterr().err
    assert rounds.bytes_of("killed") == rounds.bytes_of("second")


def test_a_checkpoint_on_another_model_of_the_round_before_is_not_taken_up(
    rounds: Rounds, capsys: pytest.CaptureFixture
) -> None:
    rounds.train(0, "other", learning_rate=5e-4)
    arguments = rounds.arguments(1, "moved", "other")
    script = (
        "import os, pathlib, winnow.train.loop as stage\nsave = stage.Checkpoint.save\n"
        "def die(self, step, *rest):\n    save(self, step, *rest)\n    os.kill(os.getpid(), 9)\n"
        f"stage.Checkpoint.save = die\nstage.main(**{repr(arguments).replace('PosixPath', 'pathlib.Path')})"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == -9
    rounds.train(1, "moved", "first")
    assert "of other settings or inputs: starting clean" in capsys.readouterr().err
    assert rounds.bytes_of("moved")["model.safetensors"] == rounds.bytes_of("second")["model.safetensors"]


def test_what_does_not_go_together_is_one_line(rounds: Rounds, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="and no other, needs --previous"):
        main(**{**rounds.arguments(1, "x", "first"), "previous": []})
    with pytest.raises(InputError, match="and no other, needs --previous"):
        main(**{**rounds.arguments(1, "x"), "previous": rounds.arguments(1, "x", "first")["previous"]})
    other = json.loads((rounds.folder / "subset1/manifest.json").read_text())
    other["classes"] = ["good", "bad"]
    (tmp_path / "manifest.json").write_text(json.dumps(other))
    with pytest.raises(InputError, match="its classes are bad, good, those of the subset good, bad"):
        main(**{**rounds.arguments(1, "x", "first"), "subset": tmp_path / "manifest.json"})
    rounds.train(0, "torn")
    (rounds.folder / "torn/model.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"torn: model\.safetensors is not that of manifest\.json"):
        main(**rounds.arguments(1, "x", "torn"))
    assert not (rounds.folder / "x").exists()


def test_validation_data_changes_nothing(rounds: Rounds) -> None:
    """What is kept is the model of the last step: the validation split beside the train split is not even read."""
    validation = rounds.folder / "subset0/validation.parquet"
    wrong = pa.table({"text": ["a good film"] * 4, "label": pa.array([0] * 4, pa.int64())})
    for written in (lambda: pq.write_table(wrong, validation), lambda: validation.write_bytes(b"no parquet")):
        written()
        rounds.train(0, "validated")
        assert rounds.bytes_of("validated") == rounds.bytes_of("first")
    validation.unlink()


def test_a_class_without_a_training_document_and_one_class_alone_train(
    rounds: Rounds, tmp_path: Path
) -> None:
    """The head has every class of the corpus, whatever the subset holds; missing ones end up unlikely, not impossible."""
    from winnow.classifier import Classifier

    for labels, classes in (([0, 2] * 8, ["a", "b", "c"]), ([1] * 16, ["a", "b"])):
        texts = [f"film {i}" for i in range(16)]
        pq.write_table(
            pa.table({"text": texts, "label": pa.array(labels, pa.int64())}), tmp_path / "t.parquet"
        )
        (tmp_path / "manifest.json").write_text(json.dumps({"ids": {"corpus": "toy"}, "classes": classes}))
        out = tmp_path / f"out{len(classes)}" / "manifest.json"
        main(**{**rounds.arguments(0, "x"), "subset": tmp_path / "manifest.json", "split": [tmp_path / "t.parquet"], "out": out})  # fmt: skip
        log_p = Classifier(out.parent).log_probabilities(texts)
        assert log_p.shape == (16, len(classes))
        assert (log_p > -20).all()
        assert set(log_p.argmax(axis=1)) <= set(labels)
    pq.write_table(
        pa.table({"text": ["a", "b"], "label": pa.array([0, 7], pa.int64())}), tmp_path / "t.parquet"
    )
    with pytest.raises(InputError, match=r"t\.parquet: row 2: label 7 is none of the 2 classes"):
        main(
            **{
                **rounds.arguments(0, "x"),
                "split": [tmp_path / "t.parquet"],
                "out": tmp_path / "y/manifest.json",
            }
        )
