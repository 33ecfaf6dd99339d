"""Clusters -> a page for a person to inspect them, and exclusions that criteria propose.

In: documents, assignments. Of each cluster a random sample of the pool (keys of the purpose `inspect`) is measured
without a model; a cluster beyond a threshold is proposed for exclusion with its evidence. Out: the measures, the
proposals in the form of the exclusions a person edits, and a page with nearest, farthest and random examples, top
terms and the mix of domains. A proposal excludes a cluster only if the configuration applies proposals.
"""

from __future__ import annotations

import csv
import html
import io
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from winnow.pages import STYLE, group_name
from winnow.parquet import batches, is_listed, listed_docs, open_parquet
from winnow.sample.candidates import Candidates, Rows, Smallest
from winnow.schema import read_spec
from winnow.scripts import part
from winnow.stage import Progress, read_json, run, say, write_text

STAGE_VERSION = 2
CHARACTERS = 4000  # read of each document
EXAMPLES = 5
HASHES = 64  # of a MinHash signature
ALIKE = 0.7  # share of equal hashes of near-duplicates
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
COMMON = (
    "the of and to in a is that for it as was with be by on not he i this are or his from at which but "
    "have an had they you were their one all we can her has there been if more when will would who so no "
    "out up into do any your what than my other then its our these some could them only about time may "
    "very two she over such also "
)
ENGLISH = frozenset(COMMON.split())
# Name of a criterion: (what it measures, whether more is worse).
CRITERIA = {
    "near_duplicates": ("share of documents that have a near-duplicate in the sample", True),
    "boilerplate": ("share of the text in lines that at least 3 sampled documents have", True),
    "compressed": ("size of a document after compression, as a share of its own", False),
    "symbols": ("share of characters that are neither letters, digits nor spaces", True),
    "digits": ("share of characters that are digits", True),
    "names": ("share of words with a capital that begin no sentence", True),
    "english": ("share of words that are common English function words", False),
}


def shingles(text: str) -> np.ndarray:
    """MinHash signature of the 5-word shingles of a text, uint32 [HASHES] (Broder 1997); in a script without spaces
    a character is a word."""
    words = part(text.lower()).split()
    grams = {zlib.crc32(" ".join(words[i : i + 5]).encode()) for i in range(max(1, len(words) - 4))}
    x = np.fromiter(grams, dtype=np.uint64)
    factor = (np.arange(HASHES, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(0x9E3779B1)) | np.uint64(
        1
    )
    mixed = (x[:, None] + np.uint64(1)) * factor
    return ((mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(32)).min(0)


def near_duplicates(texts: Sequence[str]) -> float:
    """Share of texts whose signature agrees with that of another one in at least ALIKE of its hashes."""
    signatures = np.stack([shingles(text) for text in texts])
    alike = np.zeros(len(texts), dtype=bool)
    for i in range(len(texts)):
        same = (signatures == signatures[i]).mean(1) >= ALIKE
        same[i] = False
        alike[i] = same.any()
    return float(alike.mean())


def measure(texts: Sequence[str]) -> dict[str, float]:
    """The criteria of a cluster's sampled texts (at least one)."""
    lines = [[stripped for line in text.splitlines() if (stripped := line.strip())] for text in texts]
    spread = Counter(line for of_text in lines for line in set(of_text))
    total = sum(len(line) for of_text in lines for line in of_text)
    repeated = sum(len(line) for of_text in lines for line in of_text if spread[line] >= 3)
    joined = "\n".join(texts)
    characters = max(1, len(joined))
    letters = sum(c.isalpha() for c in joined)
    digits = sum(c.isdigit() for c in joined)
    blanks = sum(c.isspace() for c in joined)
    words = WORD.findall(joined)
    raw = [text.encode() for text in texts]
    inside = [m.group() for m in re.finditer(r"(?<![.!?:\n] )(?<=[^\s.!?:] )[^\W\d_]+", joined)]
    return {
        "near_duplicates": near_duplicates(texts) if len(texts) > 1 else 0.0,
        "boilerplate": repeated / max(1, total),
        "compressed": sum(len(zlib.compress(r, 6)) for r in raw) / max(1, sum(map(len, raw))),
        "symbols": (characters - letters - digits - blanks) / characters,
        "digits": digits / characters,
        "names": sum(w[0].isupper() for w in inside) / max(1, len(inside)),
        "english": sum(w.lower() in ENGLISH for w in words) / max(1, len(words)),
    }


def propose(measures: Mapping[str, float], thresholds: Mapping[str, float | None]) -> list[str]:
    """Evidence for an exclusion: one phrase for each criterion beyond its threshold (null switches a criterion off)."""
    reasons = []
    for name, (_, more) in CRITERIA.items():
        limit = thresholds.get(name)
        if limit is not None and (measures[name] > limit if more else measures[name] < limit):
            reasons.append(f"{name} {measures[name]:.2f} {'>' if more else '<'} {limit:g}")
    return reasons


def top_terms(texts: Mapping[int, Sequence[str]], many: int = 12) -> dict[int, list[str]]:
    """The `many` words that are most typical of a cluster's sample, by smoothed log odds of a document having them."""
    documents_with = {c: Counter(w for t in part for w in {w.lower() for w in WORD.findall(t) if len(w) > 2}) for c, part in texts.items()}  # fmt: skip
    everywhere = sum(documents_with.values(), Counter())
    size = sum(map(len, texts.values()))
    terms = {}
    for c, counts in documents_with.items():
        n = len(texts[c])
        odds = {
            w: m / (n + 1) * np.log((m + 0.5) / (n + 1) * (size - n + 1) / (everywhere[w] - m + 0.5))
            for w, m in counts.items()
        }
        terms[c] = sorted(odds, key=lambda w: (-odds[w], w))[:many]
    return terms


def choose(assignments: Sequence[Path], k: int, removed: np.ndarray, sample: int) -> list[Candidates]:
    """Of each cluster the sample, the nearest and the farthest documents."""
    caps = np.full(k, 1.0)
    keep = [Smallest(caps * n, 0, purpose="inspect") for n in (sample, EXAMPLES, EXAMPLES)]
    for path in assignments:
        for doc, cluster, distance in batches(path, ["doc", "cluster", "distance"]):
            pool = ~is_listed(doc, removed)
            doc, cluster, value = doc[pool], cluster[pool].astype(np.int32), distance[pool].astype(np.float64)
            for smallest, sign in zip(keep, (0.0, 1.0, -1.0), strict=True):
                smallest.add(Rows(cluster, doc, value * sign if sign else None))
    return [smallest.finish() for smallest in keep]


def read_texts(
    documents: Sequence[Path], chosen: np.ndarray, group: str | None
) -> tuple[dict[int, str], dict[int, str | None]]:
    """Beginning of the text, and the domain (None: the document has none), of the `chosen` documents (int64, ascending)."""
    text: dict[int, str] = {}
    domain: dict[int, str | None] = {}
    progress = Progress("inspect", len(documents), "shards")
    for path in documents:
        columns = ["doc", "text", *([group] if group else [])]
        with open_parquet(path, columns) as file:
            for batch in file.iter_batches(4096, columns=columns):
                rows = pa.array(np.flatnonzero(is_listed(batch.column("doc").to_numpy(), chosen)))
                part = batch.take(rows)
                doc = part.column("doc").to_pylist()
                start = pc.utf8_slice_codeunits(part.column("text"), 0, CHARACTERS).to_pylist()
                text.update(zip(doc, start, strict=True))
                if group:
                    names = [None if n is None else str(n) for n in part.column(group).to_pylist()]
                    domain.update(zip(doc, names, strict=True))
        progress.add(1)
    return text, domain


def page(title: str, rows: Sequence[dict[str, Any]], fingerprint: str, proposals: Path, file: str) -> str:
    """One self-contained HTML page: how to exclude clusters, a table of the measures, then a section for each cluster.

    `proposals`: the file of the proposals; `file`: the file from which a person's exclusions are read.
    """
    e = html.escape
    out = [
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{e(title)}</title>\n<style>{STYLE}'
    ]
    out.append(
        "pre{white-space:pre-wrap;background:#f6f6f6;padding:.5rem;margin:.3rem 0;font-size:12px}</style>"
    )
    out.append(f"<h1>{e(title)}</h1>")
    out.append(
        f"<p>Fingerprint of the clustering: <code>{e(fingerprint)}</code>. To exclude clusters from every arm of its "
        f"experiments:</p>\n<ol><li>Copy <code>{e(str(proposals))}</code> (what is proposed below is filled in), or "
        f"<code>exclusions-template.tsv</code> beside it (what is excluded now), to <code>{e(file)}</code>.</li>\n"
        "<li>Edit it: one line <code>cluster</code>, a tab, <code>reason</code> for each cluster to exclude; keep the first "
        "line, which names the fingerprint.</li>\n<li>Run the same <code>snakemake</code> command again without the "
        "target <code>clusters</code>; with <code>-n</code> it only shows which draws would be made anew.</li></ol>\n<ul>"
    )
    out += [f"<li><b>{name}</b>: {what}</li>" for name, (what, _) in CRITERIA.items()]
    out.append('</ul>\n<div class="wide"><table><thead><tr><th>cluster</th><th>documents</th>')
    out.append(
        "".join(f"<th>{n}</th>" for n in CRITERIA) + "<th>proposed</th><th>terms</th></tr></thead><tbody>"
    )
    for row in rows:
        cells = "".join(f'<td class="r">{row[n]:.3f}</td>' for n in CRITERIA)
        terms, why = e(" ".join(row["terms"][:6])), e("; ".join(row["reasons"]))
        out.append(f'<tr><td class="r"><a href="#c{row["cluster"]}">{row["cluster"]}</a></td><td class="r">'
                   f'{row["documents"]:,}</td>{cells}<td class="n worse">{why}</td><td class="n">{terms}</td></tr>')  # fmt: skip
    out.append("</tbody></table></div>")
    for row in rows:
        out.append(
            f'<h2 id="c{row["cluster"]}">Cluster {row["cluster"]}: {row["documents"]:,} documents</h2>'
        )
        out.append(f"<p>{e(', '.join(row['terms']))}</p>")
        if row["domains"]:
            mix = (f"{'<i>no domain</i>' if name is None else e(group_name(name))} {share:.0%}" for name, share in row["domains"])  # fmt: skip
            out.append(f"<p>{', '.join(mix)}</p>")
        for kind, examples in row["examples"].items():
            out.append(f"<h3>{kind}</h3>")
            out += [f"<pre>{doc}: {e(text[:300])}</pre>" for doc, text in examples]
    return "\n".join(out) + "\n</html>\n"


def main(
    *,
    documents: list[Path],
    assignments: list[Path],
    heldout: Path,
    fingerprint: Path,
    always: list[Path] = [],
    spec: str,
    out: Path,
    proposals: Path,
    criteria: Path,
) -> None:
    """Measure the clusters and write the page.

    Args:
        documents: document shards (doc, text, the domain's column).
        assignments: assignment shards (doc, cluster, distance).
        heldout: documents outside the pool (parquet: doc).
        fingerprint: JSON with the clustering's fingerprint and number of clusters.
        always: exclusions (TSV) that the proposals include, such as those of noise.
        spec: JSON: name, proposals (documents per cluster, thresholds), group (column of the domain, or null).
        out: HTML page to write.
        proposals: TSV to write, in the form of a person's exclusions.
        criteria: CSV to write: the measures of each cluster.
    """
    settings = read_spec(spec, "name", "proposals", "group")
    identity = read_json(fingerprint)
    chosen = choose(
        assignments, identity["clusters"], listed_docs([heldout]), settings["proposals"]["documents"]
    )
    docs = np.unique(np.concatenate([c.doc for c in chosen]))
    text, domain = read_texts(documents, docs, settings["group"])
    filled = np.flatnonzero(chosen[0].pool > 0).tolist()
    sampled = {c: chosen[0].doc[chosen[0].cluster == c].tolist() for c in filled}
    terms = top_terms({c: [text[d] for d in docs] for c, docs in sampled.items()})
    given: dict[int, str] = {}
    for path in always:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith(("#", "cluster\t")):
                cluster, reason = line.split("\t", 1)
                given[int(cluster)] = reason
    rows: list[dict[str, Any]] = []
    for c in filled:
        measures = measure([text[d] for d in sampled[c]])
        reasons = ([given[c]] if c in given else []) + propose(measures, settings["proposals"]["thresholds"])
        nearest, farthest = (part.doc[part.cluster == c].tolist() for part in chosen[1:])
        kinds = {"nearest": nearest, "farthest": farthest, "random": sampled[c][:EXAMPLES]}
        mix = Counter(domain[d] for d in sampled[c]).most_common(6) if settings["group"] else []
        rows.append({
            "cluster": c, "documents": int(chosen[0].pool[c]), **measures, "reasons": reasons, "terms": terms[c],
            "domains": [(name, n / len(sampled[c])) for name, n in mix],
            "examples": {kind: [(d, text[d]) for d in docs] for kind, docs in kinds.items()},
        })  # fmt: skip
    flagged = [row for row in rows if row["reasons"]]
    say(f"[inspect {settings['name']}] {len(flagged)} of {len(rows)} clusters are proposed for exclusion")
    lines = [f"# clustering {identity['fingerprint']}", "cluster\treason"]
    lines += [f"{row['cluster']}\t{'; '.join(row['reasons'])}" for row in flagged]
    write_text(proposals, "\n".join(lines) + "\n")
    table = io.StringIO()
    writer = csv.DictWriter(table, ["cluster", "documents", *CRITERIA, "proposed"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        figures = {name: row[name] for name in ("cluster", "documents", *CRITERIA)}
        writer.writerow(figures | {"proposed": "; ".join(row["reasons"])})
    write_text(criteria, table.getvalue())
    file = f"config/exclusions/{settings['name'].replace('/', '.')}.tsv"
    write_text(out, page(f"{settings['name']}: its clusters", rows, identity["fingerprint"], proposals, file))


if __name__ == "__main__":
    run(main)
