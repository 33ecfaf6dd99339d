# Inputs and params of the rules of train.smk: trainings. No rules here.
from winnow.selection import continued_run


def model_manifests():
    return each(f"{MODEL}/manifest.json", every_run(CONFIG))


def run_ids(wildcards):
    """Ids of a run."""
    return {key: wildcards[key] for key in ("corpus", "clustering", "sampler", "budget", "model")} | {
        key: int(wildcards[key]) for key in ("data_seed", "training_seed")
    }


def train_inputs(wildcards):
    """What a model trains on: a packed stream for a language model, labelled documents for a classifier, which may start
    from the model of the round before."""
    subset = SUBSET.format(**wildcards)
    inputs = {
        "subset": f"{subset}/manifest.json",
        "split": [],
        "tokens": [],
        "tokens_meta": [],
        "tokenizer": [],
        "tokenizer_config": [],
        "start": [],
        "previous": [],
        "previous_files": [],
    }
    model = CONFIG["models"][wildcards.model]
    if language_model(wildcards.model):
        inputs["tokens"] = f"{subset}/tokens/{model['tokenizer']}.npy"
        inputs["tokens_meta"] = f"{subset}/tokens/{model['tokenizer']}.json"
        tokenizer = f"{R}/{wildcards.corpus}/tokenizers/{model['tokenizer']}"
        inputs["tokenizer"] = f"{tokenizer}/tokenizer.json"
        inputs["tokenizer_config"] = f"{tokenizer}/tokenizer_config.json"
        inputs["start"] = model_downloads(model.get("start", {}))
    else:
        inputs["split"] = f"{subset}/train.parquet"
        inputs["encoder"] = model_downloads(CONFIG["encoders"][model["encoder"]]["source"])
        if before := continued_run(CONFIG, run_ids(wildcards)):
            folder = MODEL.format(**before)
            inputs["previous"] = f"{folder}/manifest.json"
            files = ("config.json", "model.safetensors", "metrics.json", "timings.json")
            inputs["previous_files"] = [f"{folder}/{name}" for name in files]
    return inputs


def train_spec(wildcards):
    model = dict(CONFIG["models"][wildcards.model])
    if continued_run(CONFIG, run_ids(wildcards)) is None:
        model.pop("rounds", None)  # a model that starts anew is the same however later rounds start
    return spec(
        names={"model": wildcards.model},
        model=model,
        recipe=CONFIG["recipes"][model["recipe"]],
        training_seed=int(wildcards.training_seed),
        base=None if language_model(wildcards.model) else CONFIG["encoders"][model["encoder"]],
    )


def train_state(wildcards):
    """State of the local folder that a model starts from, which changes when a file is replaced."""
    model = CONFIG["models"][wildcards.model]
    if language_model(wildcards.model):
        return weights_state(**model.get("start", {}))
    return weights_state(**CONFIG["encoders"][model["encoder"]]["source"])
