# Inputs and params of the rules of train.smk: trainings. No rules here.
def model_manifests():
    return each(f"{MODEL}/manifest.json", every_run(CONFIG))


def train_inputs(wildcards):
    """What a model trains on: a packed stream for a language model, labelled documents for a classifier."""
    subset = SUBSET.format(**wildcards)
    inputs = {
        "subset": f"{subset}/manifest.json",
        "split": [],
        "tokens": [],
        "tokens_meta": [],
        "tokenizer": [],
        "tokenizer_config": [],
        "start": [],
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
    return inputs


def train_spec(wildcards):
    model = CONFIG["models"][wildcards.model]
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
