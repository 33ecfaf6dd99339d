"""Opening a tokenizer, for which text is text.

A document that spells out `<|endoftext|>`, `[SEP]` or `</s>` holds these characters, not a control token. Every stage
opens its tokenizer with `open_tokenizer`, and what is saved sets `split_special_tokens`, so that transformers'
AutoTokenizer reads texts in the same way (but for the rare tokenizers whose vocabulary itself holds the name of a
control token as a piece of text: see `as_text`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from winnow.stage import InputError, read_json

STAGE_VERSION = 2
END = "<|endoftext|>"


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

    def control_tokens_of_text() -> list[str]:
        unknown = set(tokenizer.encode("𓀀𐎠", add_special_tokens=False).ids)
        return [n for n, token in ids.items() if _becomes(tokenizer, n, token, token in unknown)]

    if whole := [name for name in control_tokens_of_text() if len(name) > 1]:
        inside = "|".join(f"{re.escape(name[0])}(?={re.escape(name[1:])})" for name in whole)
        before = [] if tokenizer.pre_tokenizer is None else [tokenizer.pre_tokenizer]
        split = pre_tokenizers.Split(Regex(inside), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*before, split])
    if left := control_tokens_of_text():
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


def open_tokenizer(path: Path, configs: Sequence[Path], max_tokens: int = 0) -> Any:
    """The `tokenizers.Tokenizer` of a tokenizer.json, for which text is text (`as_text`); it does not pad.

    `configs`: JSON files that may name more control tokens (tokenizer_config.json, special_tokens_map.json).
    `max_tokens`: of a text, special ones included, the rest is cut; 0: texts are not cut. Raises InputError if a file is
    not there.
    """
    from tokenizers import Tokenizer

    for file in (path, *configs):
        if not file.exists():
            raise InputError(f"{file}: no such file; a fast tokenizer is needed")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the class that the library raises
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(
            f"{path}: no tokenizer of the library tokenizers ({reason}); make it again"
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    named: list[Any] = []
    for config in map(read_json, configs):
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


def open_model_tokenizer(folder: Path, max_tokens: int = 0) -> Any:
    """The tokenizer of a model folder in Hugging Face layout (`open_tokenizer`)."""
    configs = [folder / file for file in ("tokenizer_config.json", "special_tokens_map.json")]
    return open_tokenizer(folder / "tokenizer.json", [path for path in configs if path.exists()], max_tokens)


def classifier_tokenizer(folder: Path) -> Any:
    """The tokenizer of a saved classifier, cut at as many tokens as it was trained on.

    That length is saved with the model, as `model_max_length` of its tokenizer_config.json; a model from elsewhere may
    name none, and is read up to its last position. Without tokenizer.json transformers makes the tokenizer.
    Raises InputError if there is no fast one.
    """
    file = folder / "tokenizer_config.json"
    named = (read_json(file) if file.exists() else {}).get("model_max_length") or 10**9
    limit = min(int(named), int(read_json(folder / "config.json").get("max_position_embeddings") or 10**9))
    if (folder / "tokenizer.json").exists():
        return open_model_tokenizer(folder, limit)
    from transformers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    if not made.is_fast:
        raise InputError(f"{folder}: no tokenizer.json; a fast tokenizer is needed")
    tokenizer = as_text(made.backend_tokenizer, made.all_special_tokens, str(folder))
    tokenizer.no_padding()
    tokenizer.enable_truncation(limit)
    return tokenizer


def load(tokenizer: Path, config: Path) -> tuple[Any, int]:
    """(tokenizer, id of its end-of-text token) of a tokenizer.json and its tokenizer_config.json. Raises InputError if it
    has no such token."""
    encoder = open_tokenizer(tokenizer, [config])
    end = encoder.token_to_id(END)
    if end is None:
        raise InputError(f"{tokenizer}: has no {END} token to put between documents")
    return encoder, end
