"""The claim ledger: one row per claim, with its verdict and the files that its numbers came from.

In: rows of a comparison, or the ledgers of several tables. Out: `.claims.csv` and `.claims.json`, the same rows. A claim of
a table is measured; where the table names published figures, it may be of the study, too (`winnow.compare.published`).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from winnow.compare.claims import Row
from winnow.compare.sentences import claim_of, notes_of, sign_text
from winnow.csv_files import write_rows
from winnow.stage import read_json, run, say, write_json

STAGE_VERSION = 1
MEASURED, PUBLISHED = "measured", "published"
"""Kinds of claims: of this workflow, and of the study."""
NOT_MEASURED = "not measured here"
"""Printed in place of the measured verdict of a claim of the study that no arm measures."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A row of the ledger; its fields are the columns."""

    table: str
    claim: str
    arm: str
    baseline: str
    benchmark: str
    metric: str
    scope: str
    group: str | None
    figure: float
    baseline_figure: float
    scale: str
    effect: float | None
    ci_low: float | None
    ci_high: float | None
    interval: str | None
    p: float | None
    family: str | None = None
    p_adjusted: float | None
    verdict: str | None
    seeds: int | None = None
    baseline_seeds: int | None = None
    items: int | None = None
    kind: str
    published_verdict: str | None = None
    recomputed_verdict: str | None = None
    raw_verdict: str | None = None
    measured_verdict: str | None = None
    measured_scale: str | None = None
    measured_effect: float | None = None
    measured_ci_low: float | None = None
    measured_ci_high: float | None = None
    measured_p_adjusted: float | None = None
    figure_files: list[str]
    baseline_files: list[str]
    source_files: list[str]
    dead: list[dict[str, Any]] | None = None
    notes: list[str]


COLUMNS = tuple(one.name for one in fields(Claim))


def dead_runs(row: Row) -> list[dict[str, Any]]:
    """The dead models of a row as JSON: data seed, training seed, reasons."""
    return [
        {"data_seed": data, "training_seed": training, "reasons": [sign_text(sign) for sign in signs]}
        for (data, training), signs in row.dead.items()
    ]


def claims_of(rows: Sequence[Row]) -> list[Claim]:
    """A claim for each comparison of a table."""
    baselines = {(*row.pair, row.group): row for row in rows if row.is_baseline}
    claims = []
    for row in rows:
        if row.is_baseline or row.verdict is None:
            continue
        baseline = baselines[*row.pair, row.group]
        group = "" if row.group is None else f", group {json.dumps(row.group, ensure_ascii=False)}"
        where = f"{row.benchmark} ({row.metric}{group})"
        claims.append(
            Claim(
                table=row.table,
                claim=claim_of(row.verdict, row.arm, row.baseline, where),
                arm=row.arm,
                baseline=row.baseline,
                benchmark=row.benchmark,
                metric=row.metric,
                scope=row.scope,
                group=row.group,
                figure=row.figure,
                baseline_figure=baseline.figure,
                scale=row.scale,
                effect=row.effect,
                ci_low=row.ci_low,
                ci_high=row.ci_high,
                interval=row.comparison.unit if row.comparison else None,
                p=row.p,
                family=row.family,
                p_adjusted=row.p_adjusted,
                verdict=row.verdict,
                seeds=row.seeds,
                baseline_seeds=baseline.seeds,
                items=row.items,
                kind=MEASURED,
                measured_verdict=row.verdict,
                measured_scale=row.scale,
                measured_effect=row.effect,
                measured_ci_low=row.ci_low,
                measured_ci_high=row.ci_high,
                measured_p_adjusted=row.p_adjusted,
                figure_files=row.items_files,
                baseline_files=row.baseline_files,
                source_files=row.manifests,
                dead=dead_runs(row),
                notes=notes_of(row),
            )
        )
    return claims


def write_claims(out: Path, claims: Iterable[Claim]) -> None:
    """Writes `{out}.claims.csv` and `{out}.claims.json`: the same rows."""
    rows = [asdict(claim) for claim in claims]
    write_rows(Path(f"{out}.claims.csv"), rows, COLUMNS)
    write_json(Path(f"{out}.claims.json"), [{k: _finite(v) for k, v in row.items()} for row in rows])


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def collate(*, claims: list[Path], out: Path) -> None:
    """One ledger of the claims of several tables. A claim of the study that several tables hold is listed once, measured if
    one of them measured it.

    Args:
        claims: .claims.json files.
        out: prefix of the .claims.csv and .claims.json to write.
    """
    ledger: dict[tuple[Any, ...], Claim] = {}
    for path in claims:
        for row in read_json(path):
            claim = Claim(**row)
            key: tuple[Any, ...] = (
                claim.kind,
                claim.arm,
                claim.baseline,
                claim.benchmark,
                claim.metric,
                claim.group,
            )
            if claim.kind == MEASURED:
                key = (*key, claim.table)
            if key not in ledger or ledger[key].measured_scale is None:
                ledger[key] = claim
    write_claims(out, ledger.values())
    verdicts = Counter(claim.measured_verdict for claim in ledger.values())
    counts = ", ".join(f"{n} {verdict}" for verdict, n in sorted(verdicts.items()))
    say(f"[ledger] {len(ledger)} claims of {len(claims)} tables: {counts}")


if __name__ == "__main__":
    run(collate)
