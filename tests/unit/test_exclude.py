"""Exclusions: a person's file is read as they wrote it, and never for another clustering."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from winnow.cluster.exclude import main, read_exclusions
from winnow.stage import InputError

MARK = "0123456789abcdef"
FIRST = f"# clustering {MARK}\n"


def tsv(folder: Path, text: str | bytes) -> Path:
    path = folder / "e.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_of_any_editor_are_read(tmp_path: Path, end: str, mark: str) -> None:
    lines = [FIRST.strip(), "# a note", "", "cluster\treason", "3\tspam, “ads”", "0\tlogs\textra column", ""]
    assert read_exclusions(tsv(tmp_path, mark + end.join(lines)), MARK, 4) == {3: "spam, “ads”", 0: "logs"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: must be '# clustering 0123456789abcdef'"),
        ("cluster\treason\n", "line 1: must be"),
        (
            "# clustering fedcba\n",
            "line 1: was written for clustering fedcba, but this clustering is 0123456789abcdef",
        ),
        (FIRST + "1 spam\n", "line 2: must be 'cluster<TAB>reason'"),
        (FIRST + "1\t \n", "line 2: must be 'cluster<TAB>reason'"),
        (FIRST + "4\tspam\n", "line 2: cluster '4' is not in 0 to 3"),
        (FIRST + "-1\tspam\n", "line 2: cluster '-1' is not in 0 to 3"),
        (FIRST + "x\tspam\n", "line 2: cluster 'x' is not in 0 to 3"),
        (FIRST + "²\tspam\n", "line 2: cluster '²' is not in 0 to 3"),
        (FIRST + "1\tspam\n\n1\tads\n", "line 4: duplicate of cluster 1; remove"),
        (FIRST.encode() + b"1\t\xff\n", "not UTF-8"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tsv(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_exclusions(path, MARK, 4)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def stage(folder: Path, exclusions: list[Path]) -> pa.Table:
    summary = pa.table({"cluster": pa.array([0, 1, 2, 3], pa.int32()), "documents": [5, 0, 7, 1]})
    pq.write_table(summary, folder / "summary.parquet")
    (folder / "mark.json").write_text(json.dumps({"fingerprint": MARK}))
    main(
        clusters=folder / "summary.parquet",
        fingerprint=folder / "mark.json",
        out=folder / "clusters.parquet",
        template=folder / "template.tsv",
        exclusions=exclusions,
        name="notes.k4",
    )
    return pq.read_table(folder / "clusters.parquet")


def test_without_a_file_nothing_is_excluded_and_a_template_is_offered(tmp_path: Path) -> None:
    table = stage(tmp_path, [])
    assert table["excluded"].to_pylist() == [False] * 4
    assert table["reason"].null_count == 4
    assert table.schema.field("reason").type == pa.string()
    assert read_exclusions(tmp_path / "template.tsv", MARK, 4) == {}
    assert "save as config/exclusions/notes.k4.tsv" in (tmp_path / "template.tsv").read_text()


def test_the_template_carries_what_was_excluded_so_that_it_can_be_edited_on(tmp_path: Path) -> None:
    table = stage(tmp_path, [tsv(tmp_path, FIRST + "2\tspam\n0\tlogs\n")])
    assert table["excluded"].to_pylist() == [True, False, True, False]
    assert table["reason"].to_pylist() == ["logs", None, "spam", None]
    assert read_exclusions(tmp_path / "template.tsv", MARK, 4) == {0: "logs", 2: "spam"}
    assert stage(tmp_path, [tmp_path / "template.tsv"]).equals(table)


def test_excluding_everything_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="all 4 clusters are excluded"):
        stage(tmp_path, [tsv(tmp_path, FIRST + "".join(f"{i}\tx\n" for i in range(4)))])
