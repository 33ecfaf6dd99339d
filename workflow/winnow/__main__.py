"""The commands of a person: `winnow NAME ...`. Only what the named command needs is imported."""

from __future__ import annotations

import difflib
import importlib
import sys

from winnow.stage import run

COMMANDS = {
    "check": ("winnow.commands.check:check", "check run configs, and the first rows of their local sources"),
    "pin": ("winnow.commands.pin:pin", "look up the commits of Hub revisions by name, for runs that read them"),
    "list": ("winnow.commands.listing:list_", "list what a run config can name: samplers, models, corpora, ..."),
    "allocate": ("winnow.sample.allocate:command", "how many documents a sampler takes from each cluster of a table"),
    "audit": ("winnow.compare.audit:command", "check published comparisons against published figures"),
    "power": ("winnow.compare.costs:power", "how many seeds and GPU-hours it takes to see a gap of a given size"),
    "timings": ("winnow.commands.timings:command", "seconds and memory by rule of a run"),
    "readme": ("winnow.config.reference:readme", "write the reference of keys in config/README.md"),
}  # fmt: skip


def main() -> None:
    """Runs the command that the first argument names; exit code 2 and the list of them if it names none."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name not in COMMANDS:
        width = max(map(len, COMMANDS))
        lines = [f"  {command:{width}}  {what}" for command, (_, what) in COMMANDS.items()]
        help_ = "\n".join(["winnow COMMAND [--help]", "", *lines])
        if name in ("-h", "--help"):
            print(help_)
            return
        near = difflib.get_close_matches(name, COMMANDS, 1)
        print(
            f"error: no command {name!r}{f'; did you mean {near[0]}?' if near else ''}\n{help_}",
            file=sys.stderr,
        )
        sys.exit(2)
    module, function = COMMANDS[name][0].split(":")
    sys.argv = [f"winnow {name}", *sys.argv[2:]]
    run(getattr(importlib.import_module(module), function), name=f"winnow {name}")


if __name__ == "__main__":
    main()
