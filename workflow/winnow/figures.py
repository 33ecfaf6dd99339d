"""Plots: pyplot with one style, without a display; a figure as SVG whose bytes repeat; an SVG in the colours of a page.

The colours are those of Okabe and Ito (2008), which colour-blind readers tell apart. A file of a plot is for white paper. In a
page (`in_page`) each colour of `OF_PAGES` is one of `style.css`, which has another value in dark mode and in print.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
"""Colours of lines and points that have none of their own."""
ON_DARK, ON_LIGHT = "#fefefe", "#010101"
"""Colours of text on a coloured cell. Like the cell, they are the same in all pages."""
OF_PAGES = {
    "#000000": "currentColor", "#ffffff": "var(--paper)", "#dddddd": "var(--line)", "#bbbbbb": "var(--line)",
    "#555555": "var(--soft)", "#4d4d4d": "var(--soft)", "#7f7f7f": "var(--grey)", "#999999": "var(--grey)",
    "#0072b2": "var(--blue)", "#d55e00": "var(--vermilion)", "#009e73": "var(--green)", "#cc79a7": "var(--purple)",
    "#e69f00": "var(--orange)", "#56b4e9": "var(--sky)", "#f0e442": "var(--yellow)", "#1b7837": "var(--better)",
    "#b2182b": "var(--worse)",
}  # fmt: skip
"""Colours of plots, and what they are in a page."""
_TAG, _COLOUR = re.compile(r"<[^>]*>"), re.compile(r"\b(fill|stroke): (#[0-9a-f]{6})\b")


@contextmanager
def pyplot(salt: str, **style: Any) -> Iterator[Any]:
    """pyplot in the style of all plots, with more keys of matplotlib's rcParams in `style`; its figures are closed at the end.
    `salt` seeds the ids in an SVG: they differ between plots of one page."""
    import matplotlib

    matplotlib.use("Agg")
    from cycler import cycler
    from matplotlib import pyplot as plt

    common: Any = {
        "axes.prop_cycle": cycler(color=CYCLE),
        "svg.hashsalt": salt,
        "svg.fonttype": "none",
        "font.size": 9,
        "font.family": "DejaVu Sans",
        "text.parse_math": False,  # names may hold a dollar sign
    }
    with matplotlib.rc_context(common | style):
        try:
            yield plt
        finally:
            plt.close("all")


def svg(figure: Any) -> str:
    """A figure as SVG, without the date."""
    text = io.StringIO()
    with warnings.catch_warnings():  # text stays text in the SVG, whose reader has a font for it
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def in_page(svg: str) -> str:
    """An SVG as a part of an HTML page: from its `<svg` on, in the colours of the page. Text without a colour has the page's."""

    def of_page(match: re.Match[str]) -> str:
        return f"{match[1]}: {OF_PAGES.get(match[2], match[2])}"

    return _TAG.sub(lambda tag: _COLOUR.sub(of_page, tag[0]), svg[svg.index("<svg") :])
