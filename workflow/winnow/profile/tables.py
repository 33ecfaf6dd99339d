"""Names of the tables and plots of a profile, which the rules ask for, too: nothing heavy here."""

from __future__ import annotations

TABLES: dict[str, tuple[str, ...]] = {
    "words": ("name", "count"),
    "features": ("name", "count"),
    "vocabulary": ("name", "count"),
    "ngrams": ("words", "name", "count"),
    "names": ("name", "count"),
    "describe": ("of", "count", "missing", "mean", "std", "min", "25%", "50%", "75%", "max"),
    "histograms": ("measure", "low", "high", "documents"),
    "levels": ("measure", "level", "documents", "share", "ci_low", "ci_high"),
    "cooccurrence": ("measure", "level", "feature", "documents", "share", "ci_low", "ci_high", "overall"),
    "suitability": ("objective", "measure", "condition", "documents", "passing", "share", "ci_low", "ci_high", "without"),
}  # fmt: skip
"""The tables, a CSV each, and their columns."""
PLOTS = ("features", "words", "measures", "levels", "cooccurrence")
"""The plots, an SVG each."""
CREATIVITY_PLOTS = ("dispersion", "measures", "groups")
"""The plots of winnow.profile.creativity: creativity-NAME.svg."""
