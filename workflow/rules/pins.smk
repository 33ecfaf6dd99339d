# Hub revisions named by branch or tag that are not pinned yet: where a run stops. No rules here.
from winnow.config.pins import not_pinned, pin_command, where_named
from winnow.schema import is_commit

WARNED = []


@functools.cache
def check_pinned(hub, revision, kind):
    """Ends a run that reads a Hub revision whose commit is not in the lock file. A dry run continues: its plan does not
    depend on the commit."""
    if is_commit(revision):
        return
    source = dict(hub=hub, revision=revision)
    place = where_named(CONFIG, FILES, source, kind)
    line = f"{place}: {not_pinned(source, pin_command(GIVEN))}"
    if runs_jobs() and not workflow.dryrun:
        stop(line)
    if not WARNED:
        WARNED.append(line)
        print(f"warning: {line}; a run stops here, and at others like it", file=sys.stderr)
