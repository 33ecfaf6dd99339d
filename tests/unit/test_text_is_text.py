"""Names of control tokens inside a text are text: a corpus that quotes code must not end its documents early, nor may
a review that says [SEP] be read as two."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
from winnow import tokenizer as tokenizer_module
from winnow import weights
from winnow.classifier import Classifier as Read
from winnow.embed.encoder import Encoder
from winnow.evaluate import benchmarks, language_model, ngrams
from winnow.evaluate import harness as evaluate
from winnow.evaluate import models as evaluated
from winnow.score.entropy import entropies
from winnow.score.language_model import LanguageModel as Proxy
from winnow.stage import InputError, canonical
from winnow.train import loop as train
from winnow.train import tokens
from winnow.train.tasks import Classifier, LanguageModel

ROOT = Path(__file__).parents[2]
MINILM = yaml.safe_load((ROOT / "config/encoders.yaml").read_text())["encoders"]["minilm"]
NAMES = [
    "<|endoftext|>",
    "<|padding|>",
    "[SEP]",
    "[CLS]",
    "[PAD]",
    "[MASK]",
    "[UNK]",
    "</s>",
    "<s>",
    "<pad>",
    "<unk>",
]
TEXTS = [
    f"a {NAMES[i % len(NAMES)]} b{NAMES[i % 3]}{NAMES[(i + 1) % 5]} and story {i} of the sea"
    for i in range(300)
]
RECIPE = {"steps": 3, "batch": 8, "micro_batch": 8, "learning_rate": 1e-3, "final_rate": 0.1, "warmup": 0.1,
          "betas": [0.9, 0.95], "epsilon": 1e-8, "weight_decay": 0.1, "clip": 1.0, "precision": "float32"}  # fmt: skip


def write(path: Path, **columns: list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


class Corpus:
    """TEXTS with a tokenizer, a packed stream, and a language model trained on it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.documents = write(folder / "d.parquet", doc=list(range(300)), text=TEXTS)
        write(folder / "h.parquet", doc=pa.array([], pa.int64()))
        self.tokenizer = folder / "bpe" / "tokenizer.json"
        self.config = folder / "bpe" / "tokenizer_config.json"
        tokens.train(documents=[self.documents], heldout=folder / "h.parquet", out=self.tokenizer,
                     spec=canonical({"tokenizer": {"vocabulary": 400, "documents": 300, "seed": 0}}))  # fmt: skip
        tokens.pack(
            split=self.documents,
            tokenizer=self.tokenizer,
            tokenizer_config=self.config,
            out=folder / "t.npy",
            meta=folder / "t.json",
        )
        self.stream = np.load(folder / "t.npy")
        (folder / "manifest.json").write_text(json.dumps({"ids": {"corpus": "c"}}))
        self.model = folder / "model"
        self.train(self.model)

    def train(self, out: Path, **model: object) -> None:
        shape = {"kind": "language-model", "layers": 1, "width": 16, "heads": 2, "sequence": 24, "tokenizer": "t",
                 "recipe": "r", **model}  # fmt: skip
        spec = {"model": shape, "recipe": RECIPE, "training_seed": 0, "names": {"model": "m"}, "base": None}
        train.main(subset=self.folder / "manifest.json", spec=canonical(spec), out=out / "manifest.json",
                   tokens=[self.folder / "t.npy"], tokens_meta=[self.folder / "t.json"], tokenizer=[self.tokenizer],
                   tokenizer_config=[self.config])  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(tmp_path_factory.mktemp("text"))


def test_three_hundred_documents_have_three_hundred_ends(corpus: Corpus, tmp_path: Path) -> None:
    end = Tokenizer.from_file(str(corpus.tokenizer)).token_to_id(tokenizer_module.END)
    ends = np.flatnonzero(corpus.stream == end)
    assert len(ends) == 300
    tokens.count(documents=corpus.documents, tokenizer=corpus.tokenizer, tokenizer_config=corpus.config,
                 out=tmp_path / "n.parquet")  # fmt: skip
    assert pq.read_table(tmp_path / "n.parquet")["tokens"].to_pylist() == np.diff(ends, prepend=-1).tolist()
    decoder = Tokenizer.from_file(str(corpus.tokenizer))
    documents = np.split(corpus.stream, ends + 1)[:-1]
    assert [decoder.decode(part[:-1].tolist(), skip_special_tokens=False) for part in documents] == TEXTS


def test_the_tokenizer_learns_the_words_that_a_control_token_is_made_of(corpus: Corpus) -> None:
    vocabulary = Tokenizer.from_file(str(corpus.tokenizer)).get_vocab()
    assert {"endoftext", "padding", "MASK"} <= set(vocabulary)
    assert sum(tokenizer_module.END in piece for piece in vocabulary) == 1


def test_documents_one_by_one_are_whole(corpus: Corpus) -> None:
    shape = {"layers": 1, "width": 16, "heads": 2, "sequence": 64}
    task = LanguageModel(shape, corpus.folder / "t.npy", 400, 0, "cpu", False, documents=True)
    assert task.rows == 300


def test_scoring_counting_and_evaluation_see_the_same_tokens(corpus: Corpus) -> None:
    lengths = np.diff(np.flatnonzero(corpus.stream == 0), prepend=-1) - 1
    assert Proxy(corpus.model).sums(TEXTS)[1].tolist() == lengths.tolist()
    loaded, _ = evaluated.load(corpus.model, "CausalLM")
    lm = language_model.language_model(loaded, language_model.text_tokenizer(corpus.model), 0)
    for text, ids in zip(
        TEXTS, np.split(corpus.stream, np.flatnonzero(corpus.stream == 0) + 1), strict=False
    ):
        assert lm.tok_encode(text) == ids[:-1].tolist()
        context, continuation = lm._encode_pair(text, f" {tokenizer_module.END} x")
        assert 0 not in [*context, *continuation]
    assert lm.tok_batch_encode(TEXTS[:9])[0].numpy().max() > 0
    assert lm.max_length == 24


def test_bits_per_byte_of_scoring_and_of_evaluation_agree(corpus: Corpus, tmp_path: Path) -> None:
    rows = {"item": list(range(40)), "group": [None] * 40, "text": TEXTS[:40]}
    benchmarks.write_local(tmp_path / "bpb", "bpb", "bits-per-byte", rows, {})
    spec = canonical({"ids": {}, "suite": "s", "benchmarks": {"bpb": {"heldout": "bits-per-byte"}}})
    evaluate.evaluate(model=corpus.model, benchmarks=[tmp_path / "bpb"], spec=spec, out_dir=tmp_path / "out")
    items = pq.read_table(tmp_path / "out" / "items.parquet").to_pylist()
    found = [row["value"] for row in items if row["metric"] == "bits_per_byte"]
    log, count = Proxy(corpus.model).sums(TEXTS[:40])
    short = count <= 24  # longer ones are cut into windows in two ways
    assert short.sum() > 5
    bits = -log / np.log(2) / [len(text.encode()) for text in TEXTS[:40]]
    assert np.array(found)[short] == pytest.approx(bits[short], rel=1e-4)


def test_the_ngram_baseline_counts_no_end_inside_a_text(corpus: Corpus, tmp_path: Path, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(ngrams.Bigram, "nats", lambda _self, ids: seen.append(ids) or (1.0, 1.0))
    write(tmp_path / "data.parquet", text=TEXTS)
    (tmp_path / "manifest.json").write_text(json.dumps({"name": "b"}))
    ngrams.main(subset=corpus.folder / "manifest.json", tokens=corpus.folder / "t.npy", tokenizer=corpus.tokenizer,
                tokenizer_config=corpus.config, benchmark=tmp_path, spec=canonical({"names": {}}), out=tmp_path / "out.json")  # fmt: skip
    assert [int((ids == 0).sum()) for ids in seen] == [1] * 300  # the one that begins a document


def test_what_is_saved_reads_text_as_text_in_transformers(corpus: Corpus) -> None:
    from transformers import AutoTokenizer

    for folder in (corpus.model, corpus.tokenizer.parent):
        opened = AutoTokenizer.from_pretrained(folder)
        assert 0 not in opened(TEXTS[0])["input_ids"]
        assert opened.eos_token_id == 0
    assert AutoTokenizer.from_pretrained(corpus.model).model_max_length == 24


def test_a_copied_tokenizer_says_how_it_is_used(corpus: Corpus, tmp_path: Path, monkeypatch) -> None:
    source = shutil.copytree(corpus.tokenizer.parent, tmp_path / "hub")
    config = json.loads((source / "tokenizer_config.json").read_text())
    del config["split_special_tokens"]
    (source / "tokenizer_config.json").write_text(json.dumps(config))
    monkeypatch.setattr(weights, "weights_folder", lambda _source: source)
    spec = canonical({"tokenizer": {"hub": "o/n", "revision": "0" * 40}})
    tokens.train(documents=[], heldout=tmp_path, spec=spec, out=tmp_path / "t" / "tokenizer.json")
    assert (tmp_path / "t" / "tokenizer.json").read_bytes() == corpus.tokenizer.read_bytes()
    made = json.loads((tmp_path / "t" / "tokenizer_config.json").read_text())
    assert made == {**config, "split_special_tokens": True}


# Tokenizers of other kinds


def unigram() -> Tokenizer:
    """As of T5 or XLM-R: the names of control tokens are pieces of the vocabulary, which the model would choose."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁a", -3.0)]
    made = Tokenizer(models.Unigram([*pieces, *((c, -5.0) for c in "abdknpsu<>/▁")], unk_id=3))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    return made


def words(split: object, special: bool) -> Tokenizer:
    made = Tokenizer(models.WordLevel({tokenizer_module.END: 0, "a": 1, "?": 2}, unk_token="?"))
    if split:
        made.pre_tokenizer = split
    made.add_tokens([AddedToken(tokenizer_module.END, special=special)])
    return made


@pytest.mark.parametrize("made", [unigram(), words(pre_tokenizers.WhitespaceSplit(), True),
                                  words(pre_tokenizers.WhitespaceSplit(), False), words(None, False)])  # fmt: skip
def test_no_kind_of_tokenizer_makes_control_tokens_of_text(made: Tokenizer) -> None:
    control = {made.token_to_id(name) for name in NAMES} - {None}
    plain = made.encode("a a").ids
    assert any(control & set(made.encode(f"a {name} a").ids) for name in NAMES)  # as it comes
    read = tokenizer_module.as_text(Tokenizer.from_str(made.to_str()))
    unknown = made.token_to_id("<unk>")
    for name in NAMES:
        for text in (name, f"a {name} a", f"a{name}a{name}", name.replace("<", "\uff1c")):  # a full-width <
            pieces = read.encode(text)
            assert not (control - {unknown}) & set(pieces.ids)
            assert unknown is None or all(text[a:b] != "<unk>" for a, b in pieces.offsets)
    assert read.encode("a a").ids == plain
    assert tokenizer_module.as_text(read).encode(NAMES[0]).ids == read.encode(NAMES[0]).ids


def test_runs_of_blanks_that_a_tokenizer_adds_stay_tokens(corpus: Corpus) -> None:
    """As GPT-NeoX's, which read indented code."""
    made = Tokenizer.from_file(str(corpus.tokenizer))
    made.add_tokens([AddedToken("        ", special=False, normalized=False)])
    assert made.token_to_id("        ") in tokenizer_module.as_text(made).encode("if a:\n        b").ids


def test_a_control_token_only_the_config_names_counts_too(tmp_path: Path) -> None:
    made = Tokenizer(models.WordLevel({"<turn>": 0, "a": 1, "?": 2}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_tokens([AddedToken("<turn>", special=False)])
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": {"content": "<turn>"}, "add_bos_token": True})
    )
    assert 0 not in tokenizer_module.open_model_tokenizer(tmp_path).encode("a <turn> a").ids


def test_a_tokenizer_that_cannot_read_text_as_text_is_one_line(tmp_path: Path) -> None:
    made = Tokenizer(models.WordLevel({"^": 0, "a": 1, "?": 2}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["^"])
    made.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match=r"tokenizer\.json: '\^' inside a text becomes the control token"):
        tokenizer_module.open_model_tokenizer(tmp_path)


# Encoders and classifiers


def test_an_encoder_reads_sep_as_letters() -> None:
    encoder = Encoder(
        {"pooling": "mean", "prefix": "", **MINILM, "precision": "float32", "max_tokens": 64}, device="cpu"
    )
    for name in ("[SEP]", "[CLS]", "[PAD]", "[MASK]", "[UNK]"):
        ids = encoder.tokenizer.encode(f"a {name} b").ids
        assert ids[0], ids[-1] == (101, 102)
        assert not {0, 100, 101, 102, 103} & set(ids[1:-1])
    spelt = encoder.encode(["a [SEP] b", "a [sep] b"])
    assert (spelt[0] == spelt[1]).all()


LONG = [f"a {'good fine' if i % 2 else 'bad awful'} film {i} [SEP] " + "it went on and on " * (12 * (i % 3)) + NAMES[i % 8]
        for i in range(48)]  # fmt: skip
TAIL = " but a bad awful end" * 60


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on at most 32 tokens of texts of up to 170."""
    folder = tmp_path_factory.mktemp("classifier")
    write(folder / "train.parquet", text=LONG, label=pa.array([i % 2 for i in range(48)], pa.int32()))
    (folder / "manifest.json").write_text(json.dumps({"ids": {}, "classes": ["a", "b"]}))
    spec = {"model": {"kind": "classifier", "encoder": "minilm", "max_tokens": 32, "recipe": "r"},
            "recipe": {**RECIPE, "steps": 10, "learning_rate": 3e-4}, "training_seed": 0, "names": {"model": "m"}, "base": MINILM}  # fmt: skip
    train.main(subset=folder / "manifest.json", split=[folder / "train.parquet"], spec=canonical(spec),
               out=folder / "out" / "manifest.json")  # fmt: skip
    return folder / "out"


@pytest.mark.slow
def test_a_classifier_is_evaluated_and_scored_on_what_it_was_trained_on(
    classifier: Path, tmp_path: Path
) -> None:
    tokenizer = tokenizer_module.open_model_tokenizer(classifier)
    texts = [text + TAIL for text in LONG]
    first = []
    for text in texts:  # its first 32 tokens, two of them around it
        offsets = tokenizer.encode(text).offsets
        first.append(text[: offsets[30][1]])
    assert all(len(tokenizer.encode(text).ids) == 32 for text in first)
    entropy, label = entropies(Read(classifier), texts)
    cut_entropy, cut_label = entropies(Read(classifier), first)
    assert label.tolist() == cut_label.tolist()
    assert entropy == pytest.approx(cut_entropy, rel=1e-5)
    rows = {"item": list(range(48)), "group": [None] * 48, "label": [i % 2 for i in range(48)]}
    found = []
    for name, own in (("long", texts), ("first", first)):
        benchmarks.write_local(
            tmp_path / name, name, "labels", {**rows, "text": own}, {"classes": ["a", "b"]}
        )
        spec = canonical({"ids": {}, "suite": "s", "benchmarks": {name: {"heldout": "labels"}}})
        evaluate.evaluate(
            model=classifier, benchmarks=[tmp_path / name], spec=spec, out_dir=tmp_path / f"{name}-out"
        )
        items = pq.read_table(tmp_path / f"{name}-out" / "items.parquet")
        found.append(items["prediction"].to_pylist())
    assert found[0] == found[1] == label.tolist()


def test_the_length_of_a_classifier_travels_with_it(classifier: Path) -> None:
    from transformers import AutoTokenizer

    opened = AutoTokenizer.from_pretrained(classifier)
    assert opened.model_max_length == 32
    for text in LONG:
        ids = opened(text + TAIL, truncation=True)["input_ids"]
        assert ids == tokenizer_module.classifier_tokenizer(classifier).encode(text + TAIL).ids
        assert len(ids) == 32
        assert ids.count(102) == 1


def test_training_and_evaluation_read_the_same_ids(classifier: Path, tmp_path: Path) -> None:
    split = write(tmp_path / "train.parquet", text=LONG, label=[i % 2 for i in range(48)])
    task = Classifier({"max_tokens": 32}, MINILM, split, ["a", "b"], "cpu", False)
    assert task.ids == [e.ids for e in tokenizer_module.classifier_tokenizer(classifier).encode_batch(LONG)]
    assert all(ids.count(102) == 1 and not {0, 100, 103} & set(ids) for ids in task.ids)
    with pytest.raises(InputError, match="max_tokens 513 is beyond the 512 positions"):
        Classifier({"max_tokens": 513}, MINILM, split, ["a", "b"], "cpu", False)


def test_texts_of_label_items_are_whole(tmp_path: Path) -> None:
    """Cut by characters, a text of long words or many blanks would end before the tokens that training reads."""
    text = "blank" + " " * 5000 + "and the end"
    documents = write(tmp_path / "d.parquet", doc=[0, 1], text=[text, "b"], label=[0, 1])
    write(tmp_path / "h.parquet", doc=[0, 1], role=["heldout"] * 2)
    spec = {"benchmark": {"heldout": "labels", "items": 2, "seed": 0}, "name": "l", "group": None}
    (tmp_path / "source.json").write_text(json.dumps({"labels": {"names": ["a", "b"], "values": [0, 1]}}))
    benchmarks.heldout(
        source=tmp_path / "source.json",
        documents=[documents],
        heldout=tmp_path / "h.parquet",
        spec=canonical(spec),
        out_dir=tmp_path / "b",
    )
    assert pq.read_table(tmp_path / "b" / "data.parquet")["text"].to_pylist() == [text, "b"]


def test_a_language_model_that_goes_on_is_scored_at_its_own_length(corpus: Corpus, tmp_path: Path) -> None:
    """A checkpoint of longer sequences must not decide how far evaluation looks back."""
    from winnow.stage import sha256

    start = {"folder": str(corpus.model), "sha256": sha256(corpus.model / "model.safetensors")}
    corpus.train(tmp_path / "short", start=start, sequence=16)
    assert Proxy(tmp_path / "short").limit == 16
    loaded, _ = evaluated.load(tmp_path / "short", "CausalLM")
    assert (
        language_model.language_model(loaded, language_model.text_tokenizer(tmp_path / "short"), 0).max_length
        == 16
    )
