"""Text -> tokens of a language model.

`train`: a byte-level BPE (Radford et al. 2019) trained on documents of the pool, or a copy of a pinned
Hub tokenizer. `pack`: a split of a subset as one stream of token ids, an end-of-text token after each
document, memory-mappable. `count`: tokens of each document, for budgets in tokens.

Text is text: a document that spells out `<|endoftext|>`, `[SEP]` or `</s>` holds these characters, not a control
token (`winnow.tokenizer`); what is saved sets `split_special_tokens`, so that transformers' AutoTokenizer reads texts
in the same way.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.keys import keys
from winnow.parquet import open_parquet, read_table
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, atomic_path, read_json, run, write_json, write_text
from winnow.tokenizer import END, load

STAGE_VERSION = 2
CHARACTERS = 20_000


def pool_texts(documents: list[Path], removed: np.ndarray, count: int, seed: int) -> Iterator[str]:
    """Texts of the `count` pool documents with the smallest keys, in document order.

    `removed`: int64, sorted: documents outside the pool. Of each text the first 20,000 characters.
    """
    docs = [read_table(path, columns=["doc"])["doc"].to_numpy() for path in documents]
    pool = np.setdiff1d(np.concatenate(docs), removed, assume_unique=True)
    order = keys("tokenizer", seed, pool)
    chosen = pool[np.argsort(order)[:count]]
    for path, doc in zip(documents, docs, strict=True):
        is_chosen = np.isin(doc, chosen, assume_unique=True)
        if not is_chosen.any():
            continue
        start = 0
        for batch in open_parquet(path, ["text"]).iter_batches(columns=["text"]):
            part = batch.filter(pa.array(is_chosen[start : start + len(batch)]))
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

    removed = np.sort(read_table(heldout, columns=["doc"])["doc"].to_numpy())
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


def count(*, documents: Path, tokenizer: Path, tokenizer_config: Path, out: Path, name: str = "") -> None:
    """Count the tokens of each document of a shard, its end-of-text token included.

    Args:
        documents: shard of documents (parquet: doc, text).
        tokenizer: tokenizer.json.
        tokenizer_config: its tokenizer_config.json.
        out: parquet to write: doc int64, tokens int32.
        name: what progress lines call the shard.
    """
    encoder, _ = load(tokenizer, tokenizer_config)
    schema = pa.schema([("doc", pa.int64()), ("tokens", pa.int32())])
    file = open_parquet(documents, ["text"])
    progress = Progress(f"count tokens {name}", total=file.metadata.num_rows, unit="documents")
    with atomic_path(out) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for batch in file.iter_batches(batch_size=1024, columns=["doc", "text"]):
            encoded = encoder.encode_batch_fast(batch.column("text").to_pylist(), add_special_tokens=False)
            lengths = pa.array([len(one.ids) + 1 for one in encoded], pa.int32())
            writer.write_batch(pa.record_batch([batch.column("doc"), lengths], schema=schema))
            progress.add(len(batch))
    progress.line()


def pack(
    *, split: Path, tokenizer: Path, tokenizer_config: Path, out: Path, meta: Path, name: str = ""
) -> None:
    """Tokenise a split into one stream.

    Args:
        split: a split of a subset (parquet: text).
        tokenizer: tokenizer.json.
        tokenizer_config: its tokenizer_config.json.
        out: .npy to write: token ids [tokens], uint16 (uint32 beyond 65,536 ids), an end-of-text id
            after each document.
        meta: JSON to write: documents, bytes, tokens, vocabulary, sha256 of the ids.
        name: what progress lines call it.
    """
    encoder, end = load(tokenizer, tokenizer_config)
    vocabulary = encoder.get_vocab_size()
    kind = np.uint16 if vocabulary <= 65536 else np.uint32
    file = open_parquet(split, ["text"])
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
                        f"{tokenizer}: encodes other text as {END}, which separates documents; take another tokenizer"
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
