"""What the pages of the repository tell a stranger to type, and which test or target runs each of these commands."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "config/README.md",
    "config/SAMPLERS.md",
    "config/exclusions/README.md",
    "config/published/README.md",
    "profiles/README.md",
    "results/README.md",
    "tests/benchmarks/README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")),
)
OWN = "tests/end_to_end/test_own_corpus.py"  # all of them for real, slow
PLANNED = "tests/workflow/test_documented.py"  # targets as dry runs, commands of `winnow` for real
PINS = "tests/unit/test_pins.py"  # with a stand-in of the Hub
RUN_BY = {
    "make demo": ".ci/run",
    "make test": ".ci/run",
    "make install": ".ci/run",
    ".venv/bin/snakemake --profile profiles/local": "Makefile",
    ".venv/bin/snakemake --profile profiles/local --report results/report.html": "Makefile",
    ".venv/bin/winnow power --table results/tables/pile-mini.csv --gap 0.01 --hours-a-run 1.5": "Makefile",
    ".venv/bin/snakemake clusters --profile profiles/local": PLANNED,
    # The paper.
    ".venv/bin/snakemake --profile profiles/local published_tables --configfile config/minipile.yaml": ".ci/run",
    "snakemake --profile profiles/local published_tables --configfile config/minipile.yaml": ".ci/run",
    ".venv/bin/snakemake published_tables --profile profiles/local --configfile config/minipile.yaml": PLANNED,
    ".venv/bin/snakemake --profile slurm --configfile config/minipile.yaml -n": "tests/workflow/test_dry_run.py",
    "snakemake --profile slurm --configfile config/minipile.yaml": "tests/workflow/test_dry_run.py",
    "snakemake --profile slurm paper_tables --configfile config/minipile.yaml": "tests/workflow/test_dry_run.py",
    ".venv/bin/winnow audit --comparisons config/published/comparisons.csv --results config/published/results.csv --out audit.csv": PLANNED,
    ".venv/bin/winnow plan config/minipile.yaml --gpus 64 --gpu H100": PLANNED,
    # The other studies.
    ".venv/bin/snakemake --profile profiles/local --configfile config/sst2.yaml -n": PLANNED,
    ".venv/bin/snakemake --profile slurm --configfile config/tinystories.yaml -n": PLANNED,
    # A corpus of one's own.
    ".venv/bin/winnow check my.yaml": OWN,
    ".venv/bin/snakemake --profile profiles/local --configfile my.yaml -n": OWN,
    ".venv/bin/snakemake --profile profiles/local --configfile my.yaml": OWN,
    ".venv/bin/snakemake sweep --profile profiles/local --configfile my.yaml": OWN,
    ".venv/bin/snakemake profile --profile profiles/local --configfile my.yaml": OWN,
    ".venv/bin/snakemake --profile slurm --configfile my.yaml -n": OWN,
    ".venv/bin/snakemake clusters --profile profiles/local --configfile my.yaml": PLANNED,
    ".venv/bin/snakemake preflight --profile slurm --configfile my.yaml": PLANNED,
    ".venv/bin/winnow list samplers": PLANNED,
    ".venv/bin/winnow check my-run.yaml": PLANNED,
    "snakemake --profile profiles/local --configfile my-run.yaml -n": PLANNED,
    "snakemake --profile profiles/local --configfile my-run.yaml": PLANNED,
    "snakemake clusters --profile profiles/local --configfile my-run.yaml": PLANNED,
    "snakemake sweep --profile profiles/local --configfile my-run.yaml": PLANNED,
    "snakemake samplers --profile profiles/local --configfile my-run.yaml": PLANNED,
    "snakemake subsets --profile profiles/local --configfile my-run.yaml": PLANNED,
    ".venv/bin/winnow plan my.yaml --sacct used.txt": "tests/unit/test_plan.py",
    # A sampler of one's own: the last test of the file makes its table.
    ".venv/bin/winnow check config/examples/own-sampler.yaml": PLANNED,
    ".venv/bin/snakemake samplers --profile profiles/local --configfile config/examples/own-sampler.yaml": PLANNED,
    ".venv/bin/snakemake --profile profiles/local --configfile config/examples/own-sampler.yaml": PLANNED,
    ".venv/bin/winnow allocate --samplers config/examples/own-sampler.yaml --sampler varied-stories --budget 600 --clusters results/tinystories-mini/clusterings/minilm-k12/clusters.parquet --out quotas.csv": PLANNED,
    # Pins.
    ".venv/bin/winnow pin my.yaml": PINS,
    ".venv/bin/winnow pin my-run.yaml": PINS,
    ".venv/bin/winnow pin --update my-run.yaml": PINS,
    ".venv/bin/winnow pin": PINS,
    "export WINNOW_OFFLINE=1": "tests/hub_cache.py",  # in the tests of the studies
}
NOT_RUN = {
    "sacct --parsable2 --noconvert --starttime=2026-11-01 --format=JobID,State,ElapsedRaw,CPUTimeRAW,TotalCPU,MaxRSS,AllocTRES,Comment > used.txt":
        "requires SLURM's accounting; tests/unit/test_plan.py reads such a file",
    "module load python/3.12 cuda/12.6": "of the site",
    ".venv/bin/winnow plan config/minipile.yaml tests/configs/pile-100.yaml --gpus 64 --gpu H100":
        "two minutes; that of the Pile is run",
    "python3 -m pip download -d wheels -r envs/pip.txt": "requires the package index, and downloads gigabytes",
    "python3 -m pip download -d wheels -c lock.txt -r requirements.txt": "the same",
    "PIP_NO_INDEX=1 PIP_FIND_LINKS=$PWD/wheels make install": "requires these wheels",
    "snakedeploy deploy-workflow https://github.com/OWNER/winnow . --tag TAG":
        "requires GitHub; tests/workflow/test_module.py runs what it writes",
}  # fmt: skip


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language; of bash and yaml, indented ones, too."""
    text = text_of(page)
    found = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    first = {
        "bash": r"(?:\.venv/bin/|winnow |snakemake |make |python )",
        "yaml": rf"(?:{'|'.join(SECTIONS)}):",
    }
    if language in first:
        indented = re.findall(rf"(?<=\n\n)(?:^    {first[language]}.*\n)(?:^    .*\n)*", text, re.MULTILINE)
        found += map(textwrap.dedent, indented)
    return found


def commands(page: str) -> list[str]:
    """Commands of the page, without their comments and with single blanks."""
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    found = (" ".join(line.split(" #")[0].split()) for line in lines if not line.startswith("#"))
    return [line for line in found if line]


def sections() -> list[str]:
    schema: dict[str, Any] = yaml.safe_load(text_of("workflow/schemas/config.schema.yaml"))
    return list(schema["properties"])


SECTIONS = sections()
