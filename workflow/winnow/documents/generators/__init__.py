"""Generators of the embedded corpora, one file each: `table(...)` returns a pyarrow table."""
