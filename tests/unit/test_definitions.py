"""A table must not compare arms of one name that were made with different settings, as if only their documents differed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from winnow.compare.definitions import Definitions, first_difference
from winnow.stage import InputError


def model(rate: float, **ids: object) -> dict:
    spec = {
        "model": {"layers": 2},
        "recipe": {"learning_rate": rate, "steps": 40},
        "base": None,
        "training_seed": 0,
    }
    return {"ids": {"corpus": "c", "model": "nano", **ids}, "spec": spec}


def subset(train: int, **ids: object) -> dict:
    named = {"corpus": "c", "clustering": "k", "sampler": "random", "budget": "few", "data_seed": 0, **ids}
    spec = {"corpus": {"text": "text"}, "budget": {"train": train}, "sampler": {"rounding": "webster"}}
    return {"ids": named, "spec": spec}


def test_models_of_one_name_and_two_recipes_are_refused():
    seen = Definitions()
    seen.add_model(Path("a/manifest.json"), model(0.001))
    seen.add_model(Path("b/manifest.json"), model(0.001, sampler="uniform", data_seed=1))
    seen.add_model(Path("c/manifest.json"), model(0.005, model="large"))
    with pytest.raises(InputError) as error:
        seen.add_model(Path("d/manifest.json"), model(0.005))
    assert str(error.value) == (
        "d/manifest.json: model nano has recipe.learning_rate 0.005, but 0.001 in a/manifest.json; arms of a table share their "
        "settings: delete the file that is out of date, and run again"
    )


def test_subsets_of_one_name_and_two_budgets_are_refused():
    seen = Definitions()
    seen.add_subset(Path("a"), subset(100))
    seen.add_subset(Path("b"), subset(100, data_seed=1, sampler="uniform"))
    seen.add_subset(Path("c"), subset(200, budget="many"))
    seen.add_subset(Path("d"), subset(200, corpus="other"))
    with pytest.raises(InputError, match=r"^e: budget few has train 200, but 100 in a;"):
        seen.add_subset(Path("e"), subset(200))


def test_a_manifest_without_settings_contradicts_nothing():
    seen = Definitions()
    for path in ("a", "b"):
        seen.add_model(Path(path), {"ids": {"model": "nano"}})
        seen.add_subset(Path(path), {"ids": {"corpus": "c"}})


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3), lambda x: st.dictionaries(st.text(max_size=3), x)
)


@given(values, values)
def test_a_difference_is_found_exactly_where_values_differ(one, other):
    assert first_difference(one, one) is None
    present = [value for value in (one, other) if isinstance(value, dict)]
    if len(present) == 2 and (found := first_difference(one, other)):
        assert found[1] != found[2]
    if len(present) < 2:
        assert (first_difference(one, other) is None) == (one == other)
