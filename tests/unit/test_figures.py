"""Plots in pages: readable on light, dark and printed paper, and nothing but colours is changed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from winnow import figures
from winnow.compare import plots
from winnow.pages import Page, Section, html_page, read_template

LEAST = 3.0
"""Contrast of graphics with what is around them (WCAG 2.1, 1.4.11)."""


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def palettes() -> list[dict[str, str]]:
    """The colours of the style sheet in light, dark and print."""
    return [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", read_template("style.css"), re.S)]  # fmt: skip


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark", "print"])
def test_every_colour_of_a_plot_is_seen_on_the_paper_of_each_page(palette: dict[str, str]) -> None:
    named = [name[6:-1] for name in figures.OF_PAGES.values() if name.startswith("var(--")]
    assert set(named) <= set(palette)
    for name in set(named) - {"paper", "line"}:  # lines of a grid are meant to be faint
        assert contrast(palette[name], palette["paper"]) >= LEAST, name
    lines = [palette[figures.OF_PAGES[colour][6:-1]] for colour in figures.CYCLE if colour != "#000000"]
    assert len(set(lines)) == len(lines)


def test_a_plot_has_the_colours_of_its_page_and_keeps_its_texts() -> None:
    with figures.pyplot("test") as pyplot:
        plot, axis = pyplot.subplots()
        axis.plot([0, 1], label="fill: #000000 <b>")
        axis.text(0, 0, "cell", color=figures.ON_DARK)
        axis.legend()
        text = figures.svg(plot)
    page = figures.in_page(text)
    assert page.startswith("<svg")
    assert "#000000" not in page.replace("fill: #000000 &lt;b&gt;", "")
    assert "fill: #000000 &lt;b&gt;" in page
    assert "stroke: var(--blue)" in page
    assert "fill: var(--paper)" in page
    assert f"fill: {figures.ON_DARK}" in page  # on a cell whose colour stays
    assert re.sub(r"(fill|stroke): [^;\"]+", "", page) == re.sub(
        r"(fill|stroke): [^;\"]+", "", text[text.index("<svg") :]
    )


def test_the_file_of_a_plot_stays_for_white_paper() -> None:
    with figures.pyplot("test") as pyplot:
        plot, axis = pyplot.subplots()
        axis.plot([0, 1])
        assert "var(" not in figures.svg(plot)


def test_plots_reach_a_page_through_its_colours() -> None:
    svg = '<?xml version="1.0"?><svg><path style="fill: #ffffff; stroke: #000000"/></svg>'
    text = html_page(Page("T", [], [], [Section("S", None, plots=[("P", svg)])]))
    assert "fill: var(--paper); stroke: currentColor" in text


def test_loss_curves_of_many_long_trainings_fit_a_page_and_stand_before_the_baselines() -> None:
    generator = np.random.default_rng(0)
    curves = {f"e/arm{i}": [(1e9, 3 + generator.normal(0, 0.2, 5000)) for _ in range(3)] for i in range(12)}
    plot = plots.losses(curves, "t", "e/arm0")
    assert len(plot) < 500_000
    assert all(f">arm{i}<" in plot for i in range(12))  # a panel each
    assert "grey: arm0" in plot
    alone = plots.losses({"e/arm0": curves["e/arm0"]}, "t", "e/arm0")
    assert "grey" not in alone
    assert len(re.findall(r"stroke: #0072b2", alone)) == 3


def test_no_page_is_joined_by_hand() -> None:
    tags = re.compile(r"<(?:html|body|div|p|table|tr|td|th|ul|li|a|h[1-6])[ >]")
    folder = Path(figures.__file__).parent
    assert [str(path) for path in sorted(folder.rglob("*.py")) if tags.search(path.read_text(encoding="utf-8"))] == []  # fmt: skip
