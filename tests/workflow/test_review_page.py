"""The review page in a real browser: what a person does on it, and the file that the workflow then reads.

`make test-browser`. It requires Chromium (of Debian's packages, or the path WINNOW_CHROMIUM) and playwright.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Snakemake, copy_workflow
from winnow.cluster import review, review_map
from winnow.cluster.exclude import read_exclusions
from winnow.cluster.inspection import CRITERIA

pytestmark = pytest.mark.browser
CHROMIUM = os.environ.get("WINNOW_CHROMIUM") or shutil.which("chromium")
FINGERPRINT = "0123456789abcdef"
HOSTILE = [
    "<script>window.ran = 1</script>",
    "</script><img src=x onerror='window.ran = 1'>",
    "<!-- <style>body{display:none}</style>",
    "\u202eright to left\u202c שלום مرحبا",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2028 \u2029",
    "\x00\x07\x1b[31m\x85\x9f\x7f",
    "&lt;b&gt; javascript:alert(1) https://example.com/a.png",
]
LONG = "a long text without an end " * 80


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (requirements-dev.txt)"
    )
    if not CHROMIUM:
        pytest.skip(
            "no Chromium: apt-get install --no-install-recommends chromium, or set WINNOW_CHROMIUM to one"
        )
    with api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def drawn(page: Any) -> None:
    """Waits for the map, which is drawn last. (The page allows no code as text, of which playwright's other waits are.)"""
    page.locator("#legend li").first.wait_for()


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:
    """Opens a page from disk; at the end there was no error on its console and no request off the page."""
    contexts, trouble = [], []

    def go(path: Path, width: int = 1280, scheme: str = "light", **more: Any) -> Any:
        viewport = {"width": width, "height": 900}
        context = browser.new_context(viewport=viewport, color_scheme=scheme, accept_downloads=True, **more)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda m: trouble.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: trouble.append(f"dialog: {dialog.message}"))
        page.on(
            "request",
            lambda r: None if r.url == path.as_uri() or r.url.startswith("blob:") else trouble.append(r.url),
        )
        page.goto(path.as_uri())
        drawn(page)
        return page

    yield go
    for context in contexts:
        context.close()
    assert trouble == []


def write_page(path: Path, k: int, n: int, hostile: bool = False) -> Path:
    """A page of `k` made-up clusters, of which each fifth is proposed for exclusion, and `n` points."""
    generator = np.random.default_rng(0)
    cluster = generator.integers(k, size=n).astype(np.int32)
    sizes = np.bincount(cluster, minlength=k)
    words = ["river", "stone", "market", "winter", "engine", "letter", "garden", "signal", "bridge", "paper"]
    starts = [" ".join(generator.choice(words, 22)) for _ in range(n)]
    domains: list[str | None] = [f"domain {c % 14}" if c % 9 else None for c in cluster]
    texts = [LONG, *HOSTILE] if hostile else [" ".join(words) * 30]
    if hostile:
        starts = [HOSTILE[i % len(HOSTILE)] for i in range(n)]
        domains = [HOSTILE[c % len(HOSTILE)] for c in cluster]
    rows = [
        {
            "cluster": c,
            "documents": int(sizes[c]),
            "mean_distance": 0.1 + c / k,
            "diversity": 0.9,
            "measures": generator.random(len(CRITERIA)).tolist(),
            "preset": None,
            "reasons": ["boilerplate 0.71 > 0.5"] if c % 5 == 0 else [],
            "terms": [*HOSTILE[:2], f"term{c}"] if hostile else [f"term{c}", *words],
            "similar": [((c + 1) % k, 0.5)],
            "domains": [(domains[c], 0.6), (None, 0.4)],
            "scripts": [("latin", 1.0)],
            "examples": {
                kind: [(5 * c + i, texts[(c + i) % len(texts)]) for i in range(5)]
                for kind in ("nearest", "farthest", "random")
            },
        }
        for c in range(k)
    ]
    places = generator.normal(size=(k, 2))[cluster] + 0.2 * generator.normal(size=(n, 2))
    scores = {HOSTILE[0] if hostile else "gpt2": generator.random(n)}
    points = review.Map(
        review_map.Sample(np.arange(n), cluster),
        places,
        "the first two principal components (20 % of the variance)",
        starts,
        domains,
        generator.random(n) < 0.1,
        scores,
    )
    about = {
        "name": "corpus/made-up",
        "fingerprint": FINGERPRINT,
        "clusters": k,
        "documents": n,
        "sample": 200,
        "group": HOSTILE[0] if hostile else "domain",
        "file": "config/exclusions/corpus.made-up.tsv",
        "criteria": [
            {"name": name, "what": what, "more": more, "threshold": 0.5}
            for name, (what, more) in CRITERIA.items()
        ],
    }
    path.write_text(review.page(about, rows, points), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("page") / "review.html", 20, 2000)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("page") / "hostile #1 ü.html", 20, 500, hostile=True)


def exclude(page: Any, reason: str) -> None:
    page.keyboard.press("x")
    page.fill("#reason", reason)
    page.keyboard.press("Enter")


def saved(page: Any, to: Path) -> Path:
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(to / download.value.suggested_filename)
    return to / download.value.suggested_filename


def opened(page: Any) -> int:
    return int(page.locator("#list [aria-current=true] .id").inner_text())


def listed(page: Any) -> list[int]:
    return [int(text) for text in page.locator("#list .id").all_inner_texts()]


def test_decisions_by_keyboard_are_the_file_that_the_workflow_reads(
    visit: Any, small: Path, tmp_path: Path
) -> None:
    page = visit(small)
    page.select_option("#sort", label="cluster")
    first = listed(page)
    assert first == list(range(20))
    page.locator("#list button").first.click()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("a")  # keeps 1
    assert opened(page) == 2
    exclude(page, "bars\tand \u2028 menus <b>")
    assert opened(page) == 3
    page.keyboard.press("x")
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert opened(page) == 4
    exclude(page, "spam")
    page.keyboard.press("u")
    assert opened(page) == 4
    exclude(page, "lists")
    assert "2 of 20 clusters" in page.inner_text("#total")
    path = saved(page, tmp_path)
    assert path.name == "corpus.made-up.tsv"
    assert path.read_text(encoding="utf-8") == (
        f"# clustering {FINGERPRINT}\ncluster\treason\n2\tbars and menus <b>\n4\tlists\n"
    )
    assert read_exclusions(path, FINGERPRINT, 20) == {2: "bars and menus <b>", 4: "lists"}


def test_decisions_survive_a_reload_and_a_file_takes_their_place(
    visit: Any, small: Path, tmp_path: Path
) -> None:
    page = visit(small)
    page.click("#accept")
    assert "4 of 20 clusters" in page.inner_text("#total")
    page.reload()
    drawn(page)
    assert "4 of 20 clusters" in page.inner_text("#total")
    file = tmp_path / "mine.tsv"
    file.write_text(
        f"\ufeff# clustering {FINGERPRINT}\r\n# a remark\r\ncluster\treason\r\n7\tads\r\n", encoding="utf-8"
    )
    page.set_input_files("#load", file)
    page.locator("#total", has_text="1 of 20").wait_for()
    assert read_exclusions(saved(page, tmp_path), FINGERPRINT, 20) == {7: "ads"}
    page.click("#undo")
    assert "4 of 20 clusters" in page.inner_text("#total")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cluster\treason\n", 'f.tsv, line 1: must be "# clustering 0123456789abcdef"'),
        ("# clustering 99\n", "f.tsv, line 1: was written for clustering 99, but this clustering is 0123456789abcdef"),
        (f"# clustering {FINGERPRINT}\n3\n", 'f.tsv, line 2: must be "cluster<TAB>reason"'),
        (f"# clustering {FINGERPRINT}\n\n20\tx\n", 'f.tsv, line 3: cluster "20" is not in 0 to 19'),
        (f"# clustering {FINGERPRINT}\n3\tx\n3\ty\n", "f.tsv, line 3: duplicate of cluster 3; remove one of them"),
        (b"\xff\xfe", "f.tsv: not UTF-8; save it as UTF-8 text"),
    ],
)  # fmt: skip
def test_a_file_that_the_workflow_would_reject_is_rejected_in_one_line(
    visit: Any, small: Path, tmp_path: Path, text: str | bytes, says: str
) -> None:
    file = tmp_path / "f.tsv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    page = visit(small)
    page.set_input_files("#load", file)
    page.wait_for_selector("#message.error")
    assert page.inner_text("#message") == says
    assert "0 of 20 clusters" in page.inner_text("#total")


def test_clusters_are_sorted_filtered_and_searched(visit: Any, small: Path) -> None:
    page = visit(small)
    page.select_option("#sort", label="mean distance, largest first")
    assert listed(page) == list(range(19, -1, -1))
    page.select_option("#filter", "proposed")
    assert listed(page) == [15, 10, 5, 0]
    page.select_option("#filter", "undecided")
    page.locator("#list button").first.click()
    page.keyboard.press("a")
    assert listed(page) == list(range(18, -1, -1))
    assert opened(page) == 18
    page.keyboard.press("/")
    page.keyboard.type("term1 river")
    assert listed(page) == [18, 17, 16, 15, 14, 13, 12, 11, 10, 1]
    page.fill("#search", "no such word")
    assert page.inner_text("#matches") == "0 of 20 clusters"
    page.keyboard.press("Escape")
    page.keyboard.press("j")  # nothing to go to
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("a")  # not a decision while the help is open
    page.keyboard.press("Escape")
    assert "decided: 1 of 20" in page.inner_text("#total")


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_the_agreement_with_a_second_rater_is_that_of_scikit_learn(
    visit: Any, small: Path, tmp_path: Path, seed: int | None
) -> None:
    from sklearn.metrics import cohen_kappa_score

    generator = np.random.default_rng(seed)
    raters = np.zeros((2, 20), bool) if seed is None else generator.random((2, 20)) < 0.4
    page = visit(small)
    for name, selector, rater in zip("ab", ("#load", "#second"), raters, strict=True):
        lines = [f"# clustering {FINGERPRINT}", *(f"{c}\tby {name}" for c in np.flatnonzero(rater))]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n")
        page.set_input_files(selector, tmp_path / f"{name}.tsv")
        page.locator("#message", has_text=f"{name}.tsv").wait_for()
    shown = page.inner_text("#agreement")
    if seed is None:
        assert "not defined: both decided the same for all clusters" in shown
        return
    kappa = float(re.search(r"kappa\s+(-?[\d.]+)", shown)[1])  # type: ignore[index]
    assert kappa == pytest.approx(cohen_kappa_score(*raters), abs=5e-4)
    disputed = np.flatnonzero(raters[0] != raters[1]).tolist()
    page.select_option("#filter", "disputed")
    page.select_option("#sort", label="cluster")
    assert listed(page) == disputed
    assert len(page.locator("#agreement .similar button").all()) == len(disputed)


def test_hostile_texts_are_shown_and_not_run(visit: Any, hostile: Path) -> None:
    page = visit(hostile)
    elements = page.evaluate("document.querySelectorAll('main script, img, main style, iframe').length")
    for colour in page.locator("#colour option").all():
        page.select_option("#colour", colour.get_attribute("value"))
    for _ in range(20):
        page.keyboard.press("j")
        while page.locator("#card .example button").count():
            page.locator("#card .example button").first.click()
    exclude(page, HOSTILE[1])
    box = page.locator("#map").bounding_box()
    for x in range(20, int(box["width"]), 40):
        page.mouse.move(box["x"] + x, box["y"] + box["height"] / 2)
    shown = page.inner_text("#card")
    assert HOSTILE[0] in shown
    assert elements == page.evaluate(
        "document.querySelectorAll('main script, img, main style, iframe').length"
    )
    assert elements == 0
    assert page.evaluate("window.ran") is None


def test_a_script_that_got_into_the_page_would_not_run(browser: Any, small: Path) -> None:
    """The page allows its one script, by its digest."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(small.as_uri())
    add = "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
    assert page.evaluate(f"() => {{ {add} return window.ran ?? null }}") is None
    context.close()


def test_the_page_says_so_where_the_browser_keeps_nothing(browser: Any, small: Path) -> None:
    context = browser.new_context()
    context.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError') } })"
    )
    page = context.new_page()
    page.goto(small.as_uri())
    page.keyboard.press("a")
    assert "decided: 1 of 20" in page.inner_text("#total")
    page.keyboard.press("?")
    assert "download them before you close it" in page.inner_text("#help")
    context.close()


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")]
)
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_window(
    visit: Any, small: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    (tmp_path / "b.tsv").write_text(f"# clustering {FINGERPRINT}\n3\tads\n")
    page = visit(small, width, scheme)
    page.keyboard.press("a")
    exclude(page, "ads")
    page.set_input_files("#second", tmp_path / "b.tsv")
    page.wait_for_selector("#agreement:not([hidden])")
    page.keyboard.press("x")  # the form of the reason is open, too
    violations = axe.Axe().run(page).response["violations"]
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    violations += axe.Axe().run(page).response["violations"]
    assert [
        (v["id"], v["nodes"][0]["html"]) for v in violations if v["impact"] in ("serious", "critical")
    ] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if shots := os.environ.get("WINNOW_SCREENSHOTS"):
        page.keyboard.press("Escape")
        page.screenshot(path=f"{shots}/review-{scheme}-{width}.png", full_page=width < 800)


def test_a_page_of_440_clusters_and_50_000_points(visit: Any, tmp_path: Path) -> None:
    path = write_page(tmp_path / "review.html", 440, 50_000)
    assert path.stat().st_size < 25e6
    page = visit(path)
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    ready = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    frame = page.evaluate(
        """() => new Promise((done) => {
             let frames = 0; const start = performance.now();
             const step = () => {
               map.zoomBy(frames % 2 ? 1.1 : 1 / 1.1);
               if (++frames < 30) requestAnimationFrame(step); else done((performance.now() - start) / 30);
             };
             requestAnimationFrame(step);
           })"""
    )
    print(f"{path.stat().st_size / 1e6:.1f} MB: first paint {paint:.0f} ms, complete {ready:.0f} ms, {frame:.0f} ms a frame")  # fmt: skip
    assert len(listed(page)) == 440
    for colour in ("domain", "exclusion", "duplicates", "score gpt2", "cluster"):
        page.select_option("#colour", colour)
    page.click("#zoom-cluster")
    page.click("#zoom-all")
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.locator("#tip").is_visible()
    cluster = int(re.search(r"Cluster (\d+)", page.inner_text("#tip"))[1])  # type: ignore[index]
    page.mouse.down()
    page.mouse.up()
    assert opened(page) == cluster


WORDS = ["river", "stone", "market", "winter", "engine", "letter", "garden", "signal", "bridge", "paper"]
RUN = {
    "corpora": {"notes": {"source": {"files": ["notes.jsonl"]}, "text": "text", "meta": ["part"], "group": "part",
                          "shards": 2, "heldout": {"documents": 20}}},
    "clusterings": {"k": {"encoder": "minilm-128", "k": 4}},
    "budgets": {"few": {"train": 30}},
    "experiments": [{"name": "notes", "corpus": "notes", "clustering": "k", "samplers": ["random", "density"],
                     "budget": "few", "model": "neox-nano", "data_seeds": [0, 1], "suites": ["mini"]}],
    "tables": {"notes": {"title": "Notes", "experiments": ["notes"], "baseline": "random"}},
    "targets": ["notes"],
}  # fmt: skip


def test_the_downloaded_file_reruns_the_draws_and_what_follows_from_them_and_no_more(
    visit: Any, tmp_path: Path, snakemake: Snakemake
) -> None:
    folder = copy_workflow(tmp_path / "clone")
    generator = np.random.default_rng(0)
    with open(folder / "notes.jsonl", "w") as out:
        for i in range(160):
            words = generator.choice(WORDS[:5] if i % 3 else WORDS[5:], 30)
            out.write(json.dumps({"text": " ".join(words) + f" {i}.", "part": "ab"[i % 2]}) + "\n")
    (folder / "run.json").write_text(json.dumps(RUN))

    def run(*targets: str) -> str:
        line = [sys.executable, "-m", "snakemake", *targets, "--profile", "profiles/local", "--configfile", "run.json", "--cores", "2"]  # fmt: skip
        done = subprocess.run(line, cwd=folder, capture_output=True, text=True, env=os.environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def jobs() -> dict[str, int]:
        targets = ("subsets", "clusters")
        done = snakemake(*targets, "--configfile", "run.json", "--dry-run", "--quiet", "rules", cwd=folder)
        return {rule: many for rule, many in done.jobs().items() if rule not in targets}

    run("subsets", "clusters")
    assert jobs() == {}
    page = visit(folder / "results/notes/clusterings/k/review.html")
    page.select_option("#sort", label="cluster")
    page.locator("#list button").nth(1).click()
    exclude(page, "market notes")
    path = saved(page, folder / "config/exclusions")
    assert path.name == "notes.k.tsv"
    assert jobs() == {"exclude_clusters": 1, "draw_sample": 4, "write_subset": 4}
    run("subsets", "clusters")
    assert jobs() == {}
    import pyarrow.parquet as pq

    clusters = pq.read_table(folder / "results/notes/clusterings/k/clusters.parquet").to_pydict()
    assert clusters["excluded"] == [False, True, False, False]
    assert clusters["reason"][1] == "market notes"
    for subset in (folder / "results/notes/subsets").rglob("train.parquet"):
        assert 1 not in pq.read_table(subset)["cluster"].to_pylist()
