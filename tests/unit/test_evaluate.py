"""What a user would lose if evaluation were wrong: figures of a partly random model, items of another order, numbers that
lm-eval's own command line does not give."""

import gzip
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from winnow.evaluate import benchmarks
from winnow.evaluate import harness as evaluate
from winnow.stage import InputError, canonical, read_json

TEXTS = [f"The {a} {b} walked {c} the old house. It was {d} and very quiet there!" for a in ("red", "big", "wise")
         for b in ("cat", "dog", "bird") for c in ("into", "past") for d in ("cold", "warm")]  # fmt: skip


def tokenizer(folder: Path):
    """A byte-level BPE of 300 tokens trained on the spot."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(TEXTS, vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False)
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer,
        eos_token="<|endoftext|>",
        bos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        model_max_length=128,
    )
    made.save_pretrained(folder)
    return made


@pytest.fixture(scope="session")
def neox(tmp_path_factory) -> Path:
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    folder = tmp_path_factory.mktemp("neox")
    made = tokenizer(folder)
    torch.manual_seed(0)
    config = GPTNeoXConfig(vocab_size=len(made), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                           intermediate_size=64, max_position_embeddings=128, initializer_range=0.3,
                           bos_token_id=0, eos_token_id=0)  # fmt: skip
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def classifier(tmp_path_factory) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("bert")
    made = tokenizer(folder)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(made), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=32, max_position_embeddings=128, num_labels=2, initializer_range=1.0)  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, tuple[Path, dict]]:
    """Local benchmarks of every kind and mirrors of two stock tasks: folder and definition by name."""
    root = tmp_path_factory.mktemp("benchmarks")
    n = len(TEXTS)
    rows = {
        "bpb": ("bits-per-byte", {"text": [t * (1 + i % 5) for i, t in enumerate(TEXTS)]}),
        "cloze": ("cloze", {"context": [t[:20] for t in TEXTS], "label": [i % 2 for i in range(n)],
                            "choices": [["walked on", "it was {{7*7}}"]] * n}),
        "pairs": ("minimal-pairs", {"choices": [[t, t[::-1]] for t in TEXTS], "label": [0] * n}),
        "labels": ("labels", {"text": TEXTS, "label": [i % 2 for i in range(n)]}),
    }  # fmt: skip
    made: dict[str, tuple[Path, dict]] = {}
    for name, (form, columns) in rows.items():
        base = {"item": [7 * i for i in range(n)], "group": [f"g{i % 3}" for i in range(n)]}
        classes = {"classes": ["LABEL_0", "LABEL_1"]} if form == "labels" else {}
        benchmarks.write_local(root / name, name, form, {**base, **columns}, classes)
        definition = {"grammar": form} if form == "minimal-pairs" else {"heldout": form}
        made[name] = (root / name, definition)
    arc = [{"id": str(i), "question": f"Which {i}?", "answerKey": "ABCD"[i % 4],
            "choices": {"text": [f"the {j} of {i}" for j in ("cat", "old house", "bird", "dog")], "label": list("ABCD")}}
           for i in range(40)]  # fmt: skip
    stock = {
        "arc": ("arc_challenge", {"train": arc[:3], "test": arc}),
        "lambada": ("lambada_openai", {"test": [{"text": t} for t in TEXTS]}),
    }
    for name, (task, splits) in stock.items():
        files = {}
        for split, items in splits.items():
            files[split] = str(root / f"{name}-{split}.jsonl.gz")
            with gzip.open(files[split], "wt") as file:
                file.writelines(json.dumps(item) + "\n" for item in items)
        definition = {"task": task, "data": {"files": files}}
        benchmarks.mirror(spec=canonical({"benchmark": definition, "name": name}), out_dir=root / name)
        made[name] = (root / name, {**definition, "items": 20})
    return made


def run(
    model: Path, folders: dict, names: list[str], out: Path, batch_size: int = 0
) -> tuple[list[dict], dict]:
    spec = {"ids": {"corpus": "c"}, "suite": "s", "benchmarks": {name: folders[name][1] for name in names}}
    evaluate.evaluate(
        model=model,
        benchmarks=[folders[name][0] for name in reversed(names)],
        spec=canonical(spec),
        out_dir=out,
        batch_size=batch_size,
    )
    return pq.read_table(out / "items.parquet").to_pylist(), read_json(out / "results.json")


ALL = ["bpb", "cloze", "pairs", "arc", "lambada"]


@pytest.fixture(scope="session")
def evaluated(neox, folders, tmp_path_factory) -> tuple[list[dict], dict]:
    return run(neox, folders, ALL, tmp_path_factory.mktemp("out"))


def figure(rows: list[dict], benchmark: str, metric: str) -> float:
    kept = [r for r in rows if (r["benchmark"], r["metric"]) == (benchmark, metric)]
    if metric == "perplexity":
        return math.exp(-np.mean([r["value"] for r in kept]))
    return np.average([r["value"] for r in kept], weights=[r["weight"] for r in kept])


@pytest.mark.parametrize(
    ("benchmark", "task", "metric"),
    [
        ("bpb", "bpb", "bits_per_byte"),
        ("cloze", "cloze", "acc_norm"),
        ("pairs", "pairs", "acc"),
        ("arc", "arc_challenge", "acc"),
        ("lambada", "lambada_openai", "perplexity"),
    ],
)
def test_items_add_up_to_the_figures_of_lm_eval(evaluated, benchmark, task, metric):
    rows, results = evaluated
    assert figure(rows, benchmark, metric) == pytest.approx(
        results["tasks"][task][f"{metric},none"], rel=1e-9
    )


def test_bits_per_byte_is_that_of_the_model(evaluated, neox, folders):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows, _ = evaluated
    text = pq.read_table(folders["bpb"][0] / "data.parquet")["text"].to_pylist()
    model, tok = AutoModelForCausalLM.from_pretrained(neox), AutoTokenizer.from_pretrained(neox)
    for row in [r for r in rows if r["benchmark"] == "bpb"][:5]:
        own = text[row["item"] // 7]
        ids = tok(own)["input_ids"]
        if len(ids) > 128:
            continue
        with torch.no_grad():
            logits = model(torch.tensor([[0, *ids[:-1]]])).logits[0].log_softmax(-1)
        nats = -logits[torch.arange(len(ids)), torch.tensor(ids)].sum().item()
        assert row["value"] == pytest.approx(nats / math.log(2) / len(own.encode()), rel=1e-5)
        assert row["weight"] == len(own.encode())


def test_items_keep_their_ids_groups_labels_and_predictions(evaluated):
    rows, results = evaluated
    cloze = [r for r in rows if r["benchmark"] == "cloze" and r["metric"] == "acc"]
    assert [r["item"] for r in cloze] == [7 * i for i in range(len(TEXTS))]
    assert {r["group"] for r in cloze} == {"g0", "g1", "g2"}
    arc = [r for r in rows if r["benchmark"] == "arc"]
    assert sorted({r["item"] for r in arc}) == list(range(20))  # `items` of the definition
    assert all(r["value"] == float(r["label"] == r["prediction"]) for r in cloze + arc)
    assert results["limits"] == {"arc": 20, "lambada": 20}
    assert results["ids"] == {"corpus": "c", "suite": "s"}
    assert results["dtype"] == "float32"
    assert all(np.argmax(r["scores"]) == r["prediction"] and max(r["scores"]) < 0 for r in cloze)


def test_a_checkpoint_in_half_precision_has_no_more_ties(evaluated, neox, folders, tmp_path):
    """Log-likelihoods in bfloat16 are whole nats: choices tie, and the first wins."""
    import torch
    from transformers import AutoModelForCausalLM

    half = shutil.copytree(neox, tmp_path / "half")
    AutoModelForCausalLM.from_pretrained(neox).to(torch.bfloat16).save_pretrained(half)
    rows, results = run(half, folders, ["cloze"], tmp_path / "out")
    assert results["dtype"] == "float32"
    near = {r["item"]: r["scores"] for r in evaluated[0] if r["benchmark"] == "cloze"}
    for row in rows:
        assert len(set(row["scores"])) == len(set(near[row["item"]]))
        assert row["scores"] == pytest.approx(near[row["item"]], rel=0.02)


def test_batch_size_changes_no_choice_and_no_figure_beyond_rounding(evaluated, neox, folders, tmp_path):
    rows, _ = run(neox, folders, ALL, tmp_path, batch_size=3)
    for one, other in zip(evaluated[0], rows, strict=True):
        assert {**one, "value": 0, "scores": 0} == {**other, "value": 0, "scores": 0}
        assert one["value"] == pytest.approx(other["value"], rel=1e-4)
        assert one["scores"] == other["scores"] or one["scores"] == pytest.approx(other["scores"], rel=1e-4)


def test_moved_folders_give_the_same_items(evaluated, neox, folders, tmp_path):
    moved = {name: (shutil.copytree(folders[name][0], tmp_path / name), folders[name][1]) for name in ALL}
    assert run(neox, moved, ALL, tmp_path / "out")[0] == evaluated[0]


def test_two_equal_evaluations_are_equal_files_but_for_their_timings(neox, folders, tmp_path):
    for name in ("one", "other"):
        run(neox, folders, ["bpb", "cloze"], tmp_path / name)
    for file in ("results.json", "items.parquet"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()
    timings = read_json(tmp_path / "one" / "timings.json")
    assert timings["seconds"]["total"] > 0
    assert timings["device"] in ("cpu", "cuda")


def test_a_published_model_is_evaluated_from_its_source(evaluated, neox, folders, tmp_path):
    digest = hashlib.sha256((neox / "model.safetensors").read_bytes()).hexdigest()
    weights = {"folder": str(neox), "sha256": digest}
    ids = {"corpus": "c", "pretrained": "big"}
    definitions = {name: folders[name][1] for name in ALL}
    spec = {"ids": ids, "suite": "s", "benchmarks": definitions, "weights": weights}
    sources = [folders[name][0] for name in ALL]
    evaluate.evaluate(benchmarks=sources, spec=canonical(spec), out_dir=tmp_path)
    assert pq.read_table(tmp_path / "items.parquet").to_pylist() == evaluated[0]
    assert read_json(tmp_path / "results.json")["ids"] == {**ids, "suite": "s"}
    with pytest.raises(InputError, match="but 0000"):
        evaluate.evaluate(
            benchmarks=sources,
            spec=canonical({**spec, "weights": {**weights, "sha256": "0" * 64}}),
            out_dir=tmp_path,
        )
    with pytest.raises(InputError, match="either --model or the key 'weights'"):
        evaluate.evaluate(model=neox, benchmarks=sources, spec=canonical(spec), out_dir=tmp_path)


def test_no_cache_is_left(neox, folders, tmp_path):
    (tmp_path / ".cache-of-a-killed-job").mkdir()
    run(neox, folders, ["cloze"], tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["items.parquet", "results.json", "timings.json"]


def test_a_classifier_is_scored_by_accuracy_and_f1(classifier, folders, tmp_path):
    from sklearn.metrics import f1_score

    rows, results = run(classifier, folders, ["labels"], tmp_path)
    label, guess = [r["label"] for r in rows], [r["prediction"] for r in rows]
    assert label == [i % 2 for i in range(len(TEXTS))]
    assert results["tasks"]["labels"]["acc"] == np.mean([r["value"] for r in rows])
    assert results["tasks"]["labels"]["f1"] == pytest.approx(f1_score(label, guess, average="macro"))
    small, _ = run(classifier, folders, ["labels"], tmp_path / "b", batch_size=1)
    sure = [[r.pop("confidence") for r in several] for several in (rows, small)]
    assert small == rows
    assert sure[1] == pytest.approx(sure[0], rel=1e-5)
    assert all(0.5 <= p <= 1 for p in sure[0])  # of two classes


def test_the_confidence_of_a_classifier_is_the_probability_of_its_prediction(classifier, folders, tmp_path):
    """Calibration of fine-tuned classifiers is measured from it; items of language models have no such column."""
    from winnow.classifier import Classifier

    rows, results = run(classifier, folders, ["labels"], tmp_path)
    texts = pq.read_table(folders["labels"][0] / "data.parquet").sort_by("item")["text"].to_pylist()
    p = np.exp(Classifier(classifier).log_probabilities(texts))
    rows = sorted(rows, key=lambda row: row["item"])
    assert [r["confidence"] for r in rows] == pytest.approx(p.max(1).tolist(), rel=1e-5)
    assert [r["prediction"] for r in rows] == p.argmax(1).tolist()
    assert results["classes"] == ["LABEL_0", "LABEL_1"]


def test_items_of_a_language_model_have_no_confidence(neox, folders, tmp_path):
    rows, _ = run(neox, folders, ["cloze"], tmp_path)
    assert "confidence" not in rows[0]


def test_weights_that_were_newly_initialised_are_an_error(neox, classifier, folders, tmp_path):
    from safetensors.torch import load_file, save_file

    for source, name, drop in (
        (neox, "cloze", "query_key_value.weight"),
        (classifier, "labels", "classifier.weight"),
    ):
        broken = shutil.copytree(source, tmp_path / name)
        weights = load_file(broken / "model.safetensors")
        key = next(key for key in weights if key.endswith(drop))
        save_file(
            {k: v for k, v in weights.items() if k != key}, broken / "model.safetensors", {"format": "pt"}
        )
        with pytest.raises(InputError, match=rf"newly initialised.*{drop}"):
            run(broken, folders, [name], tmp_path / "out")
        assert not (tmp_path / "out" / "results.json").exists()


def test_a_model_without_safetensors_is_one_line(neox, folders, tmp_path):
    other = shutil.copytree(neox, tmp_path / "m")
    (other / "model.safetensors").rename(other / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no \.safetensors"):
        run(other, folders, ["cloze"], tmp_path / "out")


def test_models_and_benchmarks_that_do_not_fit_are_one_line(neox, classifier, folders, tmp_path):
    with pytest.raises(InputError, match=r"'labels'.*language model"):
        run(neox, folders, ["labels"], tmp_path)
    with pytest.raises(InputError, match=r"'cloze'.*classifier"):
        run(classifier, folders, ["cloze"], tmp_path)


def test_a_benchmark_of_other_classes_is_one_line(classifier, tmp_path):
    rows = {"item": [0], "group": [None], "text": ["x"], "label": [1]}
    benchmarks.write_local(tmp_path / "b", "labels", "labels", rows, {"classes": ["LABEL_1", "LABEL_0"]})
    with pytest.raises(InputError, match=r"its classes are LABEL_1, LABEL_0, those of .* LABEL_0, LABEL_1"):
        run(classifier, {"labels": (tmp_path / "b", {"heldout": "labels"})}, ["labels"], tmp_path / "out")


def test_folders_that_do_not_match_the_suite_are_one_line(neox, folders, tmp_path):
    spec = canonical({"ids": {}, "suite": "s", "benchmarks": {"cloze": folders["cloze"][1]}})
    with pytest.raises(InputError, match=r"'bpb'.*not in --spec"):
        evaluate.evaluate(
            model=neox, benchmarks=[folders["cloze"][0], folders["bpb"][0]], spec=spec, out_dir=tmp_path
        )


@pytest.mark.slow
def test_figures_equal_those_of_the_lm_eval_command_line(neox, folders, tmp_path):
    """Same model, batch size and stock task names, run inside a folder whose owner/name paths are the mirrors."""
    pytest.importorskip("accelerate", reason="lm_eval's command line needs accelerate")
    for name in ("arc", "lambada"):
        shutil.copytree(folders[name][0], tmp_path / "data", dirs_exist_ok=True)
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={neox}",
               "--tasks", "arc_challenge,lambada_openai", "--limit", "20", "--batch_size", "8", "--device", "cpu",
               "--output_path", str(tmp_path / "cli")]  # fmt: skip
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    subprocess.run(command, cwd=tmp_path / "data", env=env, check=True, capture_output=True)
    (path,) = (tmp_path / "cli").rglob("results_*.json")
    theirs = read_json(path)["results"]
    _, results = run(neox, folders, ["arc", "lambada"], tmp_path / "out", batch_size=8)
    for task, metrics in (("arc_challenge", ("acc", "acc_norm")), ("lambada_openai", ("acc", "perplexity"))):
        for metric in metrics:
            # lm-eval sums the log-probabilities of a continuation in float32
            assert results["tasks"][task][f"{metric},none"] == pytest.approx(
                theirs[task][f"{metric},none"], rel=1e-6
            )


REAL = Path(os.environ.get("WINNOW_DATA", Path(__file__).parents[2] / "../shared/data")) / "benchmarks"


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data at {REAL}; set WINNOW_DATA")
def test_the_real_tasks_run_on_their_mirrors(neox, tmp_path):
    tasks = {
        "winogrande": {"files": {"validation": "winogrande_validation"}},
        "hellaswag": {"files": {"validation": "hellaswag_validation"}},
        "lambada_standard": {"files": {"test": "lambada_standard_test"}},
    }
    made = {}
    for task, data in tasks.items():
        files = {split: str(REAL / f"{name}.jsonl.gz") for split, name in data["files"].items()}
        definition = {"task": task, "data": {"files": files}}
        name = task.replace("_", "-")
        benchmarks.mirror(spec=canonical({"benchmark": definition, "name": name}), out_dir=tmp_path / name)
        made[name] = (tmp_path / name, {**definition, "items": 3})
    rows, _ = run(neox, made, list(made), tmp_path / "out")
    assert {(r["task"], r["item"]) for r in rows} == {(task, i) for task in tasks for i in range(3)}
