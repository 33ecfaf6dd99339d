"""What is trained: a language model on packed tokens, or a classifier on labelled documents.

In: settings of a model and its data. Out: what the loop trains: a network, the number of rows, and the loss of some rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from winnow.batching import padded
from winnow.device import encoder_flops, flops_a_token, to_device
from winnow.light_imports import skip_unused
from winnow.parquet import open_array, open_parquet
from winnow.stage import InputError, read_json
from winnow.weights import loading


class Task(Protocol):
    """What the loop needs of a kind of model."""

    rows: int
    sequence: int
    """Tokens of a row; 1 for documents of a classifier."""
    reads: int
    """Tokens of a text that the model is trained on at most, special ones included."""
    model: Any

    def loss(self, rows: np.ndarray) -> tuple[Any, int]:
        """Sum of the losses over the targets of `rows`, and the number of targets."""

    def targets(self, rows: np.ndarray) -> int:
        """The number of targets of `rows`."""

    def flops(self, rows: np.ndarray) -> float:
        """Model FLOPs of a step on `rows`."""


class LanguageModel:
    """GPT-NeoX on windows of `sequence` tokens of a packed stream, or on its documents one by one.

    Rows of `documents` are documents without their end token, cut at `sequence` tokens and padded to the longest of a
    micro-batch; padding is no target.
    """

    def __init__(
        self,
        model: dict[str, Any],
        tokens: Path,
        vocabulary: int,
        end: int,
        device: str,
        autocast: bool,
        documents: bool = False,
    ):
        self.sequence, self.device, self.autocast = model["sequence"], device, autocast
        self.reads = self.sequence
        self.tokens = open_array(tokens, 1, mmap=True)
        self.starts = self.lengths = None
        if documents:
            ends = np.flatnonzero(np.asarray(self.tokens) == end)
            starts = np.concatenate([[0], ends[:-1] + 1])
            lengths = np.minimum(ends - starts, self.sequence)
            self.starts, self.lengths = starts[lengths > 1], lengths[lengths > 1]
            self.rows = len(self.starts)
        else:
            self.rows = (len(self.tokens) - 1) // self.sequence
        if self.rows < 1:
            raise InputError(
                f"{tokens}: {len(self.tokens)} tokens are fewer than one sequence of {self.sequence} and its last target"
            )
        self.model = make_network(model, vocabulary, end).to(device)
        attend_causally(self.model)
        self.body = self.model.gpt_neox
        if device == "cuda":
            import torch

            torch.set_float32_matmul_precision("high")
            torch._dynamo.config.suppress_errors = True  # without a C compiler training is slower, but works
            if not documents:
                self.body = torch.compile(self.model.gpt_neox)

    def targets(self, rows: np.ndarray) -> int:
        if self.lengths is not None:
            return int((self.lengths[rows] - 1).sum())
        return len(rows) * self.sequence

    def windows(self, rows: np.ndarray) -> tuple[Any, Any]:
        """Inputs and targets: two int64 tensors [rows, length], targets one token later, -1 where there is none."""
        if self.lengths is None or self.starts is None:
            at = rows[:, None] * self.sequence + np.arange(self.sequence + 1)
            packed = to_device(self.tokens[at].astype(np.int64), self.device)
            return packed[:, :-1], packed[:, 1:]
        lengths = self.lengths[rows, None]
        places = np.arange(lengths.max())
        at = np.minimum(self.starts[rows, None] + places, len(self.tokens) - 1)
        window = to_device(np.where(places < lengths, self.tokens[at].astype(np.int64), -1), self.device)
        return window[:, :-1].clamp(min=0), window[:, 1:]

    def loss(self, rows: np.ndarray) -> tuple[Any, int]:
        import torch

        from winnow.train.cross_entropy import linear_cross_entropy

        inputs, targets = self.windows(rows)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
            # Padding follows the text: under the causal mask no target sees it.
            hidden = self.body(input_ids=inputs, use_cache=False).last_hidden_state
            total = linear_cross_entropy(hidden, self.model.get_output_embeddings().weight, targets)
        return total, self.targets(rows)

    def flops(self, rows: np.ndarray) -> float:
        config = self.model.config
        return self.targets(rows) * flops_a_token(
            config.num_hidden_layers, config.hidden_size, self.sequence, config.vocab_size
        )


def attend_causally(network: Any) -> None:
    """Makes attention causal by a flag, not by a mask. Under torch.compile before
    torch 2.14 transformers always makes the mask ([rows, 1, length, length]), and with one there is no flash attention."""
    import torch
    import transformers

    def causal(
        _module: Any,
        query: Any,
        key: Any,
        value: Any,
        _mask: None,
        scaling: float,
        dropout: float = 0.0,
        **_: Any,
    ) -> tuple[Any, None]:
        mixed = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, scale=scaling, is_causal=True
        )
        return mixed.transpose(1, 2).contiguous(), None

    transformers.AttentionInterface.register("causal", causal)
    network.set_attn_implementation("causal")


def make_network(model: dict[str, Any], vocabulary: int, end: int) -> Any:
    """A GPT-NeoX in float32: freshly initialised from torch's seed, or the checkpoint that `start` names.

    Raises InputError if the checkpoint has another shape, fewer tokens than the tokenizer, or lacks weights.
    """
    skip_unused()
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        vocab_size=-(-vocabulary // 64) * 64,
        hidden_size=model["width"],
        num_hidden_layers=model["layers"],
        num_attention_heads=model["heads"],
        intermediate_size=4 * model["width"],
        max_position_embeddings=model["sequence"],
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
        use_parallel_residual=True,
        tie_word_embeddings=False,
        bos_token_id=end,
        eos_token_id=end,
        use_cache=False,
    )
    if not model.get("start"):
        return GPTNeoXForCausalLM(config)
    from winnow.weights import weights_folder

    network = _load_start(weights_folder(model["start"]), config, vocabulary)
    network.config.max_position_embeddings = model["sequence"]  # what scoring and evaluation read at a time
    return network


def _load_start(folder: Path, config: Any, vocabulary: int) -> Any:
    """The GPT-NeoX checkpoint in `folder`, of the shape of `config` and with at least `vocabulary` tokens."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with loading(folder):
        saved = GPTNeoXConfig.from_pretrained(folder)
    for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
        if getattr(saved, key, None) != getattr(config, key):
            raise InputError(
                f"{folder}: {key} is {getattr(saved, key, None)}, the model's is {getattr(config, key)}; "
                "take a checkpoint of the model's shape"
            )
    if saved.vocab_size < vocabulary:
        raise InputError(
            f"{folder}: has {saved.vocab_size} tokens, the tokenizer has {vocabulary}; take the checkpoint's tokenizer"
        )
    with loading(folder):
        loaded: Any = GPTNeoXForCausalLM.from_pretrained(
            folder, use_safetensors=True, dtype="float32", output_loading_info=True, local_files_only=True
        )
    network, info = loaded
    if info["missing_keys"]:
        raise InputError(
            f"{folder}: lacks weights of the model ({', '.join(sorted(info['missing_keys'])[:3])})"
        )
    return network


class Classifier:
    """An encoder with a fresh classification head on labelled documents; or the classifier of `previous`, the folder of a
    model trained here with the same classes."""

    def __init__(
        self,
        model: dict[str, Any],
        encoder: dict[str, Any],
        split: Path,
        classes: list[str],
        device: str,
        autocast: bool,
        previous: Path | None = None,
    ):
        skip_unused()
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging

        from winnow.tokenizer import open_model_tokenizer
        from winnow.weights import weights_folder

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        folder = weights_folder(encoder["source"])
        table = open_parquet(split, ["text"]).read()
        if "label" not in table.column_names:
            raise InputError(f"{split}: has no label column; a classifier needs a labelled corpus")
        self.device, self.autocast, self.folder, self.sequence = device, autocast, folder, 1
        self.reads = model["max_tokens"]
        limit = read_json(folder / "config.json").get("max_position_embeddings", self.reads)
        if self.reads > limit:
            raise InputError(f"model: max_tokens {self.reads} is beyond the {limit} positions of {folder}")
        tokenizer = open_model_tokenizer(folder, self.reads)
        self.ids = [e.ids for e in tokenizer.encode_batch_fast(table["text"].to_pylist())]
        self.labels = table["label"].to_numpy().astype(np.int64)
        self.rows = len(self.ids)
        if not self.rows:
            raise InputError(f"{split}: no documents to train on")
        if self.labels.min() < 0 or self.labels.max() >= len(classes):
            row = int(np.flatnonzero((self.labels < 0) | (self.labels >= len(classes)))[0])
            raise InputError(
                f"{split}: row {row + 1}: label {self.labels[row]} is none of the {len(classes)} classes (0 to "
                f"{len(classes) - 1}); draw the subset again"
            )
        if previous:
            known = read_json(previous / "config.json")["id2label"]
            if list(known.values()) != classes:
                raise InputError(
                    f"{previous}: its classes are {', '.join(known.values())}, those of the subset {', '.join(classes)}; "
                    "a model continues on the same corpus"
                )
        with loading(previous or folder):
            self.model = AutoModelForSequenceClassification.from_pretrained(
                previous or folder,
                id2label=dict(enumerate(classes)),
                label2id={name: i for i, name in enumerate(classes)},
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                dtype="float32",
            ).to(device)

    def targets(self, rows: np.ndarray) -> int:
        return len(rows)

    def flops(self, rows: np.ndarray) -> float:
        config = self.model.config
        weights = sum(p.numel() for name, p in self.model.named_parameters() if "embeddings" not in name)
        lengths = [len(self.ids[row]) for row in rows]
        return encoder_flops(weights, config.num_hidden_layers, config.hidden_size, lengths)

    def loss(self, rows: np.ndarray) -> tuple[Any, int]:
        import torch

        # On a processor padding costs more than small products: groups of documents of similar length.
        by_length = rows[np.argsort([len(self.ids[row]) for row in rows], kind="stable")]
        parts = max(1, len(rows) // 10) if self.device == "cpu" else 1
        losses = []
        for part in np.array_split(by_length, parts):
            tokens, mask = (x.to(self.device) for x in padded([self.ids[row] for row in part]))
            with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
                logits = self.model(input_ids=tokens, attention_mask=mask).logits
            labels = torch.from_numpy(self.labels[part]).to(self.device)
            losses.append(torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum"))
        return torch.stack(losses).sum(), len(rows)
