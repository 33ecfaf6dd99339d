"""`winnow check`: run configs and the first rows of their local sources, without Snakemake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from winnow.commands.preflight import look_at_sources
from winnow.config.checks import check_paper, resolve
from winnow.config.files import definition_files, read_files
from winnow.config.pins import lock_file, pin_command, require_pins
from winnow.experiments import arms, few_seeds, runs_of
from winnow.stage import canonical


def check(files: list[Path], /) -> None:
    """Check run configs without Snakemake, the first rows of their local sources, and that their Hub revisions have
    commits: each is merged over the files of config/.

    Args:
        files: Run configs, later ones over earlier ones.
    """
    root = Path(__file__).parents[3]
    paths: list[str | Path] = [*definition_files(root), *files]

    def look(config: dict[str, Any]) -> None:
        look_at_sources(config)
        require_pins(config, pin_command(files))

    config = resolve(read_files(paths), paths, look=look, lock=lock_file(root))
    check_paper(config)
    models = {
        canonical([ids, d, t])
        for e in config["experiments"]
        for ids in arms(config, e).values()
        for d, t in runs_of(e)
    }
    for name in config["targets"]:
        if note := few_seeds(config, name):
            print(f"note: table {name}: {note}")
    amounts = {
        "experiment": len(config["experiments"]),
        "model": len(models),
        "table": len(config["targets"]),
    }
    print(", ".join(f"{n} {what}{'s' * (n != 1)}" for what, n in amounts.items()) + ": all right")
