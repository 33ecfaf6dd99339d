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
"""The tables of winnow.profile.describe, a CSV each, and their columns."""
ASSOCIATIONS: dict[str, tuple[str, ...]] = {
    "agreement": ("first", "second", "documents", "kappa", "ci_low", "ci_high", "same"),
    "crosstable": ("first", "second", "documents", "share"),
    "associations": ("first", "feature", "second", "class", "documents", "expected", "lift", "log_odds", "ci_low", "ci_high", "p"),
    "prevalence": ("measure", "documents", "of", "share", "ci_low", "ci_high", "rate", "rate_low", "rate_high"),
    "keywords": ("theme", "word", "count", "share", "ci_low", "ci_high"),
    "flags": ("flag", "doc", "measure", "value", "evidence", "start", "ending"),
    "examples": ("measure", "level", "doc", "value", "start", "ending"),
}  # fmt: skip
"""The tables of winnow.profile.associate."""
PLOTS = (
    "features", "words", "measures", "levels", "reading", "reading_levels", "agreement", "labels", "lexicon", "valences",
    "associations", "keywords", "cooccurrence",
)  # fmt: skip
"""The plots, an SVG each."""
CREATIVITY_PLOTS = ("dispersion", "measures", "groups")
"""The plots of winnow.profile.creativity: creativity-NAME.svg."""
