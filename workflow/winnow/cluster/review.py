"""Measured clusters and a map of documents -> the review page on which a person keeps or excludes clusters.

In: what `winnow.cluster.inspection` measured. Out: one HTML file that loads nothing; its content is JSON inside it, which
its script shows as text. Every text is cut so that the page stays below 25 MB.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from winnow.cluster.review_map import Sample, grid
from winnow.pages import read_template, render, script_json

SCRIPTS = ("exclusions.js", "map.js", "review.js")
EXCERPTS = 9_000_000  # bytes of all examples in the page
EXCERPT, START, NAME = 1500, 150, 60  # bytes of an example, of the start of a document, of a name, at most
DOMAINS = 10  # that the map tells apart
SIMILAR = 5  # clusters
NONE = 255  # in an array of bytes: no value


@dataclass(frozen=True)
class Map:
    """The map's documents: `sample`; `places` float64 [n, 2] and `method`, what they are; `starts` [n]; `domains` [n] (None:
    the document has none), or None without such a column; `near_duplicate` bool [n]; `scores`: float64 [n] by scorer."""

    sample: Sample
    places: np.ndarray
    method: str
    starts: Sequence[str]
    domains: Sequence[str | None] | None
    near_duplicate: np.ndarray
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)


def cut(text: str, size: int) -> str:
    """The beginning of a text that takes at most `size` bytes as JSON in a page."""
    part = text[:size]
    while (length := len(script_json(part).encode()) - 2) > size:
        part = part[: min(len(part) - 1, len(part) * size // length)]
    return part


def start_of(text: str) -> str:
    """The start of a document on one line, for the map."""
    return cut(" ".join(text[: 3 * START].split()), START)


def _packed(values: np.ndarray, kind: str) -> str:
    """An array as base64 of little-endian numbers."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode("ascii")


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def similar_clusters(centroids: np.ndarray, clusters: Sequence[int]) -> list[list[tuple[int, float]]]:
    """For each of the clusters the SIMILAR others whose centroids are nearest, with the cosines; centroids float [k, d]."""
    table = centroids[list(clusters)].astype(np.float32)
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    out = []
    for start in range(0, len(table), 512):
        cosine = table[start : start + 512] @ table.T
        cosine[np.arange(len(cosine)), np.arange(start, start + len(cosine))] = -np.inf
        nearest = np.argsort(-cosine, axis=1, kind="stable")[:, : min(SIMILAR, len(table) - 1)]
        out += [
            [(int(clusters[j]), _rounded(float(row[j]))) for j in near]
            for row, near in zip(cosine, nearest, strict=True)
        ]
    return out


def _scores(values: np.ndarray, name: str) -> dict[str, Any] | None:
    """Scores in 255 steps between their 1st and 99th percentiles; None if no document of the map has one."""
    known = np.isfinite(values)
    if not known.any():
        return None
    low, high = (float(x) for x in np.percentile(values[known], (1, 99)))
    steps = np.full(len(values), NONE, dtype=np.uint8)
    steps[known] = np.round(
        np.clip((values[known] - low) / max(high - low, 1e-12), 0, 1) * (NONE - 1)
    ).astype(np.uint8)
    return {"name": name, "low": _rounded(low), "high": _rounded(high), "steps": _packed(steps, "u1")}


def map_data(points: Map, clusters: Sequence[int]) -> dict[str, Any]:
    """What the page holds of the map; `clusters`: the cluster of each card, ascending."""
    places = grid(points.places)
    cards = np.searchsorted(np.asarray(clusters), points.sample.cluster)
    out: dict[str, Any] = {
        "method": points.method,
        "x": _packed(places[:, 0], "<u2"),
        "y": _packed(places[:, 1], "<u2"),
        "card": _packed(cards, "<u4"),
        "doc": points.sample.doc.tolist(),
        "start": list(points.starts),
        "duplicate": _packed(points.near_duplicate, "u1"),
        "scores": [s for name, values in points.scores.items() if (s := _scores(values, name))],
        "domains": None,
    }
    if points.domains is not None:
        counts = Counter(name for name in points.domains if name is not None)
        names = sorted(counts, key=lambda name: (-counts[name], name))[:DOMAINS]
        code = {name: i for i, name in enumerate(names)}
        codes = [NONE if d is None else code.get(d, len(names)) for d in points.domains]
        out["domains"] = [cut(name, NAME) for name in names]
        out["domain"] = _packed(np.array(codes), "u1")
    return out


def card(row: Mapping[str, Any], excerpt: int) -> dict[str, Any]:
    """What the page holds of a cluster, whose examples take `excerpt` bytes each."""
    examples = {}
    for kind, documents in row["examples"].items():
        parts = [(doc, text, cut(text, excerpt)) for doc, text in documents]
        examples[kind] = [[doc, part, len(part) < len(text)] for doc, text, part in parts]
    named = {key: [[None if n is None else cut(n, NAME), _rounded(share)] for n, share in row[key]] for key in ("domains", "scripts")}  # fmt: skip
    measures = {key: _rounded(row[key]) for key in ("mean_distance", "diversity")}
    return {
        "cluster": row["cluster"],
        "documents": row["documents"],
        **measures,
        "measures": [_rounded(value) for value in row["measures"]],
        "preset": row["preset"],
        "reasons": row["reasons"],
        "terms": [cut(term, NAME) for term in row["terms"]],
        **named,
        "similar": row["similar"],
        "examples": examples,
    }


def page(about: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], points: Map) -> str:
    """The page. `about`: `name`, `fingerprint`, `clusters` (all of the clustering, empty ones too), `documents` (of the pool),
    `sample` (documents measured of each cluster), `criteria`, `file` (from which a person's exclusions are read), `group` (the
    column of the domain, or None). `rows`: a non-empty cluster each, in the order of `cluster`."""
    examples = sum(len(documents) for row in rows for documents in row["examples"].values())
    excerpt = min(EXCERPT, EXCERPTS // max(1, examples))
    data = {
        **about,
        "cards": [card(row, excerpt) for row in rows],
        "map": map_data(points, [row["cluster"] for row in rows]),
    }
    script = "".join(read_template(name) for name in SCRIPTS)
    return render("review.html", title=f"{about['name']}: review of clusters", about=about, shown=len(points.sample.doc),
                  script=script, data=script_json(data))  # fmt: skip
