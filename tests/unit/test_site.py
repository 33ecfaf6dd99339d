"""The documentation site (`make docs`): built without a warning, complete, and nothing in it asks another host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from winnow.__main__ import COMMANDS
from winnow.schema import schema

ROOT = Path(__file__).parents[2]
LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """Addresses that a browser loads with a page, those that a reader can follow, and anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if address := given.get(LOADING.get(tag, "")):
            self.loaded.append(address)
        if tag == "a" and (address := given.get("href")):
            self.linked.append(address)
        if name := given.get("id"):
            self.anchors.add(name)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="mkdocs-material is not installed (requirements-dev.txt)")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_page_of_docs_is_in_the_site(site: Path) -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").is_file()
    assert not (site / "hooks.py").exists()
    assert "Two commands" not in (site / "quick-start.html").read_text().split("<article")[0]
    assert "make install</code> only creates the environment" in (site / "quick-start.html").read_text()


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    """A page that asks a font server for its letters tells it who reads what, and is empty offline."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for path in pages:
        if path.name == "404.html":  # for a server, with absolute addresses
            continue
        for address in Page(path).loaded:
            assert not re.match(r"[a-z]+:|//", address), f"{path.name}: {address}"
            assert (path.parent / unquote(address.split("?")[0])).is_file(), f"{path.name}: {address}"
    for style in site.rglob("*.css"):
        assert re.findall(r"url\(['\"]?(?!data:|#)[a-z]*:?//", style.read_text()) == []


def test_links_lead_to_pages_of_the_site_and_their_sections(site: Path) -> None:
    parsed = {path.resolve(): Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    for path, page in parsed.items():
        for address in page.linked:
            if re.match(r"[a-z]+:", address) or address == ".":
                continue
            file, _, anchor = unquote(address).partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), f"{path.name}: {address}"
            if anchor and target in parsed and anchor != "__skip":
                assert anchor in parsed[target].anchors, f"{path.name}: {address}"


def test_references_are_those_of_the_code(site: Path) -> None:
    commands = (site / "commands.html").read_text()
    for name in COMMANDS:
        assert f"<code>winnow {name}</code>" in commands
    assert "<code>--price</code>" in commands
    stages = (site / "stages.html").read_text()
    files = [path for path in (ROOT / "workflow/winnow").rglob("*.py") if "\n    run(" in path.read_text()]
    for path in files:
        module = ".".join(path.relative_to(ROOT / "workflow").with_suffix("").parts)
        assert f"python -m {module}" in stages
    keys = (site / "configuration.html").read_text()
    for section in schema()["properties"]:
        assert f"<code>{section}</code>" in keys


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_opens_the_pages_from_disk_and_searches_them(site: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    from playwright.sync_api import sync_playwright

    program = os.environ.get("WINNOW_CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium (apt-get install chromium, or WINNOW_CHROMIUM)")
    asked: list[str] = []
    errors: list[str] = []
    serious: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(color_scheme=scheme)
        looked_at = browser.new_page(
            color_scheme=scheme
        )  # axe asks for style sheets by script, which files refuse
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        for path in sorted(site.glob("*.html")):
            if path.name == "404.html":
                continue
            page.goto(path.as_uri())
            looked_at.goto(path.as_uri())
            for one in axe.Axe().run(looked_at).response["violations"]:
                if one["impact"] in ("serious", "critical"):
                    serious.append(f"{path.name}: {one['id']}: {one['nodes'][0]['html']}")
        page.fill("input.md-search__input", "fingerprint")
        page.wait_for_selector(".md-search-result__item", timeout=30_000)
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert errors == []
    assert serious == []
