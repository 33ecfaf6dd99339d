"""Family levels: the reading level that a text suits by its style, by zero-shot classification (winnow.profile.zero_shot).

It is the counterpart of the level that formulas give (family reading).
The labels are the set `levels` of config/label_sets.yaml.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from winnow.profile import zero_shot
from winnow.profile.kinds import Family

STAGE_VERSION = 1
FAMILY = Family(
    columns={
        "level_zero_shot": "reading level (zero-shot)",
        "level_zero_shot_probability": "probability of the reading level (zero-shot)",
    },
    levels={"level_zero_shot": ("early_reader", "easy", "middle_grade", "young_adult", "adult")},
    vectors=True,
    stages=("profile.zero_shot",),
    labels="levels",
)


def measure(texts: list[str], vectors: np.ndarray | None, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """See winnow.profile.kinds and winnow.profile.zero_shot."""
    return zero_shot.measure(texts, vectors, settings, "level_zero_shot")
