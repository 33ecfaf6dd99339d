# On a SLURM cluster (profiles/slurm): each job's partition and what it asks for there, checks before the first job, a
# watch over jobs that never start, and the target preflight.
include: "helpers/slurm.smk"


rule check_partition:
    """Whether a job of this kind finds Python, the folder of results and, of kind gpu, a GPU."""
    output:
        f"{R}/preflight/{{kind}}.json",
    log:
        f"{R}/logs/check_partition/{{kind}}.log",
    benchmark:
        f"{R}/timings/check_partition/{{kind}}.tsv"
    wildcard_constraints:
        kind="cpu|gpu",
    retries: 0  # what a node lacks it lacks at the next attempt, too
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=mem_mb_of("check_partition"),
        runtime=runtime_of("check_partition"),
        gpu=lambda wildcards: int(wildcards.kind == "gpu"),
    params:
        version=version("commands.check_node"),
    shell:
        """
        WINNOW_GPUS={resources.gpu} python -m winnow.commands.check_node \
            --gpus {resources.gpu} \
            --out {output:q} \
            &>{log:q}
        """
