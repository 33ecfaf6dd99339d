"""`winnow check`: run configs, the first rows of their local sources and the pins of their Hub sources, without Snakemake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from winnow.commands.preflight import check_sources
from winnow.config.checks import resolve
from winnow.config.files import definition_files, read_files
from winnow.config.pins import lock_file, pin_command, require_pins
from winnow.experiments import every_run, few_seeds
from winnow.stage import canonical


def check(files: list[Path], /) -> None:
    """Check run configs without Snakemake, the first rows of their local sources, and that their Hub revisions are
    pinned: each is merged over the files of config/.

    Args:
        files: Run configs, later ones over earlier ones.
    """
    root = Path(__file__).parents[3]
    paths: list[str | Path] = [*definition_files(root), *files]

    def sources(config: dict[str, Any]) -> None:
        check_sources(config)
        require_pins(config, pin_command(files))

    config = resolve(read_files(paths), paths, sources=sources, lock=lock_file(root))
    models = set(map(canonical, every_run(config)))
    for name in config["targets"]:
        if note := few_seeds(config, name):
            print(f"note: table {name}: {note}")
    for note in long_endings(config):
        print(f"note: {note}")
    amounts = {
        "experiment": len(config["experiments"]),
        "model": len(models),
        "table": len(config["targets"]),
    }
    print(", ".join(f"{n} {what}{'s' * (n != 1)}" for what, n in amounts.items()) + ": all right")


def long_endings(config: dict[str, Any]) -> list[str]:
    """Pairs of a language model and a held-out cloze whose endings may be longer than what the model reads at a time."""
    from winnow.evaluate.forms.cloze import CONTINUATION_LENGTH

    notes = []
    for one in config["experiments"]:
        read = config["models"][one["model"]].get("sequence", CONTINUATION_LENGTH)
        suites = [config["suites"][name] for name in one["suites"]]
        for name in dict.fromkeys(name for suite in suites for name in suite):
            if config["benchmarks"][name].get("heldout") == "cloze" and read < CONTINUATION_LENGTH:
                notes.append(
                    f"experiment {one['name']}: {one['model']} reads {read} tokens at a time (sequence), an ending of {name} has up "
                    f"to {CONTINUATION_LENGTH}: its evaluation fails if one is longer"
                )
    return notes
