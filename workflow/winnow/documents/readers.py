"""Source files -> rows: READERS by format, parquet, arrow, jsonl, csv, tsv, txt (one document per file) and lines (of a txt file).

A reader takes ({"path": ...}, columns, start, stop) and yields (first row, rows, work) for the rows from `start` to `stop`,
a chunk at a time; `work()` returns one array per column, and any thread may do it. What cannot be read as it is is an
InputError that names the file and the row, from 1.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from winnow.documents.arrow_files import arrow_batches, open_parquet, read_arrow, read_parquet
from winnow.documents.delimited import csv_records, read_delimited
from winnow.documents.json_lines import read_jsonl
from winnow.documents.plain_text import read_lines, read_txt
from winnow.documents.streams import BROKEN, broken_file, count_lines
from winnow.formats import file_format

READERS = {
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "csv": read_delimited,
    "tsv": read_delimited,
    "txt": read_txt,
    "lines": read_lines,
}


def blank(text: pa.Array) -> pa.Array:
    """Which texts are null, empty or white space only."""
    return pc.fill_null(pc.or_(pc.equal(pc.binary_length(text), 0), pc.utf8_is_space(text)), True)


def count_rows(path: str, kind: str) -> int:
    """Rows of a file."""
    compression = file_format(path)[1]
    if kind in ("jsonl", "lines"):
        return count_lines(path, compression)
    if kind in ("csv", "tsv"):
        return max(0, sum(1 for _ in csv_records(path)) - 1)
    if kind == "arrow":
        rows = 0
        try:
            for batch in arrow_batches(path)[1]:
                rows += len(batch)
        except BROKEN as error:
            raise broken_file(path, None, rows, error) from None
        return rows
    return open_parquet(path).metadata.num_rows if kind == "parquet" else 1
