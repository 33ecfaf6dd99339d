"""What a user would lose if completions were generated or measured wrongly: texts that depend on the batch or on other
items, samples that are not the model's distribution, arms that cannot be compared, a repetitive model that looks varied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from winnow import metrics
from winnow.completion_metrics import COMPLETION, COMPLETION_METRICS
from winnow.config.checks import resolve
from winnow.config.files import definition_files, read_files
from winnow.evaluate import benchmarks, completions, harness
from winnow.evaluate.forms import completion as form
from winnow.evaluate.items import HeldOut
from winnow.schema import schema
from winnow.stage import InputError, canonical, read_json

ROOT = Path(__file__).parents[2]
TEXTS = [f"The {a} {b} walked {c} the old house. It was {d} and very quiet there! Then the {b} went home to sleep."
         for a in ("red", "big", "wise") for b in ("cat", "dog", "bird") for c in ("into", "past") for d in ("cold", "warm")]  # fmt: skip
SETTINGS = {"words": 4, "tokens": 12, "samples": 2}


@pytest.fixture(scope="module")
def neox(tmp_path_factory) -> Path:
    """A random GPT-NeoX with a byte-level BPE of 300 tokens and a context of 64."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("neox")
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(TEXTS, vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False)
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer,
        eos_token="<|endoftext|>",
        bos_token="<|endoftext|>",
        model_max_length=64,
    )
    made.save_pretrained(folder)
    torch.manual_seed(0)
    config = GPTNeoXConfig(vocab_size=len(made), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                           intermediate_size=64, max_position_embeddings=64, initializer_range=0.3,
                           bos_token_id=0, eos_token_id=0)  # fmt: skip
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    return folder


def held(texts: list[str] = TEXTS) -> HeldOut:
    n = len(texts)
    return HeldOut(np.arange(n) * 7, texts, [f"g{i % 3}" for i in range(n)], [None] * n)


def write(folder: Path, settings: dict[str, Any] = SETTINGS, items: int = 20, order: Any = None) -> Path:
    rows = form.make(held(), items, 0, settings)
    if order is not None:
        rows = {name: [column[i] for i in order] for name, column in rows.items()}
    benchmarks.write_local(folder, "stories", "completion", rows, {})
    return folder


def evaluate(model: Path, folder: Path, out: Path, settings: dict[str, Any] = SETTINGS, batch_size: int = 0, seed: int = 0) -> tuple[list[dict[str, Any]], dict[str, Any]]:  # fmt: skip
    definition = {"heldout": "completion", "completion": settings, "seed": seed}
    spec = {"ids": {"corpus": "c"}, "suite": "s", "benchmarks": {"stories": definition}}
    harness.evaluate(
        model=model, benchmarks=[folder], spec=canonical(spec), out_dir=out, batch_size=batch_size
    )
    return pq.read_table(out / "items.parquet").to_pylist(), read_json(out / "results.json")


@pytest.fixture(scope="module")
def evaluated(neox, tmp_path_factory) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    folder = write(tmp_path_factory.mktemp("stories"))
    return evaluate(neox, folder, tmp_path_factory.mktemp("out"))


def test_every_item_has_every_metric_with_a_direction(evaluated) -> None:
    rows, results = evaluated
    assert len(rows) == 20 * len(COMPLETION_METRICS)
    assert {row["metric"] for row in rows} == set(COMPLETION_METRICS)
    assert len({(row["item"], row["metric"]) for row in rows}) == len(rows)
    assert {row["group"] for row in rows} == {"g0", "g1", "g2"}
    assert results["higher_is_better"]["stories"] == COMPLETION_METRICS
    assert results["items"] == {"stories": 20}
    for metric in COMPLETION_METRICS:
        values = [row["value"] for row in rows if row["metric"] == metric]
        low, high = metrics.bounds(metric)
        assert low <= min(values) <= max(values) <= high
        assert results["tasks"]["stories"][metric] == pytest.approx(np.mean(values))
    example = results["completions"]["stories"][0]
    assert TEXTS[example["item"] // 7].startswith(f"{example['prompt']} {example['continuation']}")
    assert len(example["sampled"]) == 2
    assert len({example["greedy"], *example["sampled"]}) == 3


def test_neither_the_batch_nor_the_order_of_items_changes_a_text(evaluated, neox, tmp_path: Path) -> None:
    folder = write(tmp_path / "b")
    for name, options in {"one": {"batch_size": 1}, "eight": {"batch_size": 8}}.items():
        rows, results = evaluate(neox, folder, tmp_path / name, **options)
        assert rows == evaluated[0]
        assert results["completions"] == evaluated[1]["completions"]
    back = write(tmp_path / "back", order=range(19, -1, -1))
    assert evaluate(neox, back, tmp_path / "c") == evaluated
    few = {row["item"] for row in evaluate(neox, write(tmp_path / "few", items=5), tmp_path / "d")[0]}
    rows = evaluate(neox, tmp_path / "few", tmp_path / "d")[0]
    assert [row for row in evaluated[0] if row["item"] in few] == rows


def test_another_seed_is_another_sample_and_the_same_greedy_text(evaluated, neox, tmp_path: Path) -> None:
    rows, results = evaluate(neox, write(tmp_path / "b"), tmp_path / "out", seed=1)
    pairs = list(zip(results["completions"]["stories"], evaluated[1]["completions"]["stories"], strict=True))
    assert all(one["greedy"] == other["greedy"] for one, other in pairs)
    assert all(one["sampled"] != other["sampled"] for one, other in pairs)
    more = evaluate(neox, tmp_path / "b", tmp_path / "more", {**SETTINGS, "samples": 3})[1]
    first = [one["sampled"] for one in evaluated[1]["completions"]["stories"]]
    assert [one["sampled"][:2] for one in more["completions"]["stories"]] == first
    assert rows != evaluated[0]


def test_greedy_is_the_most_probable_token_and_samples_follow_the_distribution(neox) -> None:
    import torch

    u = completions.quantiles(np.arange(4000), np.ones(4000, np.int64), 1, 0)
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(4000, 1)
    for temperature, expected in ((1.0, [0.5, 0.3, 0.15, 0.05]), (2.0, None)):
        out = completions.chooser(u, 3, temperature)(torch.zeros(4000, 3), logits)
        counts = np.bincount(out.argmax(-1).numpy(), minlength=4)
        if expected is None:
            expected = np.sqrt([0.5, 0.3, 0.15, 0.05])
        assert stats.chisquare(counts, 4000 * np.array(expected) / sum(expected)).pvalue > 0.001
        assert (torch.isfinite(out).sum(-1) == 1).all()
    greedy = completions.chooser(completions.quantiles(np.arange(3), np.zeros(3, np.int64), 1, 0), 3, 1.0)
    assert (greedy(torch.zeros(3, 3), logits[:3]).argmax(-1) == 0).all()


def test_greedy_texts_are_those_of_generate_alone(evaluated, neox, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(neox).eval(), AutoTokenizer.from_pretrained(neox)
    for example in evaluated[1]["completions"]["stories"][:3]:
        given = torch.tensor([tokenizer.encode(example["prompt"])])
        out = model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=12, do_sample=False)
        assert tokenizer.decode(out[0, given.shape[1] :], skip_special_tokens=True) == example["greedy"]


def test_settings_of_a_model_change_nothing(evaluated, neox, tmp_path: Path) -> None:
    import json
    import shutil

    model = tmp_path / "model"
    shutil.copytree(neox, model)
    own = {
        "do_sample": True,
        "temperature": 0.1,
        "repetition_penalty": 5.0,
        "eos_token_id": 3,
        "max_length": 3,
    }
    (model / "generation_config.json").write_text(json.dumps(own))
    assert evaluate(model, write(tmp_path / "b"), tmp_path / "out")[0] == evaluated[0]


def test_a_prompt_longer_than_the_context_loses_its_first_words_and_no_room_is_one_line(
    neox, tmp_path: Path
) -> None:
    settings = {"words": 12, "tokens": 60, "samples": 0}
    data = {"item": [0], "group": [None], "prompt": [TEXTS[0]], "continuation": ["the end of it"]}
    benchmarks.write_local(tmp_path / "b", "stories", "completion", data, {})
    rows, results = evaluate(neox, tmp_path / "b", tmp_path / "out", settings)
    assert {row["metric"] for row in rows} == {m for m in COMPLETION_METRICS if m.startswith("greedy")}
    assert results["completions"]["stories"][0]["greedy"]
    with pytest.raises(
        InputError, match="64 leaves no room for a prompt in the model's context of 64 tokens"
    ):
        evaluate(neox, tmp_path / "b", tmp_path / "out", {**settings, "tokens": 64})


def test_completions_go_with_other_benchmarks_in_one_suite(neox, evaluated, tmp_path: Path) -> None:
    base = {"item": list(range(24)), "group": [None] * len(TEXTS[:24]), "text": TEXTS[:24]}
    benchmarks.write_local(tmp_path / "bpb", "bpb", "bits-per-byte", base, {})
    definitions = {"bpb": {"heldout": "bits-per-byte"},
                   "stories": {"heldout": "completion", "completion": SETTINGS}}  # fmt: skip
    spec = {"ids": {"corpus": "c"}, "suite": "s", "benchmarks": definitions}
    folders = [write(tmp_path / "b"), tmp_path / "bpb"]
    harness.evaluate(model=neox, benchmarks=folders, spec=canonical(spec), out_dir=tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "items.parquet").to_pylist()
    assert [row for row in rows if row["benchmark"] == "stories"] == evaluated[0]
    assert {row["metric"] for row in rows if row["benchmark"] == "bpb"} == {"bits_per_byte"}
    results = read_json(tmp_path / "out" / "results.json")
    assert set(results["leaves"]) == set(results["higher_is_better"]) == {"bpb", "stories"}


# ---------------------------------------------------------------- items


def test_a_prompt_is_the_start_of_its_document_and_the_continuation_follows() -> None:
    rows = form.make(held(), 10, 0, SETTINGS)
    assert len(rows["item"]) == 10
    for item, prompt, continuation in zip(rows["item"], rows["prompt"], rows["continuation"], strict=True):
        assert TEXTS[item // 7].startswith(f"{prompt} {continuation}")
        assert (len(prompt.split()), len(continuation.split())) == (4, 6)
    assert form.make(held(), 5, 0, SETTINGS)["item"] == sorted(
        set(rows["item"]) & set(form.make(held(), 5, 0, SETTINGS)["item"])
    )
    assert form.make(held(), 10, 1, SETTINGS)["item"] != rows["item"]


def test_documents_that_are_too_short_are_left_out_and_none_left_is_one_line() -> None:
    rows = form.make(held(["too short", *TEXTS[:3]]), 10, 0, SETTINGS)
    assert rows["item"] == [7, 14, 21]
    with pytest.raises(InputError, match="none of 2 held-out documents has 10 words, 4 of the prompt and 6"):
        form.make(held(["too short", ""]), 10, 0, SETTINGS)


def test_a_script_without_spaces_is_cut_by_characters() -> None:
    text = "从前有一个小女孩她叫丽丽她喜欢在花园里玩耍每天都很开心"
    prompt, continuation = form.split(text, 4, 6)
    assert (prompt, continuation) == (text[:8], text[8:20])


def test_the_benchmark_is_made_of_heldout_documents_alone(tmp_path: Path) -> None:
    docs = tmp_path / "0000.parquet"
    pq.write_table(pa.table({"doc": list(range(len(TEXTS))), "text": TEXTS}), docs)
    pq.write_table(pa.table({"doc": [3, 5, 8], "role": ["heldout"] * 3}), tmp_path / "heldout.parquet")
    spec = {
        "benchmark": {"heldout": "completion", "completion": SETTINGS, "items": 9},
        "name": "b",
        "group": None,
    }
    benchmarks.heldout(source=tmp_path / "none.json", documents=[docs], heldout=tmp_path / "heldout.parquet",
                       spec=canonical(spec), out_dir=tmp_path / "b")  # fmt: skip
    assert pq.read_table(tmp_path / "b" / "data.parquet")["item"].to_pylist() == [3, 5, 8]
    manifest = read_json(tmp_path / "b" / "manifest.json")
    assert (manifest["kind"], list(manifest["files"])) == ("completion", ["data.parquet"])
    assert "classes" not in manifest


# ---------------------------------------------------------------- measures


def test_measures_are_those_worked_out_by_hand() -> None:
    chrf = completions.chrf_scorer()
    of = completions.measures("The cat sat. The cat sat. The cat", "The cat sat on a mat. It slept", chrf)
    assert of["distinct_1"] == 3 / 8
    assert of["distinct_2"] == 3 / 7
    assert of["distinct_3"] == 3 / 6
    assert of["repetition"] == pytest.approx(1 - 3 / 5)
    assert of["ends_sentence"] == 1
    assert of["word_length_gap"] == pytest.approx(abs(24 / 8 - 22 / 8))
    assert of["sentence_length_gap"] == abs(8 / 2 - 8 / 1)
    assert 0 < of["chrf"] < 1
    same = completions.measures("and then they slept.", "and then they slept.", chrf)
    assert (same["chrf"], same["word_length_gap"], same["sentence_length_gap"]) == (1, 0, 0)
    empty = completions.measures("", "and then they slept.", chrf)
    assert {m: empty[m] for m in ("distinct_1", "repetition", "ends_sentence", "chrf")} == dict.fromkeys(
        ("distinct_1", "repetition", "ends_sentence", "chrf"), 0
    )
    assert set(of) == set(COMPLETION)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("He said.", 1),
        ('"Go!" he said', 1),
        ('he said. "', 1),
        ("no end", 0),
        ("3.5 miles", 0),
        ("从前有一个。", 1),
        ("", 0),
    ],
)
def test_the_end_of_a_sentence(text: str, ends: int) -> None:
    assert completions.measures(text, "x", completions.chrf_scorer())["ends_sentence"] == ends


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("benchmark", "message"),
    [
        ({"heldout": "completion"}, "heldout: completion requires the key completion"),
        ({"heldout": "cloze", "completion": {}}, "completion: goes with heldout: completion only"),
        ({"heldout": "completion", "completion": {"token": 3}}, "unknown key 'token'; did you mean 'tokens'"),
        (
            {"heldout": "completion", "completion": {}, "metrics": ["chrf"]},
            "metrics[0]: 'chrf' is not one of greedy_",
        ),
        (
            {"heldout": "completion", "completion": {"samples": 0}, "metrics": ["sampled_chrf"]},
            "'sampled_chrf' requires completion.samples above 0",
        ),
    ],
)
def test_wrong_settings_are_one_line(benchmark: dict[str, Any], message: str) -> None:
    config = read_files(definition_files(ROOT))
    config["benchmarks"]["mine"] = benchmark
    with pytest.raises(InputError) as caught:
        resolve(config)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_defaults_of_the_stage_are_those_of_the_schema() -> None:
    defaults = {k: p["default"] for k, p in schema()["$defs"]["completion"]["properties"].items()}
    assert form.settings({}) == defaults
    config = read_files(definition_files(ROOT))
    config["benchmarks"]["mine"] = {"heldout": "completion", "completion": {}}
    assert resolve(config)["benchmarks"]["mine"]["completion"] == defaults
    assert defaults["samples"] * 10 <= completions.SAMPLES
    assert schema()["$defs"]["completion"]["properties"]["tokens"]["maximum"] <= completions.POSITIONS
