"""`winnow check`: run configs and the first rows of their local sources, without Snakemake."""

from __future__ import annotations

from pathlib import Path

from winnow.commands.preflight import check_sources
from winnow.config.checks import resolve
from winnow.config.files import definition_files, read_files
from winnow.experiments import every_run, few_seeds
from winnow.stage import canonical


def check(files: list[Path], /) -> None:
    """Check run configs without Snakemake, and the first rows of their local sources: each is merged over the files
    of config/.

    Args:
        files: Run configs, later ones over earlier ones.
    """
    paths: list[str | Path] = [*definition_files(Path(__file__).parents[3]), *files]
    config = resolve(read_files(paths), paths, sources=check_sources)
    models = set(map(canonical, every_run(config)))
    for name in config["targets"]:
        if note := few_seeds(config, name):
            print(f"note: table {name}: {note}")
    amounts = {
        "experiment": len(config["experiments"]),
        "model": len(models),
        "table": len(config["targets"]),
    }
    print(", ".join(f"{n} {what}{'s' * (n != 1)}" for what, n in amounts.items()) + ": all right")
