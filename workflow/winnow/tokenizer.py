"""Opens a tokenizer so that text never becomes a control token.

A document that spells out `<|endoftext|>`, `[SEP]` or `</s>` holds these characters, not a control token. Every stage
opens its tokenizer with `open_tokenizer`, and saved ones set `split_special_tokens`, so that transformers' AutoTokenizer
reads texts in the same way (but for the rare tokenizers whose vocabulary holds the name of a control token as a piece
of text: see `as_text`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from winnow.stage import InputError, read_json

STAGE_VERSION = 2
END = "<|endoftext|>"


def as_text(tokenizer: Any, names: Iterable[str] = (), what: str = "the tokenizer") -> Any:
    """Makes a `tokenizers.Tokenizer` read the name of a control token inside a text as its characters; returns it.

    Control tokens are those that it marks as special, those that it puts around a text, END, and `names`; it still puts
    them around a text. Added tokens that are not special (runs of spaces) are text. Where the vocabulary of the model holds
    such a name as a piece (`</s>` of a Unigram model), words are also split inside it. Raises InputError, naming the
    tokenizer `what`, if a name still becomes its token.
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

    def still_tokens() -> list[str]:
        unknown = set(tokenizer.encode("𓀀𐎠", add_special_tokens=False).ids)
        return [n for n, token in ids.items() if _becomes(tokenizer, n, token, token in unknown)]

    if whole := [name for name in still_tokens() if len(name) > 1]:
        inside = "|".join(f"{re.escape(name[0])}(?={re.escape(name[1:])})" for name in whole)
        before = [] if tokenizer.pre_tokenizer is None else [tokenizer.pre_tokenizer]
        split = pre_tokenizers.Split(Regex(inside), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*before, split])
    if failed := still_tokens():
        raise InputError(
            f"{what}: {failed[0]!r} inside a text becomes the control token of this name; take another tokenizer"
        )
    return tokenizer


def _becomes(tokenizer: Any, name: str, token: int, unknown: bool) -> bool:
    """Whether `name` inside a text becomes `token`; if that is the token of unknown text: the whole name, not a part."""
    for text in (name, f"a {name} b", f"a{name}b"):
        encoded = tokenizer.encode(text, add_special_tokens=False)
        for one, (start, end) in zip(encoded.ids, encoded.offsets, strict=True):
            if one == token and (not unknown or text[start:end].strip() == name):
                return True
    return False


def open_tokenizer(path: Path, max_tokens: int = 0) -> Any:
    """The `tokenizers.Tokenizer` of a tokenizer.json, for which control tokens in a text are text (`as_text`), without padding.

    `max_tokens` of a text are kept, special ones included; 0: all. Control tokens that only the tokenizer_config.json
    beside it names count, too. Raises InputError if the file is not there.
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

    That length is saved with the model, as `model_max_length` of its tokenizer_config.json; without it, texts are cut at
    the model's last position. Without tokenizer.json transformers makes the tokenizer.
    Raises InputError if there is no fast one.
    """
    file = folder / "tokenizer_config.json"
    named = (read_json(file) if file.exists() else {}).get("model_max_length") or 10**9
    limit = min(int(named), int(read_json(folder / "config.json").get("max_position_embeddings") or 10**9))
    if (folder / "tokenizer.json").exists():
        return open_tokenizer(folder / "tokenizer.json", limit)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    if not tokenizer.is_fast:
        raise InputError(f"{folder}: no tokenizer.json; a fast tokenizer is needed")
    backend = as_text(tokenizer.backend_tokenizer, tokenizer.all_special_tokens, str(folder))
    backend.no_padding()
    backend.enable_truncation(limit)
    return backend


def load(tokenizer: Path) -> tuple[Any, int]:
    """(tokenizer, id of its end-of-text token) of a tokenizer.json. Raises InputError if it has none."""
    encoder = open_tokenizer(tokenizer)
    end = encoder.token_to_id(END)
    if end is None:
        raise InputError(f"{tokenizer}: has no {END} token to put between documents")
    return encoder, end
