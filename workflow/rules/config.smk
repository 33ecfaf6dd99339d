# Snakemake's command line and the files of config/ -> COMMAND and the checked CONFIG. No rules here.
import contextlib
import io
import re

from snakemake.cli import get_argument_parser
from winnow.commands.preflight import check_sources
from winnow.config.checks import resolve
from winnow.config.files import definition_files, merge, read_files
from winnow.config.pins import lock_file
from winnow.provenance import kept_config
from winnow.stage import InputError


def command_line():
    """What Snakemake's command line asks for; None in the processes of jobs and where a program started Snakemake."""
    if not workflow.is_main_process:
        return None
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        return get_argument_parser().parse_args(sys.argv[1:])


def asks_for_tables():
    """Whether the run's tables are among the targets: they are by default, and not in the process of a job. The targets of a
    workflow that has this one as a module may require them."""
    if MODULE or not workflow.is_main_process:
        return workflow.is_main_process
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
    print(f"error: {f'module {__name__}: ' if MODULE else ''}{error}", file=sys.stderr)
    sys.exit(1)


def read_config():
    """The files of config/ merged, the run's own over them, checked. Not by the directive `configfile`: that looks for
    them in the working directory, and announces each. In the process of a job: what the run began with, since the files may
    have been edited since."""
    for folder in (str(HOME), os.path.dirname(sys.executable)):
        # Snakemake reads braces as wildcards, PATH and PYTHONPATH a colon as an end.
        if sign := re.search(r"[{}:\n]", folder):
            raise InputError(
                f"{folder}: Winnow cannot run from a folder with {sign.group()!r} in its path; move it"
            )
    if not MODULE and not workflow.is_main_process and (kept := kept_config()):
        return kept
    paths = workflow.modifier.path_modifier
    if MODULE and (paths.prefix or paths._prefix_replacements):
        raise InputError(
            "prefix and replace_prefix move only some of its files; set the key results of its config instead"
        )
    merged = read_files(SHIPPED)
    merge(merged, config)
    if not MODULE:
        config.update(merged)
    workflow.configfiles.extend(SHIPPED)
    sources = check_sources if runs_jobs() else None
    given = dict(files=FILES, tables=asks_for_tables(), lock=LOCK)
    try:
        return resolve(merged, sources=sources, **given)
    except InputError as error:
        # Rules of the workflow that has this one as a module may make the files: in an earlier call, since jobs here depend
        # on their content. A job that needs a file that is not there ends the run with its line.
        if not MODULE:
            raise
        checked = resolve(merged, local=False, **given)
        if workflow.is_main_process:
            print(f"warning: module {__name__}: {error}", file=sys.stderr)
        return checked


COMMAND = command_line()
# The files of config/ and the run's own, over them.
SHIPPED = [] if workflow.config_settings.replace_workflow_config else definition_files(HOME, own=WHOLE_CONFIG)
GIVEN = list(workflow.overwrite_configfiles)
# Files whose lines messages name: with those of the directive `configfile`; none where the config is a part of another
# workflow's.
DECLARED = [file for file in workflow.configfiles if file not in GIVEN]
FILES = [*SHIPPED, *DECLARED, *GIVEN] if WHOLE_CONFIG else []
LOCK = lock_file(HOME)
try:
    CONFIG = read_config()
except InputError as error:
    stop(error)
