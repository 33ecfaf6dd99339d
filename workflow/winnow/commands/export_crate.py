"""`winnow export-crate`: a run's tables, models and subsets, and how they were made, as an RO-Crate.

In: tables with their claim ledgers, the records of jobs and runs (winnow.provenance), CITATION.cff. Out:
RESULTS/ro-crate-metadata.json (RO-Crate 1.1, Process Run Crate 0.5), which makes the folder of the results a crate: nothing is
copied. It describes every file on the way from the source to the tables (bytes and SHA-256 as they were written), the
job that made it (CreateAction: command with settings and seeds, inputs, start and end, host and device), Winnow with its
commit, Python and packages with their versions, the configuration of each run, licence and citation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from winnow.compare.provenance import items_of_arms
from winnow.provenance import RUNS, Record, Records
from winnow.stage import InputError, read_json, write_json

METADATA = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
ROOT = Path(__file__).parents[3]
KINDS = {".parquet": "application/vnd.apache.parquet", ".json": "application/json", ".csv": "text/csv", ".md": "text/markdown",
         ".html": "text/html", ".svg": "image/svg+xml", ".png": "image/png", ".tex": "application/x-tex",
         ".tsv": "text/tab-separated-values", ".yaml": "application/yaml"}  # fmt: skip
NO_LICENSE = "No licence was stated for these results. Documents in them have the licences of their sources."


def export_crate(
    results: Path = Path("results"),
    /,
    *,
    table: list[str] = [],
    license: str = "",
    name: str = "",
    author: list[str] = [],
) -> None:
    """Describe the tables of a run and all that they were made of as an RO-Crate, in the folder of the results.

    Args:
        results: Folder of the results.
        table: Names of tables; without it, all tables of the folder.
        license: URL of the licence of the results, such as https://spdx.org/licenses/CC-BY-4.0.
        name: Name of the crate; without it, that of its folder.
        author: Names of the people who ran it.
    """
    ledgers = ledgers_of(results, table)
    records = Records(results)
    items = [
        path for ledger in ledgers for paths in items_of_arms(read_json(ledger)).values() for path in paths
    ]
    places = [path if path.exists() else results.resolve().parent / path for path in items]
    pages = [
        path for ledger in ledgers for path in ledger.parent.glob(ledger.name.replace("claims.json", "*"))
    ]
    jobs, missing = records.upstream([*places, *sorted(pages)])
    if not jobs:
        raise InputError(
            f"{results}/provenance: no records of the jobs that made these tables; run the workflow again, without --nolock"
        )
    crate = describe(results, ledgers, jobs, license, name or results.resolve().name, author)
    write_json(results / METADATA, crate.metadata.generate())
    files = sum(len(record.job["outputs"]) for record in jobs)
    print(f"{results / METADATA}: {len(ledgers)} tables, {len(jobs)} jobs, {files} files")
    if missing:
        print(
            f"without a record of how they were made: {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}"
        )


def ledgers_of(results: Path, names: Sequence[str]) -> list[Path]:
    """Ledgers of the tables. Raises InputError for a table that is not there."""
    found = {
        path.name.removesuffix(".claims.json"): path
        for path in sorted((results / "tables").glob("*.claims.json"))
        if path.with_name(path.name.replace(".claims.json", ".csv")).is_file()
    }
    for one in names:
        if one not in found:
            raise InputError(
                f"--table {one!r}: must be one of the tables of {results}: {', '.join(found) or 'none'}"
            )
    if not found:
        raise InputError(f"{results}/tables: no tables; run the workflow first")
    return [found[one] for one in names or found]


def describe(
    results: Path,
    ledgers: Sequence[Path],
    jobs: Sequence[Record],
    license: str,
    name: str,
    authors: Sequence[str],
) -> Any:
    """The crate (rocrate.ROCrate) of tables and of the jobs behind them."""
    try:
        from rocrate.rocrate import ROCrate
    except ModuleNotFoundError:
        raise InputError(
            "export-crate: requires the package rocrate (requirements.txt); pip install rocrate"
        ) from None

    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(TERMS)
    add = Adder(crate)
    root = crate.root_dataset
    root["name"] = name
    root["description"] = (
        f"Tables {', '.join(path.name.removesuffix('.claims.json') for path in ledgers)}, and how they were made."
    )
    root["datePublished"] = max(record.job["ended"] for record in jobs)
    root["license"] = add("CreativeWork", license, name=license) if license else NO_LICENSE
    root["conformsTo"] = add("CreativeWork", PROFILE, name="Process Run Crate", version="0.5")
    agents = [add("Person", f"#person-{quote(one)}", name=one) for one in authors]
    if agents:
        root["author"] = single(agents)
    winnow = add_winnow(add)
    root["citation"] = winnow
    made = {output: record for record in jobs for output in record.job["outputs"]}
    exist = {output: (results / output).is_file() for output in made}
    for output, record in made.items():
        if exist[output]:
            facts = record.job["outputs"][output]
            add.file(output, sha256=facts["sha256"], contentSize=str(facts["bytes"]))
    for run in sorted({record.job["run"] for record in jobs if record.run}):
        add.file(f"{RUNS}/{run}.json", description="Configuration, command and version of Winnow of a run")
    for folder, kind in folders(made):
        add.folder(
            folder, kind, [output for output in made if str(Path(output).parent) == folder and exist[output]]
        )
    root["mentions"] = single([add_action(add, record, winnow, agents, made, exist) for record in jobs])
    return crate


class Adder:
    """Adds entities to a crate, each once."""

    def __init__(self, crate: Any):
        self.crate = crate

    def __call__(self, kind: str, identifier: str, /, **properties: Any) -> dict[str, str]:
        """Adds a contextual entity, unless there is one of this identifier; returns the reference to it."""
        if self.crate.get(identifier) is None:
            self.crate.add_jsonld({"@id": identifier, "@type": kind, **properties})
        return {"@id": identifier}

    def file(self, path: str, **properties: Any) -> None:
        kind = KINDS.get(Path(path).suffix, "application/octet-stream")
        self.crate.add_file(dest_path=path, properties={"name": path, "encodingFormat": kind, **properties})

    def folder(self, path: str, kind: str, files: Iterable[str]) -> None:
        parts = [{"@id": quote(one)} for one in sorted(files)]
        properties = {"name": f"{kind} {path}", "hasPart": single(parts)}
        self.crate.add_dataset(dest_path=f"{path}/", properties=properties)

    def package(self, package: str, version: str) -> dict[str, str]:
        """A package of PyPI, or Python itself; the build of a version (2.13.0+cpu) is on no page of its own."""
        public, _, build = version.partition("+")
        url = f"https://pypi.org/project/{package}/{public}/"
        if package == "Python":
            url = f"https://www.python.org/downloads/release/python-{public.replace('.', '')}/"
        identifier = f"{url}#{quote(build)}" if build else url
        return self("SoftwareApplication", identifier, name=package, softwareVersion=version, url=url)


def single(values: Sequence[Any]) -> Any:
    """The only one of some values, or all of them, as JSON-LD writes them."""
    return values[0] if len(values) == 1 else list(values)


def folders(outputs: Iterable[str]) -> list[tuple[str, str]]:
    """Folders of subsets and models among the files, with what they are, sorted."""
    kinds = {"subsets": "Subset", "models": "Model"}
    return sorted(
        (str(path.parent), kinds[path.parts[1]])
        for path in map(Path, outputs)
        if path.name == "manifest.json" and len(path.parts) > 2 and path.parts[1] in kinds
    )


def add_winnow(add: Adder) -> dict[str, str]:
    """Winnow itself, as CITATION.cff says."""
    try:
        cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return add("SoftwareApplication", "#winnow", name="Winnow", license="Apache-2.0")
    license = f"https://spdx.org/licenses/{cited['license']}"
    authors = [
        add("Person" if "family-names" in one else "Organization", f"#author-{number}",
            name=one.get("name") or f"{one.get('given-names', '')} {one['family-names']}".strip())
        for number, one in enumerate(cited["authors"])
    ]  # fmt: skip
    url = {"url": cited["repository-code"]} if "repository-code" in cited else {}
    return add("SoftwareApplication", "#winnow", name=cited["title"], softwareVersion=str(cited["version"]), author=single(authors),
               license=add("CreativeWork", license, name=cited["license"]), **url)  # fmt: skip


def add_action(
    add: Adder,
    record: Record,
    winnow: dict[str, str],
    agents: Sequence[dict[str, str]],
    made: dict[str, Record],
    exist: dict[str, bool],
) -> dict[str, str]:
    """The job of a record: what it ran, with which software, on what, from what, and what it made."""
    job = record.job
    software = {"Python": job["python"], **job["packages"]}
    needs = [add.package(package, version) for package, version in sorted(software.items())]
    digest = hashlib.sha256(repr((record.winnow, sorted(software.items()))).encode()).hexdigest()[:8]
    tool = add("SoftwareApplication", f"#{job['command'][0]}-{digest}", name=job["command"][0],
               softwareVersion=f"Winnow {record.winnow}", isPartOf=winnow, softwareRequirements=single(needs))  # fmt: skip
    machine = [add("PropertyValue", f"#{quote(kind)}-{quote(value)}", name=kind, value=value)
               for kind, value in (("host", job["host"]), ("device", record.device))]  # fmt: skip
    objects = [{"@id": quote(f"{RUNS}/{job['run']}.json")}] if record.run else []
    for key in job["inputs"]:
        parts = [key] if key in made else [one for one in made if str(Path(one).parent) == key]
        objects += [{"@id": quote(one)} for one in parts if exist[one]]
        if Path(key).is_absolute():
            objects.append(add("CreativeWork", f"file://{quote(key)}", name=key))
    properties: dict[str, Any] = dict(
        name=f"{record.rule} {record.ids}", description=" ".join(job["command"]), instrument=tool, startTime=job["began"],
        endTime=job["ended"], object=single(objects), result=single([{"@id": quote(one)} for one in job["outputs"] if exist[one]]),
        resourceUsage=machine, actionStatus="http://schema.org/CompletedActionStatus",
    )  # fmt: skip
    if agents:
        properties["agent"] = single(agents)
    if job["slurm_job"]:
        properties["identifier"] = f"SLURM job {job['slurm_job']}"
    return add("CreateAction", f"#{quote(record.rule)}/{quote(record.ids)}", **properties)
