"""Family themes: what a story says, by zero-shot classification (winnow.profile.zero_shot).

The labels are the set `themes` of config/label_sets.yaml.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from winnow.profile import zero_shot
from winnow.profile.kinds import Family

STAGE_VERSION = 1
FAMILY = Family(
    columns={"theme": "theme", "theme_probability": "probability of the theme"},
    levels={"theme": ()},
    vectors=True,
    stages=("profile.zero_shot",),
    labels="themes",
)


def measure(texts: list[str], vectors: np.ndarray | None, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """See winnow.profile.kinds and winnow.profile.zero_shot."""
    return zero_shot.measure(texts, vectors, settings, "theme")
