"""The forms of benchmarks whose items are made here, one module each: a form `some-name` is the module `some_name`.

A module holds
- COLUMNS: names and Arrow types of an item's columns, beside `item` (int64) and `group` (string or null);
- TASK: the lm-eval task that reads the items; None for items that only classifiers read, empty for prompts that
  `winnow.evaluate.completions` reads. Its fields are named, so texts are never read as templates;
- make: the items as lists by column, `item` and `group` among them. Forms of the schema's key `heldout` get
  (held-out documents, items, seed), and `completion` where the benchmark has this key, those of `grammar` (items, seed).
A new form is a module here and its name in the schema.
"""

from __future__ import annotations

import importlib
from types import ModuleType


def form_module(form: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{form.replace('-', '_')}")
