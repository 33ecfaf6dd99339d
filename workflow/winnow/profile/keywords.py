"""Words of prompts that bear on mental health, in a short list: what the study asks of a corpus made of prompts.

In: how often each word occurs in prompts (words.csv of the profile). Out: rows of a table. They say what writers were asked to
write about, and diagnose nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEYWORDS: dict[str, tuple[str, ...]] = {
    "worry": ("afraid", "anxious", "fear", "nervous", "panic", "scared", "stress", "terrified", "worried", "worry"),
    "sadness": ("cry", "depressed", "gloomy", "grief", "hopeless", "hurt", "miserable", "sad", "unhappy", "upset"),
    "loneliness": ("alone", "ignore", "lonely", "miss", "reject", "shy"),
    "anger": ("anger", "angry", "fight", "furious", "hate", "jealous", "mad", "rage"),
    "harm": ("abuse", "attack", "blood", "bully", "die", "hit", "kill", "punish", "suffer", "threaten", "wound"),
    "shame": ("ashamed", "blame", "embarrassed", "fail", "guilty", "regret", "shame", "weak"),
    "coping": ("breathe", "calm", "comfort", "cope", "heal", "help", "hope", "hug", "listen", "relax", "rest", "share",
               "support", "talk", "trust"),
    "wellbeing": ("brave", "cheerful", "confident", "content", "grateful", "happy", "joy", "kind", "love", "peace",
                  "peaceful", "proud", "safe"),
}  # fmt: skip


def keyword_rows(counts: Mapping[str, int], prompts: int) -> list[dict[str, Any]]:
    """A row for each keyword: theme, word, count, and its share of the prompts with Wilson's 95 % interval.

    `counts`: prompts with each word (normalised: stripped, lower case); `prompts`: all prompts. Without prompts the share is
    None. Words are compared whole: `sadly` is no `sad`.
    """
    from scipy.stats import binomtest

    rows = []
    for theme, words in KEYWORDS.items():
        for word in words:
            count = counts.get(word, 0)
            row: dict[str, Any] = dict(
                theme=theme, word=word, count=count, share=None, ci_low=None, ci_high=None
            )
            if prompts:
                interval = binomtest(min(count, prompts), prompts).proportion_ci(0.95, method="wilson")
                row |= dict(share=count / prompts, ci_low=float(interval.low), ci_high=float(interval.high))
            rows.append(row)
    return rows
