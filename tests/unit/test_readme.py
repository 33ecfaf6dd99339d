"""What the pages tell a stranger to type is what CI or a test runs, and what they link is there."""

import re
import tomllib
from pathlib import Path

import yaml
from documented import NOT_RUN, PAGES, RUN_BY, commands, text_of


def test_every_command_is_run_somewhere(root: Path):
    """Of all pages: a command that nothing runs stops working one day, and nobody notices. New ones go into a list of
    tests/documented.py, as run by a test or not run for a reason."""
    found = {command: page for page in PAGES for command in commands(page)}
    assert {
        command: page for command, page in found.items() if command not in RUN_BY and command not in NOT_RUN
    } == {}
    assert [command for command in (*RUN_BY, *NOT_RUN) if command not in found] == []
    for file in set(RUN_BY.values()):
        assert (root / file).exists()


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub and the site (mkdocs.yml) make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pages_and_sections_that_pages_link_are_there(root: Path):
    for page in PAGES:
        for link, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?", text_of(page)):
            target = (root / page).parent.joinpath(link) if link else root / page
            assert target.exists(), f"{page}: {link}"
            assert not anchor or anchor in anchors(target), f"{page}: {link}#{anchor}"


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


def test_the_workflow_catalog_finds_what_it_looks_for(root: Path):
    """Without these the Snakemake workflow catalog lists no usage, and snakedeploy warns."""
    usage = yaml.safe_load((root / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"software-stack-deployment", "report"}
    assert set(usage["software-stack-deployment"]) == {"conda", "apptainer", "apptainer+conda"}
    assert usage["software-stack-deployment"]["conda"]
    named = set()
    for path in (root / "workflow/rules").glob("*.smk"):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            environment = re.search(r'conda:\n\s+"\.\./\.\./(envs/\w+\.yaml)"', rule)
            assert environment, f"{path.name}: {rule.split(':')[0]}"
            named.add(environment[1])
    assert named == {path.relative_to(root).as_posix() for path in (root / "envs").glob("*.yaml")}
    assert (root / "workflow/Snakefile").exists()
    assert {"snakemake", "workflow"} <= set(re.findall(r"\w+", (root / "README.md").read_text().lower()))
    cited = yaml.safe_load((root / "CITATION.cff").read_text())
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert project["description"].lower() in cited["title"].lower()
