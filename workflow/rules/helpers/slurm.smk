import atexit
import signal
import threading

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent
from winnow import slurm
from winnow.experiments import needs as needs_of_run
from winnow.partitions import Request, fit
from winnow.stage import InputError

SIGNAL_MINUTES = 5
"""How long before its time limit a job that can resume is told to save; at most a quarter of its time."""
RUN_RECORD = Path(R) / "logs" / "slurm-run.txt"
"""The name that the jobs of the latest run on these results have in the queue."""


def site(name):
    """What default-resources of the profile set; None on a machine without partitions."""
    value = workflow.resource_settings._parsed_default_resources.get(name).raw
    return str(value).strip("'\"") if value is not None else None


def cluster_partitions():
    """Partitions of the cluster by name; none without SLURM. Jobs get them from the process that submits them, and ask
    nothing."""
    if not site("slurm_partition"):
        return {}
    if not workflow.is_main_process:
        return slurm.shared_partitions()
    try:
        found = slurm.ask_partitions()
    except InputError as error:
        PROBLEMS["SLURM"] = str(error)
        return {}
    slurm.share(found)
    return found


PROBLEMS = {}
"""Why jobs of a rule could never run, by rule."""
CUT = {}
"""Minutes that jobs of a rule ask for and those that they get, where that is less; without jobs that can resume."""
PARTITIONS = cluster_partitions()


# ---------------------------------------------------------------- partition, time, memory and threads of a job


def place(definition):
    """Sends the jobs of a rule to the partition for what they ask (a GPU, or none), within the limits of the partition.
    Nothing changes on a machine without partitions, nor for rules that run where Snakemake runs."""
    if not site("slurm_partition") or definition.norun or definition.name in workflow._localrules:
        return
    before = {key: definition.resources.get(key) for key in (*KEYS, "slurm_extra", "checkpoint_minutes")}
    chosen = "slurm_partition" in workflow.resource_settings._parsed_overwrite_resources.get(
        definition.name, {}
    )
    placed = {}

    def resources(wildcards, input, attempt, rulename, async_run):
        """The resources of a job, each once: partition, _cores, mem_mb, runtime, gpu_model, slurm_extra."""
        key = (*wildcards, attempt)
        if key in placed:
            return placed[key]
        known = dict(input=input, attempt=attempt, rulename=rulename, async_run=async_run)
        threads = before["_cores"].evaluate(wildcards, **known).value
        asked = {k: v.evaluate(wildcards, threads=threads, **known).value for k, v in before.items()}
        gpus, model = int(asked["gpu"] or 0), asked["gpu_model"] or ""
        kind = "gpu_partition" if gpus and not chosen and asked["gpu_partition"] else "slurm_partition"
        names = [name.strip() for name in str(asked[kind]).split(",")]
        name, request = names[0], Request(
            threads, asked["mem_mb"], asked["runtime"], gpus, model if gpus else ""
        )
        if PARTITIONS:
            try:
                name, request = fit(request, known_partitions(names, kind), attempt)
            except InputError as error:
                PROBLEMS[rulename] = str(error)
            if request.minutes < asked["runtime"] and attempt == 1 and asked["checkpoint_minutes"] is None:
                CUT[rulename] = max(CUT.get(rulename, (0, 0)), (asked["runtime"], request.minutes))
        extra = asked["slurm_extra"] or ""
        if asked["checkpoint_minutes"] is not None and "--signal" not in extra:
            extra += f" --signal=USR1@{min(60 * SIGNAL_MINUTES, 15 * request.minutes)}"
        placed[key] = dict(
            _cores=request.threads,
            mem_mb=request.memory,
            runtime=request.minutes,
            slurm_partition=name,
            gpu_partition=None,
            gpu_model=request.model or None,
            slurm_extra=extra.strip() or None,
        )
        return placed[key]

    def one(key):
        def value(wildcards, input, attempt, rulename, async_run):
            return resources(wildcards, input, attempt, rulename, async_run)[key]

        return value

    for key in (
        "_cores",
        "mem_mb",
        "runtime",
        "slurm_partition",
        "gpu_partition",
        "gpu_model",
        "slurm_extra",
    ):
        definition.resources[key] = one(key)


KEYS = ("_cores", "mem_mb", "runtime", "gpu", "gpu_model", "slurm_partition", "gpu_partition")


def known_partitions(names, kind):
    for name in names:
        if name not in PARTITIONS:
            raise InputError(
                f"{kind}={name}: the cluster has no such partition; sinfo knows {', '.join(sorted(PARTITIONS))}"
            )
        if not PARTITIONS[name].up:
            raise InputError(f"{kind}={name}: the partition takes no jobs now (sinfo); wait, or name another")
    return [PARTITIONS[name] for name in names]


# ---------------------------------------------------------------- before the first job


def check_cluster(record):
    """Before Snakemake's first table of jobs: stops a run whose jobs SLURM could never start, or whose files jobs of an
    earlier run are still writing; then watches the queue. A dry run only warns."""
    message = record.getMessage()
    if message.startswith("SLURM run ID: "):
        RUN.append(message.removeprefix("SLURM run ID: "))
    if getattr(record, "event", None) != LogEvent.RUN_INFO or CHECKED or not site("slurm_partition"):
        return True
    CHECKED.append(True)
    for job in workflow.dag.needrun_jobs():
        job.resources  # evaluates the function of `place`
    rules_of = {}
    for name, problem in sorted(PROBLEMS.items()):
        rules_of.setdefault(problem, []).append(name)
    lines = [f"{', '.join(names)}: {problem}" for problem, names in rules_of.items()]
    if CUT:
        cut = ", ".join(f"{name} {asked} -> {given}" for name, (asked, given) in sorted(CUT.items()))
        logger.warning(f"note: minutes cut to the limit of the partition ({cut}): jobs that take longer fail")
    if not RUN:
        for line in lines:
            logger.warning(f"warning: {line}")
        return True
    if lines:
        stop("\nerror: ".join(lines))
    try:
        slurm.check_polling(workflow.executor_settings.init_seconds_before_status_checks)
        if left := slurm.leftovers(RUN_RECORD):
            name, jobs = next(iter(left.items()))
            stop(
                f"{len(jobs)} jobs of an earlier run still work on {R} ({', '.join(jobs[:5])}): wait for them, or cancel "
                f"them with: scancel --name={name}; then run this command again"
            )
        slurm.remember(RUN_RECORD, RUN[-1])
        slurm.harden()
    except InputError as error:
        stop(error)
    atexit.register(cancel_rest, RUN[-1], os.getpid())
    threading.Thread(target=slurm.watch, args=(RUN[-1], logger.error), daemon=True).start()
    return True


def cancel_rest(name, process):
    """At the end of this process, when no thread submits any more: cancels the jobs of the run that are still in the queue.
    At Ctrl-C the plugin (2.8.0) cancels the jobs that it has submitted by then, and goes on to submit the others of the round.
    """
    if os.getpid() != process:
        return
    try:
        slurm.cancel(name)
    except InputError as error:
        print(f"warning: {error}", file=sys.stderr)


RUN, CHECKED = [], []


# ---------------------------------------------------------------- the target preflight


def nodes_checked(wildcards):
    """The checks of a node for each kind of job; with a GPU only where the profile names a partition for them."""
    gpu = site("gpu_partition") or workflow.global_resources.get("gpu").value
    return expand(f"{R}/preflight/{{kind}}.json", kind=["cpu", "gpu"] if gpu else ["cpu"])


if COMMAND and workflow.modifier.modify_rulename("preflight") in COMMAND.targets and not COMMAND.dryrun:
    for path in (Path(R) / "preflight").glob("*.json"):  # what was checked at another time
        path.unlink()


def downloads(wildcards):
    """The records of all that the run takes from the Hub."""
    found = needs_of_run(CONFIG)
    corpora = [
        f"{R}/{name}/download.json" for name in found.corpora if "hub" in CONFIG["corpora"][name]["source"]
    ]
    benchmarks = [
        name for name in found.benchmarks if {"task", "labelled"} & CONFIG["benchmarks"][name].keys()
    ]
    return [
        *corpora,
        *(f"{R}/benchmarks/{name}/download.json" for name in benchmarks if "hub" in benchmark_source(name)),
        *(path for source in found.weights.values() for path in model_downloads(source)),
    ]
