"""Names of the metrics of completions, and whether higher is better. Nothing is imported: the checks of a config read them."""

COMPLETION = {
    "distinct_1": True,
    "distinct_2": True,
    "distinct_3": True,
    "repetition": False,
    "ends_sentence": True,
    "word_length_gap": False,
    "sentence_length_gap": False,
    "chrf": True,
}
"""Measures of a completion (winnow.evaluate.completions), and whether higher is better. A metric is the measure of the
greedy completion of an item, or its mean over the sampled ones: `greedy_chrf`, `sampled_chrf`."""
COMPLETION_METRICS = {
    f"{how}_{measure}": up for how in ("greedy", "sampled") for measure, up in COMPLETION.items()
}
