"""Plots: pyplot with one style, without a display, and a figure as SVG whose bytes repeat."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def pyplot(salt: str, **style: Any) -> Iterator[Any]:
    """pyplot in the style of all plots, with more keys of matplotlib's rcParams in `style`; its figures are closed at the end.
    `salt` seeds the ids in an SVG: they differ between plots of one page."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    common: Any = {
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
