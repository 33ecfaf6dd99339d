"""Completions of fixed prompts by a language model, greedy and sampled, and measures of each.

In: a loaded model and folders of benchmarks of the form `completion`. Out: rows of items.parquet, a row for each item and
metric: `greedy_*` of the one greedy completion, `sampled_*` the mean over the sampled ones. A sampled token is the
quantile u of the model's distribution, u a key of the item, the sample and the position: neither the batch nor the order
of items changes a text (beyond ties within rounding), and every model is asked with the same u.

Measures of a completion (their names and directions: `winnow.completion_metrics`; words are lower-case runs of letters
and digits, `winnow.scripts`):
- distinct_1, _2, _3: different n-grams of words over all (Li et al. 2016); 0 of a completion with fewer than n words;
- repetition: share of its 4-grams of words that occurred in it before (Welleck et al. 2020); 0 of fewer than 4 words;
- ends_sentence: whether it brings a sentence to its end;
- word_length_gap, sentence_length_gap: how far its letters per word and words per sentence are from those of the true
  continuation, a cheap stand-in for its reading level;
- chrf: chrF2 of character n-grams against the true continuation, cut to its number of characters (Popović 2015), 0 to 1.
Distinct n-grams alone reward noise; read them beside chrf.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from winnow.completion_metrics import COMPLETION
from winnow.evaluate.forms.completion import settings
from winnow.keys import uniform
from winnow.parquet import open_parquet
from winnow.scripts import words_of
from winnow.stage import InputError, Progress

EXAMPLES = 10
"""Items of which results.json keeps the texts."""
SAMPLES, POSITIONS = 1 << 10, 1 << 14
"""More than a benchmark may have: keys of items, samples and positions stay apart."""
END = re.compile(r"[.!?。！？…۔।]+[\"'”’»)\]]*(?=\s|$)")
"""The end of a sentence."""


def quantiles(items: np.ndarray, samples: np.ndarray, tokens: int, seed: int) -> np.ndarray:
    """Keys of completions: float64 [n, tokens] in (0, 1), nan in rows of greedy ones (sample 0).

    `items`, `samples`: int64 [n].
    """
    place = ((items * SAMPLES + samples) * POSITIONS)[:, None] + np.arange(tokens)
    u = uniform("completion", seed, place.ravel()).reshape(place.shape)
    u[samples == 0] = np.nan
    return u


def chooser(u: np.ndarray, start: int, temperature: float) -> Any:
    """A logits processor that leaves one token a row: the most probable one where `u` is nan, else the quantile u of the
    distribution at `temperature`. `u`: float64 [n, tokens]; `start`: tokens of the prompts."""
    import torch
    from transformers import LogitsProcessor

    class Choose(LogitsProcessor):
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            at = torch.from_numpy(u[:, input_ids.shape[1] - start]).to(scores.device)
            cumulated = torch.softmax(scores.double() / temperature, dim=-1).cumsum(-1)
            drawn = torch.searchsorted(
                cumulated, (at.nan_to_num(0.5) * cumulated[:, -1])[:, None], right=True
            )
            drawn = drawn[:, 0].clamp(max=scores.shape[1] - 1)
            token = torch.where(at.isnan(), scores.argmax(-1), drawn)
            return torch.full_like(scores, -torch.inf).scatter_(1, token[:, None], 0.0)

    return Choose()


def complete(
    lm: Any, prompts: Sequence[str], items: np.ndarray, chosen: dict[str, Any], seed: int, batch_size: int, budget: int
) -> list[list[str]]:  # fmt: skip
    """The greedy completion of each prompt, and then its sampled ones.

    Parameters: `lm`, lm-eval's wrapper of a model; `items` int64 [n], of the prompts; `chosen`, words, tokens, samples and
    temperature; `batch_size`, completions, or 0: as many as `budget` tokens hold. A batch is of prompts of equal length,
    so that nothing is padded. A prompt that does not fit the model with its completion loses its first tokens.
    Raises InputError if the model's context is too short for any prompt.
    """
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    model, tokenizer, tokens = lm.model, lm.tokenizer, chosen["tokens"]
    room = lm.max_length - tokens
    if room < 1:
        raise InputError(
            f"completion.tokens: {tokens} leaves no room for a prompt in the model's context of {lm.max_length} tokens"
        )
    ids = [lm.tok_encode(prompt)[-room:] for prompt in prompts]
    rows = [(place, sample) for place in range(len(prompts)) for sample in range(1 + chosen["samples"])]
    rows.sort(key=lambda row: (-len(ids[row[0]]), int(items[row[0]]), row[1]))
    u = quantiles(items[[place for place, _ in rows]], np.array([s for _, s in rows]), tokens, seed)
    end = tokenizer.eos_token_id
    # Not the model's own settings (sampling, penalties): every model is asked in the same way.
    own, model.generation_config = model.generation_config, GenerationConfig()
    config = GenerationConfig(max_new_tokens=tokens, do_sample=False, eos_token_id=end, pad_token_id=end)
    texts: list[list[str]] = [[""] * (1 + chosen["samples"]) for _ in prompts]
    progress = Progress("evaluate", total=len(rows), unit="completions")
    start = 0
    try:
        while start < len(rows):
            length = len(ids[rows[start][0]])
            stop = start + (batch_size or max(1, budget // (length + tokens)))
            batch = [row for row in rows[start:stop] if len(ids[row[0]]) == length]
            given = torch.tensor([ids[place] for place, _ in batch], device=model.device)
            choose = chooser(u[start : start + len(batch)], length, chosen["temperature"])
            with torch.inference_mode():
                out = model.generate(
                    given,
                    attention_mask=torch.ones_like(given),
                    generation_config=config,
                    logits_processor=LogitsProcessorList([choose]),
                )
            for (place, sample), row in zip(batch, out[:, length:].tolist(), strict=True):
                kept = row[: row.index(end)] if end in row else row
                texts[place][sample] = tokenizer.decode(kept, skip_special_tokens=True)
            start += len(batch)
            progress.add(len(batch))
    finally:
        model.generation_config = own
    return texts


def distinct(words: Sequence[str], n: int) -> float:
    """Different n-grams over all n-grams; 0 if there is none."""
    ngrams = list(zip(*(words[i:] for i in range(n)), strict=False))
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def lengths(text: str, words: Sequence[str]) -> tuple[float, float]:
    """(letters a word, words a sentence); a text without the end of a sentence is one sentence."""
    if not words:
        return 0.0, 0.0
    return sum(map(len, words)) / len(words), len(words) / max(1, len(END.findall(text)))


def measures(completion: str, continuation: str, chrf: Any) -> dict[str, float]:
    """The measures of a completion, by the names of `winnow.completion_metrics`. `chrf`: of `chrf_scorer`."""
    words = words_of(completion)
    mine, true = lengths(completion, words), lengths(continuation, words_of(continuation))
    cut = completion.strip()[: len(continuation)]
    return {
        **{f"distinct_{n}": distinct(words, n) for n in (1, 2, 3)},
        "repetition": 1 - distinct(words, 4) if len(words) >= 4 else 0.0,
        "ends_sentence": float(END.search(completion) is not None),
        "word_length_gap": abs(mine[0] - true[0]),
        "sentence_length_gap": abs(mine[1] - true[1]),
        "chrf": chrf.sentence_score(cut, [continuation]).score / 100 if cut else 0.0,
    }


def chrf_scorer() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF()


def evaluate_completions(
    lm: Any, name: str, folder: Path, definition: dict[str, Any], batch_size: int, budget: int
) -> tuple[list[dict[str, Any]], dict[str, float], list[dict[str, Any]]]:
    """(rows of items.parquet, means by metric, examples of texts) of a benchmark of the form `completion`.

    Parameters: `lm`, lm-eval's wrapper of a model; `definition`, the benchmark's in the config; `batch_size`, `budget`: as
    of `complete`.
    """
    data = open_parquet(folder / "data.parquet", ["item", "group", "prompt", "continuation"]).read()
    data = data.sort_by("item")
    chosen = settings(definition.get("completion", {}))
    prompts, continuations = data["prompt"].to_pylist(), data["continuation"].to_pylist()
    items = data["item"].to_numpy()
    texts = complete(lm, prompts, items, chosen, definition.get("seed", 0), batch_size, budget)
    chrf = chrf_scorer()
    rows = []
    values: dict[str, list[float]] = {}
    for item, group, continuation, of_item in zip(
        items.tolist(), data["group"].to_pylist(), continuations, texts, strict=True
    ):
        measured = [measures(text, continuation, chrf) for text in of_item]
        of_metric = {f"greedy_{m}": measured[0][m] for m in COMPLETION}
        if chosen["samples"]:
            of_metric |= {
                f"sampled_{m}": float(np.mean([one[m] for one in measured[1:]])) for m in COMPLETION
            }
        for metric, value in of_metric.items():
            values.setdefault(metric, []).append(value)
            rows.append({"benchmark": name, "task": name, "item": item, "group": group, "metric": metric, "value": value,
                         "weight": 1.0})  # fmt: skip
    examples = [
        {
            "item": item,
            "prompt": prompt,
            "continuation": continuation,
            "greedy": of_item[0],
            "sampled": of_item[1:],
        }
        for item, prompt, continuation, of_item in zip(
            items.tolist()[:EXAMPLES], prompts, continuations, texts, strict=False
        )
    ]
    return rows, {metric: float(np.mean(of)) for metric, of in values.items()}, examples
