"""Zero-shot labels: the nearest, whatever the order of labels and documents; and they measure something on real texts."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from emotion_sentences import SENTENCES
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score
from winnow.profile import zero_shot
from winnow.profile.families import emotions, levels, reading
from winnow.profile.kinds import facts
from winnow.profile.labels import main
from winnow.profile.measure import read_labels
from winnow.schema import check_definition
from winnow.stage import InputError, canonical

ROOT = Path(__file__).parents[2]
SETS = yaml.safe_load((ROOT / "config/label_sets.yaml").read_text(encoding="utf-8"))["label_sets"]
ENCODER = {"pooling": "mean", "prefix": "", "precision": "float32",
           **yaml.safe_load((ROOT / "config/encoders.yaml").read_text())["encoders"]["minilm"]}  # fmt: skip
FAMILIES = ("emotions", "topics", "genres", "themes", "levels")


def unit(rng, n, d=32):
    rows = rng.standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


@given(st.integers(0, 10_000), st.permutations(range(9)))
@settings(max_examples=50)
def test_order_of_labels_and_documents_changes_nothing(seed, order):
    rng = np.random.default_rng(seed)
    vectors, texts, labels = unit(rng, 40), unit(rng, 9), list("dacbeadda")
    label, probability = zero_shot.classify(vectors, labels, texts)
    other, same = zero_shot.classify(vectors, [labels[i] for i in order], texts[order])
    np.testing.assert_array_equal(label, other)
    np.testing.assert_array_equal(probability, same)
    rows = rng.permutation(40)
    shuffled, likely = zero_shot.classify(vectors[rows], labels, texts)
    np.testing.assert_array_equal(label[rows], shuffled)
    np.testing.assert_array_equal(probability[rows], likely)
    for row in range(0, 40, 7):
        alone = zero_shot.classify(vectors[row : row + 1], labels, texts)
        assert (alone[0][0], alone[1][0]) == (label[row], probability[row])


def test_ties_take_the_first_label_of_the_alphabet():
    vectors = np.eye(3, dtype=np.float16)[:1]
    texts = np.array([[0.6, 0.8, 0], [0.6, 0, 0.8]], dtype=np.float16)
    for labels in (["joy", "anger"], ["anger", "joy"]):
        label, probability = zero_shot.classify(vectors, labels, texts)
        assert label.tolist() == ["anger"]
        assert probability.tolist() == [0.5]


def test_a_label_is_the_mixture_of_its_texts():
    vectors = np.eye(4, dtype=np.float16)[:1]
    cosines = np.array([0.5, 0.25, 0.375, 0.375])
    texts = np.zeros((4, 4), dtype=np.float16)
    texts[:, 0] = cosines
    for temperature, best in ((0.05, "a"), (0.5, "a")):
        label, probability = zero_shot.classify(vectors, ["a", "a", "b", "b"], texts, temperature)
        weight = np.exp(cosines / temperature).reshape(2, 2).mean(1)
        assert label[0] == best
        np.testing.assert_allclose(probability[0], weight[0] / weight.sum(), rtol=1e-12)
    names, log_weight = zero_shot.log_weights(vectors, ["b", "b", "a", "a"], texts, 1e-3)
    assert names == ["a", "b"]
    np.testing.assert_allclose(log_weight, [[375, 500 - np.log(2)]])  # no overflow


def test_blank_texts_have_no_label_and_other_vectors_are_an_error():
    rng = np.random.default_rng(1)
    given = {"labels": ["a", "b"], "label_vectors": unit(rng, 2)}
    out = emotions.measure(["text", "", " \n"], unit(rng, 3), given)
    assert [value is None for value in out["emotion"]] == [False, True, True]
    assert np.isnan(out["emotion_probability"]).tolist() == [False, True, True]
    assert all(len(values) == 0 for values in emotions.measure([], unit(rng, 0), given).values())
    with pytest.raises(InputError, match=r"shape \(2, 32\); expected: \(2, 16\), made by the encoder"):
        emotions.measure(["text"], unit(rng, 1, 16), given)


def test_shipped_label_sets_are_right():
    for name, labels in SETS.items():
        check_definition("label_set", labels, name)
        texts = [text for of_label in labels["labels"].values() for text in of_label]
        assert len(texts) == len(set(texts)), f"{name}: a text of two labels"
    for family in FAMILIES:
        assert facts(family).labels == family
        assert family in SETS
        assert facts(family).vectors
    assert tuple(facts("levels").levels["level_zero_shot"]) == facts("reading").levels["reading_level"]
    assert set(SETS["levels"]["labels"]) == set(facts("levels").levels["level_zero_shot"])
    own = {sentence for sentences in SENTENCES.values() for sentence in sentences}
    assert not own & {
        text for labels in SETS.values() for texts in labels["labels"].values() for text in texts
    }


@pytest.mark.slow
def test_a_label_set_is_embedded(tmp_path):
    spec = {"encoder": ENCODER, "labels": {"b": ["A dog barks.", "The dog is barking."], "a": ["Rain."]}}
    main(spec=canonical(spec), out=tmp_path / "labels.npz", name="test")
    labels, vectors = read_labels(tmp_path / "labels.npz")
    assert labels == ["a", "b", "b"]
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(float), axis=1), 1, atol=2e-3)
    (tmp_path / "other.npz").write_bytes(b"no archive")
    with pytest.raises(
        InputError, match=r"other.npz: no vectors of labels; write them by python -m winnow.profile"
    ):
        read_labels(tmp_path / "other.npz")
    with pytest.raises(InputError, match="--spec labels"):
        main(spec=canonical({"encoder": ENCODER, "labels": {"a": ["x"], "b": []}}), out=tmp_path / "x.npz")
    assert not (tmp_path / "x.npz").exists()


@pytest.fixture(scope="module")
def encoder():
    from winnow.embed.encoder import Encoder

    return Encoder(ENCODER)


def of_set(encoder, name):
    """The settings of a family: labels, their vectors, temperature."""
    labels = SETS[name]["labels"]
    pairs = [(label, text) for label, texts in labels.items() for text in texts]
    vectors = encoder.encode([text for _, text in pairs])
    temperature = SETS[name].get("temperature", zero_shot.TEMPERATURE)
    return {"labels": [label for label, _ in pairs], "label_vectors": vectors, "temperature": temperature}


@pytest.mark.slow
def test_emotions_of_sentences_with_known_emotions(encoder):
    sentences = [sentence for of_emotion in SENTENCES.values() for sentence in of_emotion]
    known = [emotion for emotion, of_emotion in SENTENCES.items() for _ in of_emotion]
    assert len(sentences) >= 60
    out = emotions.measure(sentences, encoder.encode(sentences), of_set(encoder, "emotions"))
    assert f1_score(known, out["emotion"].tolist(), average="macro") >= 0.6  # measured: .93, of eight labels


@pytest.mark.slow
@pytest.mark.real
def test_polarity_of_reviews(encoder, real_data):
    with gzip.open(real_data / "sst2/validation.jsonl.gz", "rt") as file:
        records = [json.loads(line) for line in file]
    vectors = encoder.encode([record["sentence"] for record in records])
    names, weight = zero_shot.log_weights(vectors, **of_set(encoder, "polarity"))
    log_odds = weight[:, names.index("positive")] - weight[:, names.index("negative")]
    assert roc_auc_score([record["label"] for record in records], log_odds) >= 0.85  # measured: .86


@pytest.mark.slow
def test_levels_order_plain_texts(encoder):
    texts = [
        "Ben has a cat. The cat is big. Ben pats the cat. The cat naps on the bed. Ben and the cat are happy.",
        "We estimate a heteroscedastic autoregressive specification in order to disentangle macroeconomic determinants of "
        "sovereign default, and report asymptotically robust standard errors.",
    ]
    out = levels.measure(texts, encoder.encode(texts), of_set(encoder, "levels"))
    place = [reading.LEVELS.index(level) for level in out["level_zero_shot"]]
    assert place[0] <= 1
    assert place[1] == 4
