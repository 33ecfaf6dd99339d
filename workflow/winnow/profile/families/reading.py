"""Family reading: readability of an English text by six formulas, and the reading level under which libraries shelve it.

The level follows from the median of the five formulas whose result is a grade; Dale-Chall's is a score, and textstat's is too
high for stories (it counts inflected words and names as difficult: TinyStories are grade 7 to 8 by it, 2 to 4 by the others).
The formulas and the counts behind them are textstat's. Syllables are those of the CMU Pronouncing Dictionary, and textstat's
hyphenation of other words. Sources: Kincaid et al. 1975 (Flesch-Kincaid), Gunning 1952 (fog), Coleman and Liau 1975,
Senter and Smith 1967 (ARI), McLaughlin 1969 (SMOG), Dale and Chall 1948. Flesch, Gunning and Dale and Chall count samples
of 100 words, McLaughlin 30 sentences: shorter texts have no level.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from typing import Any

import numpy as np

from winnow.profile.english import dictionary, dictionary_share, is_english
from winnow.profile.kinds import Family
from winnow.stage import InputError

STAGE_VERSION = 2
FAMILY = Family(
    columns={
        "flesch_kincaid": "Flesch-Kincaid (grade)",
        "gunning_fog": "Gunning fog (grade)",
        "coleman_liau": "Coleman-Liau (grade)",
        "ari": "Automated Readability Index (grade)",
        "smog": "SMOG (grade)",
        "dale_chall": "Dale-Chall (score)",
        "reading_grade": "median of the five grades",
        "reading_level": "reading level",
        "reading_status": "reading level measured, or why not",
        "dictionary_words": "words of the CMU dictionary / words",
    },
    levels={
        "reading_level": ("early_reader", "easy", "middle_grade", "young_adult", "adult"),
        "reading_status": ("measured", "too short", "few English words", "no words"),
    },
)
LEVELS = FAMILY.levels["reading_level"]
GRADES = ("flesch_kincaid", "gunning_fog", "coleman_liau", "ari", "smog")
DEFAULTS: dict[str, Any] = {
    "words": 100,
    "sentences": 3,
    "smog_sentences": 30,
    "dictionary": 0.5,
    "common": 0.1,
    "limits": {"early_reader": 2, "easy": 4, "middle_grade": 7, "young_adult": 13},
}
"""A text of fewer `words` or `sentences`, or of too few English words (shares `dictionary` of the CMU dictionary and
`common` of common words: winnow.profile.english), has no level; one of fewer `smog_sentences` has no SMOG. `limits`: a level holds grades below its limit.
Kindergarten and grade 1, and grades 2 and 3, are the first two bands of the Common Core State Standards (Appendix A); the Book
Industry Study Group's subject headings end juvenile books at grade 6 and young adult books at grade 12."""


@functools.cache
def formulas() -> Any:
    """textstat, with the dictionary above: its own (of NLTK) is downloaded at first use."""
    import textstat

    syllables: Any = importlib.import_module("textstat.backend.counts._count_syllables")
    syllables.get_cmudict = lambda lang: dictionary()
    return textstat


def levels_of(grades: np.ndarray, limits: dict[str, float]) -> np.ndarray:
    """Reading levels, objects [n], of grades [n]; None where a grade is NaN."""
    place = np.searchsorted([limits[level] for level in LEVELS[:-1]], grades, side="right")
    return np.array([*LEVELS, None], dtype=object)[np.where(np.isnan(grades), len(LEVELS), place)]


def check_limits(limits: dict[str, float]) -> None:
    """Raises InputError unless the limits of the levels ascend."""
    values = [limits[level] for level in LEVELS[:-1]]
    for lower, upper, level in zip(values, values[1:], LEVELS[1:], strict=False):
        if not lower < upper:
            raise InputError(
                f"reading.limits.{level}: {upper} is not above {lower}, the limit of the level before"
            )


def measure(texts: list[str], vectors: np.ndarray | None, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """See winnow.profile.kinds; settings: DEFAULTS. Formulas are NaN, and `reading_level` None, where `reading_status` is not
    `measured`."""
    settings = {**DEFAULTS, **settings}
    check_limits(settings["limits"])
    library = formulas()
    score = {name: np.full(len(texts), np.nan) for name in (*GRADES, "dale_chall")}
    share = np.full(len(texts), np.nan)
    status = np.full(len(texts), "no words", dtype=object)
    for row, text in enumerate(texts):
        words = library.backend.selections.list_words(text, lowercase=True)
        if not words:
            continue
        share[row] = dictionary_share(words)
        sentences = library.sentence_count(text)
        if not is_english(words, settings["dictionary"], settings["common"]):
            status[row] = "few English words"
        elif len(words) < settings["words"] or sentences < settings["sentences"]:
            status[row] = "too short"
        else:
            status[row] = "measured"
            score["flesch_kincaid"][row] = library.flesch_kincaid_grade(text)
            score["gunning_fog"][row] = library.gunning_fog(text)
            score["coleman_liau"][row] = library.coleman_liau_index(text)
            score["ari"][row] = library.automated_readability_index(text)
            score["dale_chall"][row] = library.dale_chall_readability_score(text)
            if sentences >= settings["smog_sentences"]:
                score["smog"][row] = library.smog_index(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # texts without any grade
        grade = np.nanmedian([score[name] for name in GRADES], axis=0)
    return {
        **{name: values.astype(np.float32) for name, values in score.items()},
        "reading_grade": grade.astype(np.float32),
        "reading_level": levels_of(grade, settings["limits"]),
        "reading_status": status,
        "dictionary_words": share.astype(np.float32),
    }
