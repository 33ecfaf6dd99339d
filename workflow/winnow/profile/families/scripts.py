"""Family scripts: the script that most letters of a text are of, and the share of common English words among its words.

No recogniser of languages: several languages share a script, and a text of few words may have no common English word.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from winnow.profile.english import common_share
from winnow.profile.kinds import Family
from winnow.profile.words import words
from winnow.scripts import script

STAGE_VERSION = 1
FAMILY = Family(
    columns={"script": "script of most letters", "english": "common English words / words"},
    levels={"script": ()},
)


def measure(texts: list[str], vectors: np.ndarray | None, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """See winnow.profile.kinds."""
    share = np.array([common_share(words(text)) for text in texts], dtype=np.float32)
    return {"script": np.array([script(text) for text in texts], dtype=object), "english": share}
