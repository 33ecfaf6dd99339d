"""What the README tells a stranger to type is what CI or a test runs."""

import re
from pathlib import Path

import yaml

RUN_BY = {
    "make demo": ".ci/run",
    "make test": ".ci/run",
    ".venv/bin/snakemake --profile profiles/local": "Makefile",
    ".venv/bin/snakemake --profile profiles/local --report results/report.html": "Makefile",
    ".venv/bin/snakemake --profile profiles/local published_tables --configfile config/minipile.yaml": ".ci/run",
    ".venv/bin/winnow power --table results/tables/pile-mini.csv --gap 0.01 --hours-a-run 1.5": "Makefile",
    ".venv/bin/snakemake --profile slurm --configfile config/minipile.yaml -n": "tests/workflow/test_dry_run.py",
    ".venv/bin/winnow check my.yaml": "tests/end_to_end/test_own_corpus.py",
    ".venv/bin/snakemake --profile profiles/local --configfile my.yaml -n": "tests/end_to_end/test_own_corpus.py",
    ".venv/bin/snakemake --profile profiles/local --configfile my.yaml": "tests/end_to_end/test_own_corpus.py",
    ".venv/bin/snakemake sweep --profile profiles/local --configfile my.yaml": "tests/end_to_end/test_own_corpus.py",
    ".venv/bin/snakemake profile --profile profiles/local --configfile my.yaml": "tests/end_to_end/test_own_corpus.py",
    ".venv/bin/snakemake --profile slurm --configfile my.yaml -n": "tests/end_to_end/test_own_corpus.py",
}
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "config/README.md",
    "config/SAMPLERS.md",
    "results/README.md",
    "profiles/README.md",
    "docs/reviewing-clusters.md",
    "config/exclusions/README.md",
)


def commands(text: str) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    lines = (line.split("#")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line]


def test_every_command_is_run_somewhere(root: Path):
    found = commands((root / "README.md").read_text())
    assert set(found) == set(RUN_BY)
    for file in set(RUN_BY.values()):
        assert (root / file).exists()


def test_pages_that_the_readme_links_are_there(root: Path):
    for page in PAGES:
        text = (root / page).read_text()
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (root / page).parent.joinpath(link).exists(), f"{page}: {link}"


def test_files_that_contributors_are_sent_to_are_there(root: Path):
    text = (root / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:config|envs|profiles|tests|workflow)/[\w/.-]+)`", text)
    assert len(named) > 10
    assert [name for name in named if not (root / name).exists()] == []


def test_the_steps_of_a_document_are_rules_that_run_these_modules(root: Path):
    """A contributor who follows a document would open the wrong file."""
    steps = re.findall(
        r"^\| `(\w+)` \| `([\w/]+)\.py` \|", (root / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    assert len(steps) == 12
    for rule, module in steps:
        rules = (root / f"workflow/rules/{module.split('/')[0]}.smk").read_text()
        body = rules.split(f"\nrule {rule}:\n")[1].split("\nrule ")[0]
        assert f"python -m winnow.{module.replace('/', '.')} " in body


def test_examples_for_a_cluster_are_of_the_shipped_profile(root: Path):
    text = (root / "profiles/slurm/profile.v9+.yaml").read_text()
    shipped = yaml.safe_load(text)
    # Lines that are shipped as comments, too.
    known = {line.split("=")[0] for line in re.findall(r"^  (?:# )?- (\w+=)", text, flags=re.MULTILINE)}
    rules = "".join(path.read_text() for path in (root / "workflow/rules").glob("*.smk"))
    blocks = re.findall(r"```yaml\n(.*?)```", (root / "profiles/README.md").read_text(), flags=re.DOTALL)
    examples = list(map(yaml.safe_load, blocks))
    assert len(examples) == 2
    for example in examples:
        assert set(example) <= {*shipped, "set-resources"}
        assert all(f"\nrule {name}:" in rules for name in example.get("set-resources", {}))
        names = {line.split("=")[0] for line in example["default-resources"]}
        assert {"mem_mb", "runtime", "disk_mb", "slurm_partition"} <= names <= known


def test_the_demo_trains_for_as_long_as_the_readme_says(root: Path):
    found = yaml.safe_load((root / "config" / "models.yaml").read_text())
    recipe, model = found["recipes"]["nano"], found["models"]["neox-nano"]
    text = (root / "README.md").read_text()
    tokens = f"{recipe['steps'] * recipe['batch'] * model['sequence']:,}"
    assert f"reads {tokens} tokens" in text
    table = text.split("<!-- demo table -->")[1]
    assert "| better |" in table
    assert "| worse |" in table
    rounds = yaml.safe_load((root / "config" / "budgets.yaml").read_text())["budgets"]["mini-rounds"]
    assert (
        f"{rounds['train']} to {rounds['train'] + rounds['rounds']['count'] * rounds['rounds']['add']} labels"
        in table
    )


def test_every_shipped_sampler_is_explained(root: Path):
    text = (root / "config" / "SAMPLERS.md").read_text()
    samplers = yaml.safe_load((root / "config" / "samplers.yaml").read_text())["samplers"]
    assert [name for name in samplers if f"`{name}`" not in text] == []


def test_environment_files_pin_what_the_lock_pins(root: Path):
    lock = dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", (root / "lock.txt").read_text(), flags=re.MULTILINE))
    for file in [*(root / "envs").glob("*.yaml"), *root.glob("requirements*.txt")]:
        for name, version in re.findall(
            r"^[ -]*([a-z0-9-]+)==([^\s]+)", file.read_text(), flags=re.MULTILINE
        ):
            assert lock[name] == version, f"{file.name}: {name}"
