"""The page of the overlap of samplers: rows of winnow.sample.compare_samplers in, warnings and tables out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from winnow.pages import Page, Section
from winnow.sample.overlap import DIFFER, HARDLY, NEARLY, UNSEEN

REFERENCE, PAIR = "reference", "pair"  # kinds of rows


def title_of(row: Mapping[str, Any]) -> str:
    """Name of the section that a row is in."""
    return f"table {row['table']}" if row["table"] else str(row["experiment"])


def warnings_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each pair that hardly differs, or in which no difference is seen."""
    words = {
        NEARLY: "ARE NEARLY THE SAME DOCUMENTS",
        HARDLY: "HARDLY DIFFER",
        UNSEEN: "hold different documents, as two random draws do, and NO DIFFERENCE IS SEEN in what is measured here",
    }
    return [
        f"{title_of(row)}: {row['a']} and {row['b']} {words[row['verdict']]}: overlap {row['jaccard']:.3f} "
        f"({row['chance_jaccard']:.3f} by chance)"
        + ("" if row["allocation_tv"] is None else f", total variation {row['allocation_tv']:.4f}")
        for row in rows
        if row["verdict"] in words
    ]


LEGEND = (
    "Overlap: documents of both over documents of either (Jaccard); by chance: that of two independent draws of these sizes "
    "from the pool. Arms of one data seed share keys, so two that rank at random overlap more than that; so "
    "do an arm that asks a model in rounds and the arm that its first draw is of. Rounds are compared by all documents up to the "
    "last one.",
    "Allocations, domains, labels: total variation between the mixes, 0 (equal) to 1. Distance, length: Kolmogorov-Smirnov "
    "distance between the distributions of distances to the centroid, and of bytes, 0 to 1. Duplicates: share of "
    "documents with the text of another one of the draw. Means over the data seeds that both arms have; a / b where the two "
    "arms are not alike.",
    "The reference is two random draws of the pool (without held-out documents and excluded clusters), mean of absolute "
    "values. A pair differs if it overlaps less than random draws do, or another measure is beyond theirs (of two random "
    "arms of one seed about one in twelve is called different by any of them, of three seeds one in fifteen). It hardly differs if it overlaps more than chance and "
    "differs in nothing else. At chance overlap the documents differ; what ranks them may be something that is not "
    "measured here, so 'no difference seen' means no more than that.",
)


def _cells(row: dict[str, Any]) -> dict[str, str]:
    def both(name: str, form: str) -> str:
        values = [row[f"{name}_{side}"] for side in "ab"]
        if values == [None, None]:
            return ""
        shown = ["-" if v is None else format(v, form) for v in values]
        return shown[0] if shown[0] == shown[1] else " / ".join(shown)

    def plain(name: str) -> str:
        return "" if row[name] is None else f"{row[name]:.4f}"

    return {
        "a": row["a"], "b": row["b"], "overlap": plain("jaccard"), "by chance": plain("chance_jaccard"),
        "allocations": plain("allocation_tv"), "domains": plain("group_tv"), "labels": plain("label_tv"),
        "distance": plain("distance_ks"), "length": plain("length_ks"), "mean distance": both("mean_distance", ".4f"),
        "mean bytes": both("mean_bytes", ",.0f"), "duplicates": both("duplicates", ".4f"),
        "documents": both("documents", ",.0f"), "tokens": both("tokens", ",.0f"), "verdict": row["verdict"] or "reference",
    }  # fmt: skip


def page_of(rows: Sequence[dict[str, Any]], title: str) -> Page:
    """A section for each table or experiment; columns without a known value are left out."""
    by_section: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_section.setdefault(title_of(row), []).append(row)
    sections, answer = [], []
    for name, section in by_section.items():
        cells = [_cells(row) for row in section]
        head = [column for column in cells[0] if any(line[column] for line in cells)]
        about = f"{name}: draws from a pool of {section[0]['pool']:,} documents"
        sections.append(Section(about, (head, [[line[column] for column in head] for line in cells])))
        pairs = [row for row in section if row["kind"] == PAIR]
        if section[0]["table"] and pairs:
            differ = [row["b"] for row in pairs if row["verdict"] == DIFFER]
            some = f": {', '.join(differ)}" if differ else ""
            answer.append(f"{name}: {len(differ)} of {len(pairs)} arms differ from {pairs[0]['a']}{some}.")
    return Page(title, warnings_of(rows), list(LEGEND), sections, answer=answer)
