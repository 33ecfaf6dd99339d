# Before the first job: the names of targets are checked, jobs get their SLURM partitions, the results folder is claimed for
# this run, and a forecast of the run is printed. No rules here.
import difflib
import json

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent
from winnow import run_lock, slurm
from winnow.commands import forecast
from winnow.provenance import keep_config, record_run


def check_targets():
    """Ends the command with one line for a run config among the targets, a misspelt target, and for the paper's
    targets in a run without published figures."""
    names = [rule.name for rule in workflow.rules]
    published = any(has_published_figures(CONFIG, table) for table in CONFIG["targets"])
    for target in COMMAND.targets if COMMAND else []:
        if target.endswith((".yaml", ".yml", ".json")) and not target.startswith(f"{R}/"):
            stop(f"{target} is among the targets; a run config goes behind --configfile")
        if re.fullmatch(r"[\w-]+", target) and target not in names and not os.path.exists(target):
            known = sorted(rule.name for rule in workflow.rules if not rule.output)
            near = difflib.get_close_matches(target, known, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            stop(f"no target {target!r}; {hint}known: {', '.join(known)}, and any file that a rule makes")
        if target in ("paper_tables", "published_tables") and not published:
            profile = {"paper_tables": "slurm", "published_tables": "profiles/local"}[target]
            file = os.path.relpath(HOME / "config" / "minipile.yaml")
            stop(
                f"{target}: no table of this run has published figures; those of the paper: "
                f"snakemake {target} --profile {profile} --configfile {file}"
            )


def check_profile():
    """Warns of names in the profile that change nothing, since Snakemake passes over them: rules that do not exist, and
    resources that look like a misspelt one."""
    settings = workflow.resource_settings
    names = [rule.name for rule in workflow.rules]
    for section, given in (
        ("set-resources", settings.overwrite_resources),
        ("set-threads", settings.overwrite_threads),
    ):
        for name in sorted(set(given) - set(names)):
            near = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            print(f"warning: {section}: no rule {name!r}, so this changes nothing{hint}", file=sys.stderr)
    places = {"default-resources": settings.default_resources or {}}
    places |= {f"set-resources: {name}": given for name, given in settings.overwrite_resources.items()}
    for section, given in places.items():
        for name in sorted(set(given) - set(RESOURCES)):
            near = difflib.get_close_matches(name, RESOURCES, 1, 0.85)
            if near := near or difflib.get_close_matches(name, RESOURCES, 2, 0.7):
                meant = " or ".join(map(repr, near))
                print(f"warning: {section}: no job reads {name!r}; did you mean {meant}?", file=sys.stderr)


RESOURCES = dict.fromkeys(
    "checkpoint_minutes cluster clusters constraint cpus_per_gpu cpus_per_task disk disk_mb gpu gpu_model gpu_partition "
    "gres mem mem_mb mem_mb_per_cpu mpi nodes qos runtime slurm_account slurm_cluster slurm_extra slurm_partition tasks "
    "tasks_per_gpu tasks_per_node threads tmpdir".split()
)
"""Resources that rules, Snakemake or its SLURM plugin read."""


def forecast_cores():
    """Cores that the run has on this machine, none where its jobs run on a cluster; of a dry run that names none, all."""
    settings = workflow.resource_settings
    if settings.nodes is not None:
        return 0
    unnamed = workflow.dryrun and settings.cores == 1 and not (COMMAND and COMMAND.cores)
    return len(os.sched_getaffinity(0)) if unnamed else settings.cores


def write_jobs(path):
    """Writes the jobs of the run for `winnow plan`: rule, wildcards, benchmark file, and the places of those they wait for."""
    jobs = list(workflow.dag.needrun_jobs())
    place = {job: at for at, job in enumerate(jobs)}
    rows = [
        {
            "rule": job.rule.name,
            "ids": dict(job.wildcards_dict),
            "benchmark": str(job.benchmark) if job.benchmark else None,
            "needs": sorted(place[one] for one in workflow.dag.dependencies[job] if one in place),
        }
        for job in jobs
    ]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(rows, file)


def own_jobs():
    """(rule, wildcards) of the jobs that are needed. A workflow that has this one as a module has its own jobs, too, and names
    for these rules."""
    names = {proxy.rule.name: name for name, proxy in rules._rules.items()}
    needed = [job for job in workflow.dag.needrun_jobs() if job.rule.name in names]
    return [(names[job.rule.name], dict(job.wildcards_dict)) for job in needed]


def show_forecast(record):
    """Prints a forecast of the heavy jobs before Snakemake's first table of jobs."""
    if getattr(record, "event", None) == LogEvent.RUN_INFO and not FORECAST_SHOWN and not workflow.touch:
        FORECAST_SHOWN.append(True)
        if path := os.environ.get("WINNOW_JOBS"):
            write_jobs(path)
            return True
        if line := forecast.forecast(CONFIG, R, own_jobs(), forecast_cores(), LOCK):
            logger.info(line)
    return True


def notice_stop(record):
    """Remembers that a person has stopped the run: Snakemake calls it failed, too."""
    if record.getMessage().startswith("Terminating processes on user request"):
        STOPPED.append(True)
    return True


def last_line():
    """What a person can do after a run that did not end well."""
    if STOPPED:
        return "Stopped before the end. The same command continues with what is missing."
    if COMMAND and "preflight" in COMMAND.targets:
        return (
            "The preflight failed; each job says why in a line that begins with error, above and in its log."
        )
    return "Some jobs failed. For the tables of the arms that are complete, run the same command with the target partial_tables."


STOPPED = []
FORECAST_SHOWN = []
if not MODULE:
    check_targets()
    if runs_jobs():
        check_profile()
for one in workflow.modifier.rules:
    place(one)


def with_results(action):
    """`run_lock.claim` or `run_lock.release` of the results folder; ends the command with one line if another run writes
    there, whatever folder it was started in."""
    try:
        action(Path(R))
    except InputError as error:
        stop(error)
    except OSError as error:
        stop(f"{R}: cannot be written ({error.strerror}); take another folder, or change its permissions")


def claim_results():
    if workflow.is_main_process and not (COMMAND and COMMAND.nolock):
        with_results(run_lock.claim)
        record_run(Path(R), HOME, CONFIG, [*SHIPPED, *GIVEN], sys.argv)
        if not MODULE:
            keep_config(Path(R), CONFIG)


def claim_before_jobs(record):
    """Claims the results folder in a workflow that has this one as a module: only its own `onstart` is called."""
    if getattr(record, "event", None) == LogEvent.RUN_INFO and not workflow.dryrun and not CLAIMED:
        CLAIMED.append(True)
        if own_jobs():
            claim_results()
    return True


CLAIMED = []
if COMMAND and COMMAND.unlock:
    with_results(run_lock.release)


onstart:
    claim_results()


# Once: this file is read again for each change that another workflow makes to a rule of this module.
STARTED = workflow.__dict__.setdefault("winnow_results", set())
if workflow.is_main_process and R not in STARTED:
    STARTED.add(R)
    for watch in [show_forecast, check_cluster, notice_stop, *([claim_before_jobs] if MODULE else [])]:
        logger.addFilter(watch)
elif not workflow.is_main_process:
    # The signal before a job's time limit is for the stage; this process and its shell would end by it.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if workflow.remote_exec:
        slurm.record_jobs()
