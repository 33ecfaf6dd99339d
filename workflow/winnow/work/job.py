"""A job as the formula of its work sees it: its rule and wildcards, the configuration, the sizes of what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from winnow.experiments import NO_CLUSTERS
from winnow.selection import gpus
from winnow.work.requests import Sizes
from winnow.work.sizes import BLOCK, CorpusSize, Items, items_of, shard_documents, subset_documents, tokens_of

MB = 1e6
PYTHON, TABLES, TORCH, ENCODER, EVALUATION = 100, 200, 450, 600, 900
"""MB of a process that has loaded nothing, pyarrow, torch, transformers, lm-eval."""
LOGITS = 3 * 134
"""MB of the logits of a batch and what is made of them, on each core (winnow.likelihoods)."""
CUDA = 4000
"""MB of the host beside a process on a GPU."""
ENCODING = 130.0
"""Bytes of a token while a block of texts is tokenised, those beyond the limit of the model too."""
CHARACTERS = 32
"""Characters a token up to which a text is tokenised (winnow.embed.encoder)."""
PIECES = 2500.0
"""MB of a text's pieces at most while a source is read and a shard is written: chunks, row groups, of each thread."""


class Job:
    """A job as its formula sees it: rule and wildcards, the configuration, sizes."""

    def __init__(self, config: Mapping[str, Any], rule: str, ids: Mapping[str, Any], sizes: Sizes):
        self.config, self.rule, self.ids, self.sizes = config, rule, ids, sizes

    @property
    def size(self) -> CorpusSize:
        return self.sizes.corpus(self.ids["corpus"])

    @property
    def shards(self) -> int:
        return int(self.config["corpora"][self.ids["corpus"]]["shards"])

    @property
    def documents(self) -> int:
        """Documents of the job's shard, or of the corpus."""
        shard = self.ids.get("shard")
        if shard is None:
            return self.size.documents
        return shard_documents(self.size.documents, self.shards, int(shard))

    @property
    def text(self) -> float:
        """Bytes of their texts."""
        return self.documents * self.size.bytes

    @property
    def block_mb(self) -> float:
        """A block of texts, twice: as Arrow and as Python."""
        return 2.5 * min(self.documents, BLOCK) * self.size.bytes / MB

    def tokenised_mb(self, limit: float, texts: float = BLOCK) -> float:
        """Memory of `texts` texts while they are tokenised for a model of `limit` tokens."""
        read = min(tokens_of(self.size.bytes), CHARACTERS * limit / 4)
        return 2 * min(self.documents, texts) * read * ENCODING / MB

    def read_tokens(self, limit: float) -> float:
        """Tokens of a document that a model of `limit` tokens reads."""
        return min(limit, tokens_of(self.size.bytes))

    @property
    def clustering(self) -> Mapping[str, Any]:
        return self.config["clusterings"][self.ids["clustering"]]  # type: ignore[no-any-return]

    @property
    def dimension(self) -> int:
        """Of the vectors that the job's clustering goes by."""
        reduction = self.clustering["reduce"]
        if reduction:
            return int(self.config["reductions"][reduction]["dimensions"])
        return int(self.config["encoders"][self.clustering["encoder"]]["dimension"])

    @property
    def clusters(self) -> int:
        """Clusters of the job's clustering; of HDBSCAN an assumption."""
        if self.ids.get("clustering", NO_CLUSTERS) == NO_CLUSTERS:
            return 1
        return int(self.clustering["k"]) if self.clustering["method"] == "kmeans" else 200

    @property
    def gpus(self) -> int:
        return gpus(self.config, self.rule, self.ids)

    @property
    def subset(self) -> float:
        return subset_documents(self.config, self.ids["budget"], self.size)

    def items(self) -> list[Items]:
        suite = self.config["suites"][self.ids["suite"]]
        return [self.benchmark(name) for name in suite]

    def benchmark(self, name: str) -> Items:
        corpus = self.ids.get("corpus")
        size = self.sizes.corpus(corpus) if corpus else CorpusSize(0, 0.0)
        return items_of(self.config, name, corpus or "", size, self.sizes.benchmark(name))


def host_mb(gpus: int, memory: float) -> float:
    """Memory of the host, of a process on GPUs with what CUDA takes there."""
    return memory + (CUDA if gpus else 0)
