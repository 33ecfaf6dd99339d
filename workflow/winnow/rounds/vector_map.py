"""A map of vectors (winnow.projection): small multiples of what arms chose on it.

In: of each arm the coordinates and rounds of its documents. Out: SVG.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from winnow import figures
from winnow.projection import Projection

POOL, EDGE = (0.6, 0.6, 0.6, 0.4), "#7f7f7f"
"""Points are pixels, which a page cannot recolour: these are seen on white and on dark paper."""


def plot(
    rounds: Mapping[str, np.ndarray],
    place: Mapping[str, np.ndarray],
    pool: np.ndarray,
    fitted: Projection,
    title: str,
) -> str:
    """A panel per arm: `pool` float [m, 2] in grey; chosen documents, whose `rounds` int64 [n] and `place` float [n, 2] are given
    by arm, coloured by round. SVG; points are pixels in it, which keeps it small."""
    from matplotlib import colormaps
    from matplotlib.lines import Line2D

    last = max(int(one.max(initial=0)) for one in rounds.values())
    shades = colormaps["viridis"](np.linspace(0.9, 0.25, last + 1))
    columns = 2 if len(rounds) in (2, 4) else min(3, len(rounds))
    several = len({name.rpartition("/")[0] for name in rounds}) > 1
    rows = -(-len(rounds) // columns)
    most = max(len(one) for one in rounds.values())
    size = float(np.clip(15 * (500 / max(most, 1)) ** 0.5, 4, 15))
    with figures.pyplot("map") as pyplot:
        figure, axes = pyplot.subplots(
            rows, columns, figsize=(3.7 * columns, 3.3 * rows + 0.9), squeeze=False, sharex=True, sharey=True,
            layout="constrained", dpi=160,
        )  # fmt: skip
        for axis in axes.flat[len(rounds) :]:
            axis.set_visible(False)
        for axis, (name, one) in zip(axes.flat, rounds.items(), strict=False):
            axis.scatter(*pool.T, s=3, color=POOL, linewidths=0, rasterized=True)
            for index in range(last + 1):
                here = place[name][one == index]
                axis.scatter(
                    *here.T,
                    s=size,
                    color=[shades[index]],
                    linewidths=0.3 if size > 10 else 0,
                    edgecolors=EDGE,
                    rasterized=True,
                )
            axis.set_title(name if several else name.rpartition("/")[2], fontsize=9)
            axis.tick_params(labelsize=7, labelbottom=True)
        for axis in axes.flat[max(0, len(rounds) - columns) : len(rounds)]:  # the lowest of each column
            axis.set_xlabel(f"component 1 ({fitted.explained[0]:.1%} of variance)", fontsize=8)
        for axis in axes[:, 0]:
            axis.set_ylabel(f"component 2 ({fitted.explained[1]:.1%})", fontsize=8)
        dot: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 5}
        handles = [Line2D([], [], color=POOL, label="pool", **dot)]
        handles += [
            Line2D([], [], color=shades[i], label="first draw" if i == 0 else f"round {i}", **dot)
            for i in range(last + 1)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(8, last + 2), frameon=False)
        figure.suptitle(title, fontsize=10)
        return figures.svg(figure)
