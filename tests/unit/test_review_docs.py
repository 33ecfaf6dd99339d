"""docs/reviewing-clusters.md says what the review page does; what a browser shows is tested in test_review_page.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from winnow.cluster import inspection, review_map
from winnow.pages import TEMPLATES
from winnow.schema import schema


@pytest.fixture
def guide(root: Path) -> str:
    return (root / "docs/reviewing-clusters.md").read_text(encoding="utf-8")


def test_the_keys_are_those_of_the_page_and_of_its_help(guide: str) -> None:
    told = set(re.findall(r"`([^`]{1})`", guide.split("## Deciding")[1].split("A cluster without")[0]))
    page = (TEMPLATES / "review.html").read_text(encoding="utf-8")
    helped = set(re.findall(r"<kbd>(.)</kbd>", page)) - {"\u2191", "\u2193"}
    script = (TEMPLATES / "review.js").read_text(encoding="utf-8").split("const actions = {\n    j:")[1]
    acting = set(re.findall(r'(?:^|[{,]) *"?([a-z?/])"?: ', "j:" + script.split("};")[0], re.MULTILINE)) | {
        "j"
    }
    assert told == helped == acting


def test_the_numbers_are_those_of_the_code(guide: str) -> None:
    assert f"at most {review_map.MAP_DOCUMENTS:,} documents" in guide
    assert f"first {inspection.CHARACTERS:,} characters" in guide
    default = schema()["$defs"]["proposals"]["properties"]["documents"]["default"]
    assert f"each cluster ({default})" in guide.replace("\n", " ")


def test_the_command_is_the_target_that_makes_the_page(guide: str, root: Path) -> None:
    (command,) = re.findall(r"```bash\n(.*?)\n```", guide, re.DOTALL)
    assert command.split()[:2] == [".venv/bin/snakemake", "clusters"]
    helper = (root / "workflow/rules/helpers/cluster.smk").read_text()
    assert "rule clusters:" in (root / "Snakefile").read_text()
    assert '"review.html"' in helper.split("def review_pages")[1]


def test_no_file_of_a_page_can_end_its_script_or_name_another_host(root: Path) -> None:
    for path in TEMPLATES.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "http://" not in text
        assert "https://" not in text
        if path.suffix == ".js":
            assert "</" not in text
            assert "innerHTML" not in text
            assert "insertAdjacentHTML" not in text
