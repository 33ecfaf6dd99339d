"""Text -> tokens of a language model.

`train`: a byte-level BPE (Radford et al. 2019) trained on documents of the pool, or a copy of a pinned
Hub tokenizer. `pack`: a split of a subset as one stream of token ids, an end-of-text token after each
document, memory-mappable. `count`: tokens of each document, for budgets in tokens.

Text is text: a document that spells out `<|endoftext|>`, `[SEP]` or `</s>` holds these characters, not a control
token. Every stage opens its tokenizer with `open_tokenizer`, and what is saved says `split_special_tokens`, so that
transformers' AutoTokenizer reads texts in the same way (but for the rare tokenizers whose vocabulary itself holds
the name of a control token as a piece of text: see `as_text`).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.keys import keys
from winnow.stage import InputError, Progress, atomic_path, read_json, read_spec, run, write_json, write_text

STAGE_VERSION = 2
END = "<|endoftext|>"
CHARACTERS = 20_000


def pool_texts(documents: list[Path], removed: np.ndarray, count: int, seed: int) -> Iterator[str]:
    """Texts of the `count` pool documents with the smallest keys, in document order.

    `removed`: int64, sorted: documents outside the pool. Of each text the first 20,000 characters.
    """
    docs = [pq.read_table(path, columns=["doc"])["doc"].to_numpy() for path in documents]
    pool = np.setdiff1d(np.concatenate(docs), removed, assume_unique=True)
    order = keys("tokenizer", seed, pool)
    chosen = pool[np.argsort(order)[:count]]
    for path, doc in zip(documents, docs, strict=True):
        wanted = np.isin(doc, chosen, assume_unique=True)
        if not wanted.any():
            continue
        start = 0
        for batch in pq.ParquetFile(path).iter_batches(columns=["text"]):
            part = batch.filter(pa.array(wanted[start : start + len(batch)]))
            start += len(batch)
            yield from pc.utf8_slice_codeunits(part.column(0), 0, CHARACTERS).to_pylist()


def train(*, documents: list[Path], heldout: Path, spec: str, out: Path, name: str = "") -> None:
    """Make a tokenizer in Hugging Face layout.

    Args:
        documents: shards of documents.
        heldout: documents outside the pool.
        spec: JSON with the key `tokenizer`.
        out: tokenizer.json to write; tokenizer_config.json is written beside it, with `split_special_tokens`.
        name: what progress lines call it.
    """
    settings = read_spec(spec, "tokenizer")["tokenizer"]
    if "hub" in settings:
        from winnow.weights import weights_folder

        folder = weights_folder(settings)
        for file in ("tokenizer_config.json", "tokenizer.json"):
            if not (folder / file).exists():
                raise InputError(
                    f"{settings['hub']} at {settings['revision']}: no {file}; a fast tokenizer is needed"
                )
        config = read_json(folder / "tokenizer_config.json")
        write_json(out.parent / "tokenizer_config.json", {**config, "split_special_tokens": True})
        with atomic_path(out) as partial:
            shutil.copyfile(folder / "tokenizer.json", partial)
        return
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    removed = np.sort(pq.read_table(heldout, columns=["doc"])["doc"].to_numpy())
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=settings["vocabulary"],
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = pool_texts(documents, removed, settings["documents"], settings["seed"])
    progress = Progress(f"tokenizer {name}", unit="documents")

    def counted() -> Iterator[str]:
        for text in texts:
            progress.add(1)
            yield text
        progress.line("learning the merges")

    tokenizer.train_from_iterator(counted(), trainer)
    progress.line(f"vocabulary {tokenizer.get_vocab_size():,}")
    write_json(
        out.parent / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "bos_token": END, "unk_token": END,
         "model_max_length": 1_000_000, "split_special_tokens": True, "clean_up_tokenization_spaces": False},
    )  # fmt: skip
    write_text(out, tokenizer.to_str(pretty=False))


def as_text(tokenizer: Any, names: Iterable[str] = (), what: str = "the tokenizer") -> Any:
    """Makes a `tokenizers.Tokenizer` read the name of a control token inside a text as its characters; returns it.

    Control tokens are those that it calls special, those that it puts around a text, END, and `names`. They still come
    around a text where they are asked for. Added tokens that are not special (runs of blanks) are text and stay. Where
    the vocabulary of the model holds such a name as a piece (`</s>` of a Unigram model), words are also split inside it.
    Raises InputError, calling it `what`, if a name still becomes its token.
    """
    from tokenizers import AddedToken, Regex, pre_tokenizers

    added = tokenizer.get_added_tokens_decoder()
    around = [tokenizer.id_to_token(token) for token in tokenizer.encode("").ids]
    control = {token.content for token in added.values() if token.special}.union(around, names, [END])
    ids = {name: tokenizer.token_to_id(name) for name in sorted(control) if name}
    ids = {name: token for name, token in ids.items() if token is not None}
    unflagged = [name for name, token in ids.items() if token in added and not added[token].special]
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in unflagged])
    tokenizer.encode_special_tokens = True

    def found() -> list[str]:
        unknown = set(tokenizer.encode("𓀀𐎠", add_special_tokens=False).ids)
        return [n for n, token in ids.items() if _becomes(tokenizer, n, token, token in unknown)]

    if whole := [name for name in found() if len(name) > 1]:
        inside = "|".join(f"{re.escape(name[0])}(?={re.escape(name[1:])})" for name in whole)
        before = [] if tokenizer.pre_tokenizer is None else [tokenizer.pre_tokenizer]
        split = pre_tokenizers.Split(Regex(inside), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*before, split])
    if left := found():
        raise InputError(
            f"{what}: {left[0]!r} inside a text becomes the control token of this name; take another tokenizer"
        )
    return tokenizer


def _becomes(tokenizer: Any, name: str, token: int, unknown: bool) -> bool:
    """Whether `name` inside a text becomes `token`; of the token of unknown text: as a whole, since its parts may."""
    for text in (name, f"a {name} b", f"a{name}b"):
        encoded = tokenizer.encode(text, add_special_tokens=False)
        for one, (start, end) in zip(encoded.ids, encoded.offsets, strict=True):
            if one == token and (not unknown or text[start:end].strip() == name):
                return True
    return False


def open_tokenizer(path: Path, max_tokens: int = 0) -> Any:
    """The `tokenizers.Tokenizer` of a tokenizer.json, for which text is text (`as_text`); it does not pad.

    `max_tokens`: of a text, special ones included, the rest is cut; 0: texts are not cut. Control tokens that only the
    tokenizer_config.json beside it names count, too. Raises InputError if the file is not there.
    """
    from tokenizers import Tokenizer

    if not path.exists():
        raise InputError(f"{path}: no such file; a fast tokenizer is needed")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    named: list[Any] = []
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        config = read_json(path.parent / file) if (path.parent / file).exists() else {}
        named += [value for key, value in config.items() if key.endswith("_token")]
        for key in ("additional_special_tokens", "extra_special_tokens"):
            more = config.get(key) or []
            named += more.values() if isinstance(more, dict) else more
        named += [one for one in (config.get("added_tokens_decoder") or {}).values() if one.get("special")]
    names = [one.get("content") if isinstance(one, dict) else one for one in named]
    as_text(tokenizer, [name for name in names if isinstance(name, str)], str(path))
    if max_tokens:
        tokenizer.enable_truncation(max_tokens)
    return tokenizer


def classifier_tokenizer(folder: Path) -> Any:
    """The tokenizer of a saved classifier, cut at as many tokens as it was trained on.

    That length travels with the model, as `model_max_length` of its tokenizer_config.json; a model from elsewhere may
    name none, and is read up to its last position. Without tokenizer.json transformers makes the tokenizer.
    Raises InputError if there is no fast one.
    """
    file = folder / "tokenizer_config.json"
    named = (read_json(file) if file.exists() else {}).get("model_max_length") or 10**9
    limit = min(int(named), int(read_json(folder / "config.json").get("max_position_embeddings") or 10**9))
    if (folder / "tokenizer.json").exists():
        return open_tokenizer(folder / "tokenizer.json", limit)
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    if not found.is_fast:
        raise InputError(f"{folder}: no tokenizer.json; a fast tokenizer is needed")
    tokenizer = as_text(found.backend_tokenizer, found.all_special_tokens, str(folder))
    tokenizer.no_padding()
    tokenizer.enable_truncation(limit)
    return tokenizer


def load(tokenizer: Path) -> tuple[Any, int]:
    """(tokenizer, id of its end-of-text token) of a tokenizer.json. Raises InputError if it has none."""
    encoder = open_tokenizer(tokenizer)
    end = encoder.token_to_id(END)
    if end is None:
        raise InputError(f"{tokenizer}: has no {END} token to put between documents")
    return encoder, end


def count(*, documents: Path, tokenizer: Path, out: Path, name: str = "") -> None:
    """Count the tokens of each document of a shard, its end-of-text token included.

    Args:
        documents: shard of documents (parquet: doc, text).
        tokenizer: tokenizer.json.
        out: parquet to write: doc int64, tokens int32.
        name: what progress lines call the shard.
    """
    encoder, _ = load(tokenizer)
    schema = pa.schema([("doc", pa.int64()), ("tokens", pa.int32())])
    file = pq.ParquetFile(documents)
    progress = Progress(f"count tokens {name}", total=file.metadata.num_rows, unit="documents")
    with atomic_path(out) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for batch in file.iter_batches(batch_size=1024, columns=["doc", "text"]):
            found = encoder.encode_batch_fast(batch.column("text").to_pylist(), add_special_tokens=False)
            lengths = pa.array([len(one.ids) + 1 for one in found], pa.int32())
            writer.write_batch(pa.record_batch([batch.column("doc"), lengths], schema=schema))
            progress.add(len(batch))
    progress.line()


def pack(*, split: Path, tokenizer: Path, out: Path, meta: Path, name: str = "") -> None:
    """Tokenise a split into one stream.

    Args:
        split: a split of a subset (parquet: text).
        tokenizer: tokenizer.json.
        out: .npy to write: token ids [tokens], uint16 (uint32 beyond 65,536 ids), an end-of-text id
            after each document.
        meta: JSON to write: documents, bytes, tokens, vocabulary, sha256 of the ids.
        name: what progress lines call it.
    """
    encoder, end = load(tokenizer)
    vocabulary = encoder.get_vocab_size()
    kind = np.uint16 if vocabulary <= 65536 else np.uint32
    file = pq.ParquetFile(split)
    progress = Progress(f"tokenize {name}", total=file.metadata.num_rows, unit="documents")
    digest = hashlib.sha256()
    tokens = size = 0
    with atomic_path(out) as partial, tempfile.TemporaryFile(dir=out.parent) as stream:
        for batch in file.iter_batches(batch_size=1024, columns=["text"]):
            texts = batch.column(0).to_pylist()
            for encoded in encoder.encode_batch_fast(texts, add_special_tokens=False):
                ids = np.array([*encoded.ids, end], dtype=kind)
                if np.count_nonzero(ids == end) != 1:
                    raise InputError(
                        f"{tokenizer}: makes {END} of another text; documents could not be told apart"
                    )
                stream.write(ids.tobytes())
                digest.update(ids.tobytes())
                tokens += len(ids)
            size += int(pc.sum(pc.binary_length(batch.column(0))).as_py() or 0)
            progress.add(len(batch))
        stream.seek(0)
        with open(partial, "wb") as final:
            header = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(kind)),
                "fortran_order": False,
                "shape": (tokens,),
            }
            np.lib.format.write_array_header_1_0(final, header)
            shutil.copyfileobj(stream, final, 1 << 20)
    progress.line(f"{tokens:,} tokens")
    write_json(
        meta,
        {"documents": file.metadata.num_rows, "bytes": size, "tokens": tokens,
         "vocabulary": vocabulary, "sha256": digest.hexdigest()},
    )  # fmt: skip


if __name__ == "__main__":
    run(train, count, pack)
