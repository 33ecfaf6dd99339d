"""Command line for people: `winnow COMMAND ...`. Only the modules of the named command are imported."""

from __future__ import annotations

import difflib
import importlib
import os
import sys

from winnow.stage import run

COMMANDS = {
    "check": ("winnow.commands.check:check", "check a run config, its tables and the first rows of its local sources"),
    "pin": ("winnow.commands.pin:pin", "look up the commits of Hub revisions that are named by branch or tag"),
    "list": ("winnow.commands.listing:list_", "list the definitions that a run config can name: samplers, models, corpora, ..."),
    "allocate": ("winnow.sample.allocate:command", "compute the quota of each cluster for a sampler and a budget"),
    "audit": ("winnow.compare.audit:command", "audit printed comparisons against their inputs and the raw figures"),
    "power": ("winnow.compare.power:power", "compute the seeds and GPU-hours required to detect an effect of a given size"),
    "plan": ("winnow.commands.plan:plan", "show what a run will take: jobs, hours, memory, disk, price; or what it took"),
    "calibrate": ("winnow.commands.calibrate:calibrate", "measure this machine's speed for plans, forecasts and time limits"),
    "lineage": ("winnow.commands.lineage:lineage", "show what a figure was made of, or which models hold a document"),
    "export-crate": ("winnow.commands.export_crate:export_crate", "describe tables and how they were made as an RO-Crate"),
    "timings": ("winnow.commands.timings:command", "show the seconds and memory of a run by rule"),
    "readme": ("winnow.config.reference:readme", "write the key reference in config/README.md from the schema"),
}  # fmt: skip


def main() -> None:
    """Runs the command that the first argument names. Prints the list without one; exits with 2 if it is unknown."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name not in COMMANDS:
        width = max(map(len, COMMANDS))
        lines = [f"  {command:{width}}  {what}" for command, (_, what) in COMMANDS.items()]
        help_ = "\n".join(["Usage: winnow COMMAND [--help]", "", *lines])
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
    try:
        run(getattr(importlib.import_module(module), function), name=f"winnow {name}")
        sys.stdout.flush()
    except BrokenPipeError:  # of `winnow list samplers | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
