"""Provenance: where and with what the arms of a table were made, and whether they were made alike.

In: the claim ledger of a table, which names the items of each arm, and the records of jobs and runs (winnow.provenance). Out,
at a common prefix: `.provenance.json`, `.provenance.md`, `.provenance.html`: for each rule on the way from the source to the
items, its jobs, hosts, devices, and the versions of Winnow, Python and packages; and where these differ. They differ from
machine to machine; the table does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from winnow.pages import Page, Section, Table, html_page, markdown
from winnow.provenance import Record, Records, differences, not_recorded
from winnow.schema import read_spec
from winnow.stage import content_digest, read_json, run, say, write_json, write_text

STAGE_VERSION = 1
LEGEND = [
    "Differences in versions or devices between the arms of a table can be differences in its figures: float results agree "
    "bit for bit only on one machine with the same packages. Shared jobs (documents, vectors, clusters) serve all arms alike.",
    "The JSON file beside this page has the seeds, settings and digests of every job; `winnow lineage TABLE.csv ROW` goes from a "
    "figure to its documents.",
]  # fmt: skip


def items_of_arms(claims: Sequence[Mapping[str, Any]]) -> dict[str, list[Path]]:
    """The files of items of each arm and baseline of a ledger, in its order."""
    files: dict[str, dict[Path, None]] = {}
    for claim in claims:
        if claim["kind"] == "measured":
            for arm, side in ((claim["baseline"], "baseline_files"), (claim["arm"], "figure_files")):
                files.setdefault(arm, {}).update(dict.fromkeys(map(Path, claim[side])))
    return {arm: list(paths) for arm, paths in files.items()}


def summary(arms: Mapping[str, Sequence[Path]], records: Records) -> dict[str, Any]:
    """What the items of arms were made of.

    Keys: `arms` (items, and the rules and ids of the jobs, of each), `stages` (a row a rule: jobs, and their different values
    of each fact), `jobs` (each with its command, settings, inputs and outputs), `runs` (without their configurations, of
    which the digest is named), `differences` (sentences), `unrecorded` (files on the way without a record),
    `outputs_sha256` (of the digests of all files on the way, by their names).
    """
    upstream = {arm: records.upstream(paths) for arm, paths in arms.items()}
    jobs = {(r.rule, r.ids): r for found, _ in upstream.values() for r in found}
    outputs = {name: one["sha256"] for record in jobs.values() for name, one in record.job["outputs"].items()}
    return {
        "arms": {
            arm: {"items": list(map(str, paths)), "jobs": [f"{r.rule}/{r.ids}" for r in upstream[arm][0]]}
            for arm, paths in arms.items()
        },
        "stages": stages(list(jobs.values())),
        "jobs": {f"{record.rule}/{record.ids}": record.job for record in jobs.values()},
        "runs": {
            str(record.job["run"]): {key: value for key, value in record.run.items() if key != "config"}
            for record in jobs.values()
            if record.run
        },
        "differences": differences({arm: found for arm, (found, _) in upstream.items()}),
        "unrecorded": sorted({name for _, missing in upstream.values() for name in missing}),
        "outputs_sha256": content_digest(outputs),
    }


def stages(jobs: Sequence[Record]) -> list[dict[str, Any]]:
    """A row a rule: its jobs, first start and last end, hosts, and the different values of each fact, sorted."""
    rows = []
    for rule in dict.fromkeys(record.rule for record in jobs):
        of_rule = [record for record in jobs if record.rule == rule]
        facts: dict[str, set[str]] = {}
        for record in of_rule:
            for fact, value in record.facts().items():
                facts.setdefault(fact, set()).add(value)
        rows.append(
            {
                "rule": rule,
                "jobs": len(of_rule),
                "began": min(record.job["began"] for record in of_rule),
                "ended": max(record.job["ended"] for record in of_rule),
                "seconds": round(sum(record.job["seconds"] for record in of_rule), 2),
                "hosts": sorted({record.job["host"] for record in of_rule}),
                "facts": {fact: sorted(facts[fact]) for fact in sorted(facts)},
            }
        )
    return sorted(rows, key=lambda row: (row["began"], row["rule"]))


def stage_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows of `stages` as a table."""
    head = ["rule", "jobs", "began", "hosts", "device", "Winnow", "Python", "packages"]
    body = []
    for row in rows:
        facts = {fact: ", ".join(values) for fact, values in row["facts"].items()}
        packages = ", ".join(
            f"{fact} {text}" for fact, text in facts.items() if fact not in ("Winnow", "Python", "device")
        )
        body.append([row["rule"], str(row["jobs"]), row["began"], ", ".join(row["hosts"]), facts["device"], facts["Winnow"],
                     facts["Python"], packages])  # fmt: skip
    return head, body


def page_of(title: str, found: Mapping[str, Any]) -> Page:
    """The page of a `summary`."""
    unrecorded = found["unrecorded"]
    warnings = [f"Made differently: {line}" for line in found["differences"]]
    if unrecorded:
        warnings.append(not_recorded(unrecorded))
    answer = ["All jobs of a rule were made with the same versions on the same kind of device."]
    if not found["stages"]:
        answer = ["The table compares no arms, so there is nothing to trace."]
    runs = [
        [run.get("began", ""), name[:12], run.get("host", ""), (run.get("winnow") or {}).get("commit") or "unknown",
         " ".join(run.get("command", [])), run.get("config_sha256", "").removeprefix("sha256 ")[:12]]
        for name, run in found["runs"].items()
    ]  # fmt: skip
    sections = [Section("Jobs", stage_table(found["stages"]))]
    if runs:
        head = ["began", "run", "host", "commit", "command", "configuration"]
        sections.append(Section("Runs", (head, sorted(runs))))
    return Page(f"{title}: how it was made", warnings, LEGEND, sections, [], [] if warnings else answer)


def trace(*, claims: Path, results: Path, spec: str, out: Path) -> None:
    """Where and with what the arms of a table were made.

    Args:
        claims: the table's .claims.json.
        results: folder of the results, which has the records.
        spec: JSON with the key `title`.
        out: prefix of the files to write.
    """
    title = read_spec(spec, "title")["title"]
    found = summary(items_of_arms(read_json(claims)), Records(results))
    page = page_of(title, found)
    write_json(Path(f"{out}.provenance.json"), found)
    write_text(Path(f"{out}.provenance.md"), markdown(page))
    write_text(Path(f"{out}.provenance.html"), html_page(page))
    say(
        f"[provenance] {sum(row['jobs'] for row in found['stages'])} jobs, {len(found['differences'])} differences"
    )


if __name__ == "__main__":
    run(trace)
