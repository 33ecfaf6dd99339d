"""Sizes of models: weights, and floating-point operations a token, from their definitions in the configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from winnow.device import NEOX_VOCABULARY

Config = Mapping[str, Any]

WORD_PIECES = 30_522
"""Vocabulary of the BERT family."""
USUAL_PROXY = 70e6
"""Weights assumed of a Hub model whose name does not say."""


@dataclass(frozen=True)
class Network:
    """A transformer. `weights`: of the matrices that each token is multiplied by; `parameters`: of all, embeddings too;
    `causal`: whether a token attends to those before it only."""

    layers: int
    width: int
    weights: float
    parameters: float
    causal: bool

    def forward(self, length: float) -> float:
        """FLOPs of a token in a text of `length` tokens, forward: 2 for each weight, and 4 x layers x width x length for
        attention, half of that if causal (as winnow.device.flops_a_token, a third of whose are forward)."""
        attention = 4.0 * self.layers * self.width * length
        return 2.0 * self.weights + (attention / 2 if self.causal else attention)


def encoder(dimension: int) -> Network:
    """A BERT of this width, as their families go: MiniLM has 6 layers, base 12, large 24."""
    layers = 6 if dimension <= 384 else 12 if dimension <= 768 else 24
    weights = 12.0 * layers * dimension**2
    return Network(layers, dimension, weights, weights + WORD_PIECES * dimension, False)


def published(name: str) -> Network:
    """A language model of the Hub, by the size in its name (pythia-1.4b)."""
    size = re.search(r"(?<![\d.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", name.lower())
    parameters = float(size[1]) * {"m": 1e6, "b": 1e9}[size[2]] if size else USUAL_PROXY
    width = max(64, round((parameters / 300) ** 0.5))  # 12 x layers x width^2, of some 24 layers
    return Network(24, width, parameters, parameters, True)


def model(config: Config, name: str) -> Network:
    """The network of a model of the configuration; of a probe that of its encoder."""
    one = config["models"][name]
    if one["kind"] in ("classifier", "probe"):
        return encoder(config["encoders"][one["encoder"]]["dimension"])
    if one["kind"] == "pretrained":
        weights = one["weights"]
        return published(weights.get("hub") or weights.get("folder") or "")
    vocabulary = config["tokenizers"][one["tokenizer"]].get("vocabulary", NEOX_VOCABULARY)
    blocks = 12.0 * one["layers"] * one["width"] ** 2
    head = float(vocabulary * one["width"])
    return Network(one["layers"], one["width"], blocks + head, blocks + 2 * head, True)


def max_tokens(config: Config, name: str) -> int:
    """Tokens of a text that a model reads at a time."""
    one = config["models"][name]
    if one["kind"] == "probe":
        return int(config["encoders"][one["encoder"]]["max_tokens"])
    return int(one.get("max_tokens") or one.get("sequence") or 2048)
