"""Clusters + a person's exclusions -> the cluster table that samplers read.

The exclusions are a TSV that a person edits: `cluster<TAB>reason`, after a first line
`# clustering FINGERPRINT`. The same id is another cluster in another clustering, so a fingerprint
that does not match is an error.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.parquet import read_table
from winnow.stage import InputError, atomic_path, read_json, run, say, write_text

STAGE_VERSION = 2
HEADER = "# clustering "


def read_exclusions(path: Path, fingerprint: str, k: int) -> dict[int, str]:
    """Reason by excluded cluster.

    Raises InputError naming the line for a wrong fingerprint, an unknown or repeated cluster, or a
    missing reason.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; save it as UTF-8 text") from None
    if not lines or not lines[0].startswith(HEADER):
        raise InputError(f"{path}, line 1: must be '{HEADER}{fingerprint}'")
    given = lines[0].removeprefix(HEADER).strip()
    if given != fingerprint:
        raise InputError(
            f"{path}, line 1: was written for clustering {given}, but this clustering is {fingerprint}; "
            "the ids are of other clusters: review them again"
        )
    reasons: dict[int, str] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line.strip() or line.startswith("#") or line.split("\t")[0] == "cluster":
            continue
        fields = line.split("\t")
        if len(fields) < 2 or not fields[1].strip():
            raise InputError(f"{path}, line {number}: must be 'cluster<TAB>reason', not {line!r}")
        if not fields[0].strip().isdecimal() or int(fields[0]) >= k:
            raise InputError(f"{path}, line {number}: cluster {fields[0]!r} is not in 0 to {k - 1}")
        if int(fields[0]) in reasons:
            raise InputError(f"{path}, line {number}: duplicate of cluster {fields[0]}; remove one of them")
        reasons[int(fields[0])] = fields[1].strip()
    return reasons


def main(
    *, clusters: Path, fingerprint: Path, out: Path, template: Path, exclusions: list[Path] = [], name: str
) -> None:
    """Mark the excluded clusters.

    Args:
        clusters: cluster summary (parquet).
        fingerprint: JSON with the clustering's fingerprint.
        out: parquet to write: the summary with `excluded` bool and `reason`.
        template: TSV to write, with the fingerprint, for a person to fill in.
        exclusions: the person's TSV (one, or none); without it nothing is excluded.
        name: CORPUS.CLUSTERING, the name under which the person's TSV is saved.
    """
    table = read_table(clusters)
    if missing := [name for name in ("cluster", "documents") if name not in table.column_names]:
        raise InputError(f"{clusters}: no column {missing[0]!r}; columns: {', '.join(table.column_names)}")
    k, identity = len(table), read_json(fingerprint)["fingerprint"]
    reasons = read_exclusions(exclusions[0], identity, k) if exclusions else {}
    if len(reasons) == k:
        raise InputError(f"{exclusions[0]}: all {k} clusters are excluded; nothing is left to draw from")
    excluded = np.isin(np.arange(k), list(reasons))
    documents = table["documents"].to_numpy()
    say(
        f"[exclude] {len(reasons)} of {k} clusters, {documents[excluded].sum():,} of {documents.sum():,} documents"
    )
    table = table.append_column("excluded", pa.array(excluded))
    table = table.append_column("reason", pa.array([reasons.get(i) for i in range(k)], pa.string()))
    lines = [
        HEADER + identity,
        f"# cluster<TAB>reason; save as config/exclusions/{name}.tsv",
        "cluster\treason",
    ]
    write_text(template, "\n".join([*lines, *(f"{i}\t{r}" for i, r in sorted(reasons.items()))]) + "\n")
    with atomic_path(out) as partial:
        pq.write_table(table, partial, compression="zstd")


if __name__ == "__main__":
    run(main)
