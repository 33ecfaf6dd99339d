# Hub revisions by branch or tag that have no commit yet: where a run stops. No rules here.
from winnow.schema import is_commit


@functools.cache
def check_pinned(hub, revision, kind):
    """Ends a run that reads a Hub revision by name whose commit nobody has looked up. A dry run goes on: what it plans
    does not depend on the commit."""
    if is_commit(revision):
        return
    source = dict(hub=hub, revision=revision)
    where = pins.where_named(CONFIG, [*shipped, *given], source, kind)
    line = f"{where}: {pins.not_pinned(source, pins.pin_command(given))}"
    if runs_jobs() and not workflow.dryrun:
        stop(line)
    if not PIN_SAID:
        PIN_SAID.append(True)
        print(f"warning: {line}; a run stops here, and at others like it", file=sys.stderr)


PIN_SAID = []
