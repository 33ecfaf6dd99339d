"""Paths that a person names: the same grammar everywhere, the files that are meant, and replaced files noticed."""

import glob
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from winnow import paths
from winnow.paths import check_unchanged, expand, file_states, folder_state, local_path, results_folder, state
from winnow.stage import InputError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/homes/me")
    monkeypatch.setenv("SCRATCH", "/scratch/my files")
    monkeypatch.setenv("EMPTY", "")
    return tmp_path


def put(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a/b", "a/b"),
        ("./a//b/./c/", "a/b/c"),
        ("a/../b", "a/../b"),  # a may be a link
        ("$SCRATCH/x", "/scratch/my files/x"),
        ("${SCRATCH}/x/", "/scratch/my files/x"),
        ("${SCRATCH:-/tmp}/x", "/scratch/my files/x"),
        ("${EMPTY:-/tmp}/x", "/tmp/x"),
        ("${NOWHERE:-$SCRATCH}/x", "/scratch/my files/x"),
        ("${NOWHERE:-~/data}/x", "/homes/me/data/x"),
        ("~/x", "/homes/me/x"),
        ("~", "/homes/me"),
        ("./~/x", "~/x"),
        ("a [x] ü 'q' \"r\" $5 $", "a [x] ü 'q' \"r\" $5 $"),
    ],
)
def test_a_path_is_read_as_a_shell_reads_it(text: str, path: str) -> None:
    assert local_path(text) == path


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("${NOWHERE}/x", "NOWHERE is not set; set it, or write ${NOWHERE:-default}"),
        ("$NOWHERE/x", "NOWHERE is not set"),
        ("${EMPTY}/x", "EMPTY is not set"),
        ("${SCRATCH/x", "write ${NAME} or ${NAME:-default}"),
        ("${NOWHERE:-${SCRATCH}}/x", "write ${NAME} or ${NAME:-default}"),
        ("${NOWHERE:-}", "an empty path"),
        ("~nobody-here/x", "no user 'nobody-here' here"),
        ("a\0b", "holds a NUL character"),
    ],
)
def test_what_no_path_can_be_made_of_gets_one_line(text: str, line: str) -> None:
    with pytest.raises(InputError) as error:
        local_path(text)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("data [x]/*.txt", ["data [x]/a.txt", "data [x]/b.txt"]),
        ("data [x]/a.txt", ["data [x]/a.txt"]),
        ("data x/c*.txt", ["data x/c.txt"]),
        ("*/data [x]/a.txt", ["sub/data [x]/a.txt"]),
        ("**/data [x]/a.txt", ["data [x]/a.txt", "sub/data [x]/a.txt"]),
        ("data */[ac].txt", ["data [x]/a.txt", "data x/c.txt"]),
        ("data x/odd [*].txt", ["data x/odd [*].txt"]),
        ("data x/.h*", ["data x/.hidden.txt"]),
        ("$PART x/c.txt", ["data x/c.txt"]),
        ("a $PART.txt", ["a $PART.txt"]),  # it exists as it is written
    ],
)
def test_a_part_of_a_pattern_that_exists_is_no_glob(
    monkeypatch: pytest.MonkeyPatch, pattern: str, found: list[str]
) -> None:
    monkeypatch.setenv("PART", "data")
    put("data [x]/a.txt", "data [x]/b.txt", "data x/c.txt", "data x/.hidden.txt", "data x/odd [*].txt")
    put("data x/odd *.txt", "sub/data [x]/a.txt", "sub/data x/a.txt", "a $PART.txt")
    assert expand([pattern]) == found


PART = st.sampled_from(["a", "b", "*", "?", "[ab]", "**", "c*", ".*", "a.txt", "*.txt", "[!a]*"])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in (
        "a/a.txt",
        "a/b/a.txt",
        "b/cc.txt",
        "b/.h/a.txt",
        "c/a/b/x.txt",
        ".g/a.txt",
        "a.txt",
        "c.txt",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


@given(st.lists(PART, min_size=1, max_size=4))
def test_patterns_find_what_glob_finds(tree: Path, parts: list[str]) -> None:
    pattern = str(tree.joinpath(*parts))
    expected = sorted({p for p in glob.glob(pattern, recursive=True) if os.path.isfile(p)})
    if not expected and os.path.isdir(pattern):  # a folder is its txt files
        expected = sorted(glob.glob(os.path.join(pattern, "**", "*.txt"), recursive=True))
    try:
        assert expand([pattern]) == expected
    except InputError:
        assert expected == []


def test_a_file_named_twice_in_other_words_is_read_once(here: Path) -> None:
    put("data/a.txt", "data/b.txt")
    assert expand(["data/b.txt", "./data//*.txt", str(here / "data" / "*")]) == ["data/b.txt", "data/a.txt"]


def test_a_link_that_leads_up_is_not_followed_for_ever(here: Path) -> None:
    put("data/a.txt", "data/sub/b.txt", "elsewhere/c.txt")
    os.symlink("..", "data/sub/up")
    os.symlink("../elsewhere", "data/link")
    assert expand(["data/**/*.txt"]) == ["data/a.txt", "data/link/c.txt", "data/sub/b.txt"]


def test_files_that_cannot_be_read_are_named_and_not_left_out(here: Path) -> None:
    put("data/a.txt")
    os.symlink("nothing", "data/b.txt")
    with pytest.raises(InputError, match=r"data/b\.txt': a broken link; repair it, or remove it"):
        expand(["data/*"])
    os.unlink("data/b.txt")
    (here / "data" / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    with pytest.raises(InputError, match="the name is not UTF-8; rename the file"):
        expand(["data/*"])
    (here / "sub").mkdir()
    with pytest.raises(InputError, match="sub: a folder without txt files; name its files"):
        expand(["sub"])
    with pytest.raises(InputError, match=r"none/\*: no file there"):
        expand(["none/*"])


def test_a_folder_of_save_to_disk_is_its_files_in_its_order(here: Path) -> None:
    put("set/b.arrow", "set/a.arrow", "both/train/x")
    Path("set/state.json").write_text(
        json.dumps({"_data_files": [{"filename": "b.arrow"}, {"filename": "a.arrow"}]})
    )
    Path("both/dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    assert expand(["set/"]) == ["set/b.arrow", "set/a.arrow"]
    with pytest.raises(InputError, match="both: holds the splits train; name the folder of one"):
        expand(["both"])


# ---------------------------------------------------------------- replaced files


def replace(name: str, text: str, age: int) -> None:
    before = os.stat(name).st_mtime_ns
    Path(name).write_text(text)
    os.utime(name, ns=(before - age, before - age))


@pytest.mark.parametrize("age", [10**18, 0, -(10**9)], ids=["older", "same time", "newer"])
def test_a_replaced_small_file_is_noticed_whatever_its_time(age: int) -> None:
    put("a.txt", "b.txt")
    before = state(["a.txt", "b.txt"])
    replace("b.txt", "b.tXt", age)  # the same size
    assert state(["a.txt", "b.txt"]) != before
    replace("b.txt", "b.txt", age)
    assert state(["a.txt", "b.txt"]) == before  # the same content is the same file


@pytest.mark.parametrize("large", [True, False], ids=["large file", "long list"])
def test_large_files_and_long_lists_go_by_size_and_time(monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    monkeypatch.setattr(paths, "SMALL" if large else "FEW", 1)
    put("a.txt", "b.txt")
    before = state(["a.txt", "b.txt"])
    replace("b.txt", "b.txt", 1)
    assert state(["a.txt", "b.txt"]) != before
    replace("b.txt", "b.txt", -1)
    assert state(["a.txt", "b.txt"]) == before
    replace("b.txt", "longer.txt", 0)
    assert state(["a.txt", "b.txt"]) != before


def test_another_list_is_another_state() -> None:
    put("a.txt", "b.txt", "c/a.txt")
    Path("c/a.txt").write_text("a.txt")
    states = {
        state(list(names)) for names in ([], ["a.txt"], ["a.txt", "b.txt"], ["b.txt", "a.txt"], ["c/a.txt"])
    }
    assert len(states) == 5


def test_a_model_folder_is_compared_but_for_the_weights_that_the_config_pins() -> None:
    put("model/config.json", "model/tokenizer.json", "model/model.safetensors", "model/onnx/x")
    before = folder_state("./model/", "model.safetensors")
    put("model/onnx/y")
    Path("model/model.safetensors").write_text("other")
    assert folder_state("model", "model.safetensors") == before
    replace("model/tokenizer.json", "model/tokenizer.jsoM", 10**18)
    assert folder_state("model", "model.safetensors") != before
    assert folder_state("nowhere", "model.safetensors") == "no files"


def test_a_file_changed_since_the_index_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    put("a.txt")
    for large in (False, True):
        if large:
            monkeypatch.setattr(paths, "SMALL", 0)
        ((size, was),) = file_states(["a.txt"])
        entry = {"path": "a.txt", "bytes": size, "state": was}
        check_unchanged([entry], "source.json")
        replace("a.txt", "A.txt", 5)
        with pytest.raises(
            InputError, match=r"a\.txt: gone or changed since source\.json was made; make that again"
        ):
            check_unchanged([entry], "source.json")
    os.unlink("a.txt")
    with pytest.raises(InputError, match="gone or changed"):
        check_unchanged([entry], "source.json")


# ---------------------------------------------------------------- results


@pytest.mark.parametrize(
    "text", ["results", "./out dir/", "$PWD/o [x] ü 'q\"", "../a", "a/b/c", "a/x:y", "a$5"]
)
def test_a_results_folder_of_any_name_will_do(monkeypatch: pytest.MonkeyPatch, here: Path, text: str) -> None:
    monkeypatch.setenv("PWD", str(here))
    assert results_folder(text) == local_path(text)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a{b}", "holds '{', '}', which Snakemake does not allow"),
        ("a\nb", r"holds '\n', which Snakemake does not allow"),
        ("$BRACES/x", "(read as 'in {braces}/x') holds '{', '}'"),
        (" x", "begins with a hyphen or a space, or ends with a space"),
        ("x /", "begins with a hyphen or a space, or ends with a space"),
        ("-x", "begins with a hyphen or a space"),
        (".", "name a folder for results alone"),
        ("sub/..", "name a folder for results alone"),
        ("/", "name a folder for results alone"),
        ("file", "file is a file, not a folder"),
        ("file/x/y", "file is a file, not a folder"),
        ("link/x", "link is a broken link, not a folder"),
        ("s3://bucket/x", "reads as a URL; name a folder of a file system"),
        ("x:y/z", "reads as a URL; name a folder of a file system"),
    ],
)
def test_a_results_folder_that_cannot_be_gets_one_line(
    monkeypatch: pytest.MonkeyPatch, text: str, line: str
) -> None:
    monkeypatch.setenv("BRACES", "in {braces}")
    put("file", "sub/x")
    os.symlink("nothing", "link")
    with pytest.raises(InputError) as error:
        results_folder(text)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_a_results_folder_that_cannot_be_written_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(prefix: str, dir: Path) -> str:
        assert str(dir) == "shut"
        raise PermissionError(13, "no")

    monkeypatch.setattr("winnow.paths.tempfile.mkdtemp", refuse)  # root may write anywhere
    os.mkdir("shut")
    with pytest.raises(InputError, match="shut cannot be written; take another folder"):
        results_folder("shut/x/y")


# ---------------------------------------------------------------- many files


@pytest.mark.slow
def test_thousands_of_files_need_no_long_command_line(here: Path) -> None:
    folder = here / ("long " * 45)
    folder.mkdir()
    for i in range(8_000):
        (folder / f"review {i:05d}.txt").write_text(f"film {i}\n")
    assert sum(len(str(path)) for path in folder.iterdir()) > 2_000_000  # beyond what a command line holds
    spec = json.dumps({"corpus": {"source": {"files": [f"{folder}/*.txt"]}, "text": "text"}})
    run = [sys.executable, "-m", "winnow.documents.shards"]
    subprocess.run([*run, "index", "--spec", spec, "--out", "source.json"], check=True)
    shard = ["--source", "source.json", "--shard", "1", "--shards", "2"]
    subprocess.run([*run, "write", *shard, "--spec", spec, "--out", "1.parquet"], check=True)
    import pyarrow.parquet as pq

    table = pq.read_table("1.parquet")
    assert table["doc"].to_pylist() == list(range(4096, 8000))
    assert table["text"][0].as_py() == "film 4096\n"
    replace(f"{folder}/review 05000.txt", "film 5OOO\n", 10**18)
    done = subprocess.run(
        [*run, "write", *shard, "--spec", spec, "--out", "1.parquet"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "review 05000.txt: gone or changed since source.json was made" in done.stderr


# ---------------------------------------------------------------- libraries


def test_a_data_set_in_a_folder_with_brackets_opens(here: Path) -> None:
    """`datasets` reads brackets in a path as a glob: evaluations and contamination found no file there."""
    import pyarrow as pa
    from winnow.evaluate.contamination import _open
    from winnow.evaluate.mirror import open_dataset, write_dataset
    from winnow.evaluate.stock import StockTask

    folder = here / "res [x] ü 'q" / "owner" / "name"
    table = pa.table({"id": [1, 2], "question": ["a", "b"]})
    write_dataset(folder, {"default": {"test": table}}, "owner/name")
    leaf = StockTask("task", "owner/name", None, ("test",), ())
    assert open_dataset([leaf], folder) == {"default": {"test": 2}}
    assert _open(folder, "default", "test") == table.to_pylist()
    shutil.rmtree(folder)
