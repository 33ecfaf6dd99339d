"""An NLI model as the judge of labels: what transformers' own zero-shot pipeline says, whatever the shards."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from winnow.profile import entail, measure, zero_shot
from winnow.stage import InputError, canonical, sha256

TEXTS = ["A happy dog ran home.", "", "It rained.", "The cat was sad. " * 30, "A happy dog ran home."]
LABELS = {"joy": ["It is happy."], "fear": ["It is afraid of the dark."], "anger": ["It is mad."]}


@pytest.fixture(scope="module")
def nli(tmp_path_factory) -> Path:
    """A BERT of random weights with the classes of an NLI model."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("nli")
    pieces = BertWordPieceTokenizer()
    texts = [*TEXTS, *(text for texts in LABELS.values() for text in texts)]
    pieces.train_from_iterator(texts, vocab_size=200, show_progress=False)
    pieces.save_model(str(folder))
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    torch.manual_seed(0)
    names = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
    config = BertConfig(vocab_size=200, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=32, max_position_embeddings=64, initializer_range=0.8,
                        id2label=names, label2id={name: i for i, name in names.items()})  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def spec(folder: Path, max_tokens: int = 64, labels=LABELS) -> str:
    source = {"folder": str(folder), "sha256": sha256(folder / "model.safetensors")}
    return canonical({"labels": labels, "source": source, "max_tokens": max_tokens})


def documents(path: Path, rows: list[int]) -> Path:
    pq.write_table(pa.table({"doc": pa.array(rows, pa.int64()), "text": [TEXTS[i] for i in rows]}), path)
    return path


def run(folder: Path, tmp_path: Path, rows: list[int], **more) -> tuple[list[str], np.ndarray]:
    out = tmp_path / "entailment.npz"
    entail.main(documents=documents(tmp_path / "shard.parquet", rows), spec=spec(folder, **more), out=out)
    return measure.read_labels(out, of_documents=True)


def test_labels_are_those_of_the_zero_shot_pipeline(nli, tmp_path):
    from transformers import pipeline

    peer = pipeline("zero-shot-classification", model=str(nli), device="cpu")
    labels, logits = run(nli, tmp_path, list(range(5)))
    settings = {"labels": labels, "logits": logits, "temperature": 1.0}
    ours = zero_shot.measure(TEXTS, None, settings, "emotion")
    assert ours["emotion"][1] is None
    of_text = {texts[0]: label for label, texts in LABELS.items()}
    for row in (0, 2, 3):
        theirs = peer(TEXTS[row], list(of_text), hypothesis_template="{}")
        assert of_text[theirs["labels"][0]] == ours["emotion"][row]
        assert ours["emotion_probability"][row] == pytest.approx(theirs["scores"][0], rel=1e-4)
    assert np.ptp(logits, axis=0).min() > 1e-3  # the model tells texts apart
    np.testing.assert_array_equal(logits[0], logits[4])


def test_shards_and_the_order_of_labels_change_nothing(nli, tmp_path):
    labels, whole = run(nli, tmp_path, list(range(5)))
    assert labels == ["anger", "fear", "joy"]
    other, same = run(nli, tmp_path, list(range(5)), labels=dict(reversed(LABELS.items())))
    assert other == labels
    np.testing.assert_array_equal(whole, same)
    _, part = run(nli, tmp_path, [2, 3])
    np.testing.assert_allclose(part, whole[2:4], rtol=1e-5)
    _, none = run(nli, tmp_path, [])
    assert none.shape == (0, 3)


def test_a_stage_measures_a_family_by_it(nli, tmp_path):
    run(nli, tmp_path, list(range(5)))
    out = tmp_path / "emotions.parquet"
    given = dict(spec=canonical({"family": "emotions", "settings": {"temperature": 1.0}}), out=out)
    shard = tmp_path / "shard.parquet"
    measure.main(documents=shard, entailment=[tmp_path / "entailment.npz"], **given)
    table = pq.read_table(out).to_pylist()
    assert [row["doc"] for row in table] == list(range(5))
    assert [row["emotion"] is None for row in table] == [False, True, False, False, False]
    documents(shard, [0, 1])
    with pytest.raises(InputError, match=r"entailment.npz: logits of the shape \(5, 3\); expected: \(2, 3\)"):
        measure.main(documents=shard, entailment=[tmp_path / "entailment.npz"], **given)
    with pytest.raises(
        InputError, match=r"shard.parquet: no logits of labels; write them by python -m winnow"
    ):
        measure.main(documents=shard, entailment=[shard], **given)


def test_a_model_that_cannot_judge_is_refused(nli, tmp_path):
    with pytest.raises(InputError, match="reads 64 tokens; max_tokens is 512"):
        run(nli, tmp_path, [0], max_tokens=512)
    with pytest.raises(InputError, match="classes LABEL_0, LABEL_1; expected: one named entailment"):
        entail.entailment_class({0: "LABEL_0", 1: "LABEL_1"}, nli)
