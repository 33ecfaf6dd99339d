# Snakemake's command line and the files of config/ -> COMMAND and the checked CONFIG. No rules here.
import contextlib
import io
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))

from snakemake.cli import get_argument_parser
from winnow.commands.preflight import check_sources
from winnow.config.checks import resolve
from winnow.config.files import definition_files, merge, read_files
from winnow.config.pins import lock_file
from winnow.stage import InputError


def command_line():
    """What Snakemake's command line asks for; None in the processes of jobs and where a program started Snakemake."""
    if not workflow.is_main_process:
        return None
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        return get_argument_parser().parse_args(sys.argv[1:])


def asks_for_tables():
    """Whether the run's tables are among the targets: they are by default, and not in the process of a job."""
    if not workflow.is_main_process:
        return False
    targets = COMMAND.targets if COMMAND else []
    return not targets or any(
        target in ("all", "paper_tables", "partial_tables")
        or re.search(r"(^|/)tables/(?!published/)", target)
        for target in targets
    )


def runs_jobs():
    """Whether Snakemake plans or runs jobs, rather than reporting on or tidying up after those of another time."""
    other = ("lint", "list_rules", "list_target_rules", "report", "summary", "unlock", "cleanup_metadata")
    return workflow.is_main_process and not (COMMAND and any(getattr(COMMAND, name, None) for name in other))


def stop(error):
    """Ends the command with the one line of an error."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


def read_config():
    """The files of config/ merged, the run's own over them, checked. Not by the directive `configfile`: that looks for
    them in the working directory, and announces each."""
    for folder in (workflow.basedir, os.path.dirname(sys.executable)):
        # Snakemake reads braces as wildcards, PATH and PYTHONPATH a colon as an end.
        if sign := re.search(r"[{}:\n]", folder):
            raise InputError(
                f"{folder}: Winnow cannot run from a folder with {sign.group()!r} in its path; move it"
            )
    merged = read_files(SHIPPED)
    merge(merged, config)
    config.update(merged)
    workflow.configfiles.extend(SHIPPED)
    sources = check_sources if runs_jobs() else None
    return resolve(config, [*SHIPPED, *GIVEN], tables=asks_for_tables(), sources=sources, lock=LOCK)


COMMAND = command_line()
# The files of config/ and the run's own, over them.
SHIPPED = definition_files(workflow.basedir)
if workflow.modifier.skip_configfile or workflow.config_settings.replace_workflow_config:
    SHIPPED = []
GIVEN = list(workflow.overwrite_configfiles)
LOCK = lock_file(workflow.basedir)
try:
    CONFIG = read_config()
except InputError as error:
    stop(error)
