# Inputs and params of the rules of published.smk: tables of published figures. No rules here.
def published_tables(formats):
    """The run's tables that have published figures, of these alone."""
    return expand(
        f"{R}/tables/published/{{table}}.{{format}}",
        table=[name for name in CONFIG["targets"] if has_published_figures(CONFIG, name)],
        format=formats,
    )
