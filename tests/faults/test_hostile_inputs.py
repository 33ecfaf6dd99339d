"""Corrupt and hostile inputs: each ends in one line that names the file, the key or the row; nothing is half-written, nothing
outside the folder of results is touched, nothing is executed. (Shapes of source files that people report: test_trouble.py.)"""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from runs import MINILM, ROOT
from winnow.cluster import exclude, kmeans
from winnow.config.files import read_files
from winnow.documents.shards import index, write
from winnow.paths import expand, local_path, results_folder
from winnow.stage import InputError, canonical, read_json

EVIL = "\n__import__('os').system('touch EXECUTED')"


def tree(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.lstat().st_mtime_ns for p in folder.rglob("*")}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with good files of each stage: documents, vectors, centroids, assignments, a cluster table."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((40, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pq.write_table(
        pa.table({"doc": pa.array(range(40), pa.int64()), "text": [f"text {i}" for i in range(40)]}),
        "d.parquet",
    )
    np.save("e.npy", vectors.astype(np.float16))
    np.save("c.npy", vectors[:4].astype(np.float32))
    pq.write_table(
        pa.table({"doc": pa.array([], pa.int64()), "role": pa.array([], pa.string())}), "h.parquet"
    )
    kmeans.assign(
        documents=Path("d.parquet"), embeddings=Path("e.npy"), centroids=Path("c.npy"), out=Path("a.parquet")
    )
    summarise()
    Path("out").mkdir()
    return tmp_path


def summarise(out: str = "") -> None:
    kmeans.summarise(assignments=[Path("a.parquet")], centroids=Path("c.npy"), heldout=Path("h.parquet"),
                     out=Path(out, "s.parquet"), fingerprint_out=Path(out, "f.json"))  # fmt: skip


def assign() -> None:
    kmeans.assign(
        documents=Path("d.parquet"),
        embeddings=Path("e.npy"),
        centroids=Path("c.npy"),
        out=Path("out/a.parquet"),
    )


def mark(*exclusions: str) -> None:
    exclude.main(clusters=Path("s.parquet"), fingerprint=Path("f.json"), out=Path("out/c.parquet"),
                 template=Path("out/t.tsv"), exclusions=[Path(e) for e in exclusions], name="n.k")  # fmt: skip


def documents(name: str = "s.jsonl", data: bytes = b"", **corpus: Any) -> None:
    if data:
        Path(name).write_bytes(data)
    spec = canonical({"corpus": {"source": {"files": [name]}, "text": "text", **corpus}})
    index(spec=spec, out=Path("out/source.json"))
    write(source=Path("out/source.json"), shard=0, shards=1, spec=spec, out=Path("out/0.parquet"))


def cut(name: str) -> None:
    data = Path(name).read_bytes()
    Path(name).write_bytes(data[: len(data) * 2 // 3])


def folder_for(name: str) -> None:
    Path(name).unlink()
    Path(name).mkdir()


def vectors_with(value: float, row: int) -> None:
    vectors = np.load("e.npy")
    vectors[row, 3] = value
    np.save("e.npy", vectors)


def assignments_with(**columns: Any) -> None:
    table = pq.read_table("a.parquet").to_pydict()
    for name, (row, value) in columns.items():
        table[name][row] = value
    schema = pq.read_schema("a.parquet")
    pq.write_table(pa.table(table, schema=schema), "a.parquet")


def exclusions(text: str) -> str:
    identity = read_json(Path("f.json"))["fingerprint"]
    Path("x.tsv").write_text(text.replace("HEAD", f"# clustering {identity}"))
    return "x.tsv"


def pickled() -> None:
    np.save("e.npy", np.array([Bomb()] * 40, dtype=object), allow_pickle=True)


class Bomb:
    """Unpickling it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch EXECUTED",)


def saved_elsewhere() -> None:
    Path("ds").mkdir()
    Path("ds/state.json").write_text(json.dumps({"_data_files": [{"filename": "../../secret.arrow"}]}))
    expand(["ds"])


def bomb_of_lines() -> bytes:
    with gzip.open("bomb.jsonl.gz", "wb", compresslevel=1) as file:
        for _ in range(1024):
            file.write(b" " * (1 << 20))
    return Path("bomb.jsonl.gz").read_bytes()


CASES: list[tuple[str, Callable[[], Any], str]] = [
    # ---- files of other stages, cut short, replaced or edited
    ("parquet cut short", lambda: (cut("d.parquet"), assign()), r"d\.parquet: not a parquet file, or cut short"),
    ("parquet empty", lambda: (Path("d.parquet").write_bytes(b""), assign()), r"d\.parquet: not a parquet file"),
    ("parquet missing", lambda: (Path("d.parquet").unlink(), assign()), r"d\.parquet: no such file"),
    ("folder for parquet", lambda: (folder_for("d.parquet"), assign()), r"d\.parquet: a folder, not a file"),
    ("wrong schema", lambda: (pq.write_table(pa.table({"x": [1]}), "d.parquet"), assign()), r"d\.parquet: no column 'doc'; columns: x"),
    ("text for numbers", lambda: (pq.write_table(pa.table({"doc": ["a"]}), "d.parquet"), assign()), r"d\.parquet: column 'doc' holds string where numbers"),
    ("vectors cut short", lambda: (cut("e.npy"), assign()), r"e\.npy: not an \.npy file of numbers, or cut short"),
    ("vectors empty", lambda: (Path("e.npy").write_bytes(b""), assign()), r"e\.npy: not an \.npy file"),
    ("vectors missing", lambda: (Path("e.npy").unlink(), assign()), r"e\.npy: no such file"),
    ("folder for vectors", lambda: (folder_for("e.npy"), assign()), r"e\.npy: a folder, not a file"),
    ("pickled vectors", lambda: (pickled(), assign()), r"e\.npy: not an \.npy file of numbers"),
    ("vectors of text", lambda: (np.save("e.npy", np.array([["a"] * 8] * 40)), assign()), r"e\.npy: holds <U1 of shape \(40, 8\); numbers in 2 dimensions"),
    ("too few vectors", lambda: (np.save("e.npy", np.load("e.npy")[:-1]), assign()), r"e\.npy: 39 vectors for the 40 documents of d\.parquet"),
    ("NaN in a vector", lambda: (vectors_with(np.nan, 7), assign()), r"e\.npy: the vector of document 7 is not finite"),
    ("infinity in a vector", lambda: (vectors_with(-np.inf, 9), assign()), r"e\.npy: the vector of document 9 is not finite"),
    ("NaN in a centroid", lambda: (np.save("c.npy", np.full((4, 8), np.nan, np.float32)), assign()), r"c\.npy: the vector of row 0 is not finite"),
    ("centroids of another encoder", lambda: (np.save("c.npy", np.eye(4, dtype=np.float32)), assign()), r"e\.npy: vectors of 8 dimensions, but c\.npy has centroids of 4"),
    ("one-dimensional centroids", lambda: (np.save("c.npy", np.zeros(3)), assign()), r"c\.npy: holds float64 of shape \(3,\)"),
    ("cluster out of range", lambda: (assignments_with(cluster=(5, 9)), summarise("out")), r"a\.parquet: document 5 is in cluster 9, which is not in 0 to 3"),
    ("negative cluster", lambda: (assignments_with(cluster=(5, -1)), summarise("out")), r"a\.parquet: document 5 is in cluster -1"),
    ("assignments lack a column", lambda: (pq.write_table(pq.read_table("a.parquet").drop_columns("distance"), "a.parquet"), summarise("out")), r"a\.parquet: no column 'distance'"),
    ("assignments of text", lambda: (cut("a.parquet"), summarise("out")), r"a\.parquet: not a parquet file"),
    ("cluster table lacks a column", lambda: (pq.write_table(pq.read_table("s.parquet").drop_columns("documents"), "s.parquet"), mark()), r"s\.parquet: no column 'documents'"),
    ("JSON without its key", lambda: (Path("f.json").write_text("{}"), mark()), r"f\.json: no key 'fingerprint'; keys: none"),
    ("JSON cut short", lambda: (cut("f.json"), mark()), r"f\.json: not JSON"),
    ("JSON not UTF-8", lambda: (Path("f.json").write_bytes(b"\xff\xfe"), mark()), r"f\.json: not JSON in UTF-8"),
    ("JSON missing", lambda: (Path("f.json").unlink(), mark()), r"f\.json: no such file"),
    ("folder for JSON", lambda: (folder_for("f.json"), mark()), r"f\.json: is a directory"),
    # ---- exclusions that a person wrote
    ("exclusions of another clustering", lambda: mark(exclusions("# clustering 0123456789abcdef\n0\tx\n")), r"x\.tsv, line 1: was written for clustering 0123456789abcdef"),
    ("exclusion of an unknown cluster", lambda: mark(exclusions("HEAD\n7\tx\n")), r"x\.tsv, line 2: cluster '7' is not in 0 to 3"),
    ("negative exclusion", lambda: mark(exclusions("HEAD\n-1\tx\n")), r"x\.tsv, line 2: cluster '-1' is not in 0 to 3"),
    ("duplicate exclusion", lambda: mark(exclusions("HEAD\n1\tx\n1\ty\n")), r"x\.tsv, line 3: duplicate of cluster 1"),
    ("exclusion without reason", lambda: mark(exclusions("HEAD\n1\n")), r"x\.tsv, line 2: must be 'cluster<TAB>reason'"),
    ("all clusters excluded", lambda: mark(exclusions("HEAD\n" + "".join(f"{i}\tx\n" for i in range(4)))), r"x\.tsv: all 4 clusters are excluded"),
    # ---- sources
    ("empty file", lambda: documents("s.jsonl", b"\n"), r"s\.jsonl: "),
    ("invalid UTF-8", lambda: documents(data=b'{"text": "\xff\xfe"}\n'), r"s\.jsonl: row 1: "),
    ("gzip that is none", lambda: documents("s.jsonl.gz", b"no gzip"), r"s\.jsonl\.gz: broken gzip after row 0"),
    ("gzip cut short", lambda: documents("s.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 9999)[:-9]), r"s\.jsonl\.gz: broken gzip after row \d+: the file is cut short"),
    ("gzip bomb of one row", lambda: documents("bomb.jsonl.gz", bomb_of_lines()), r"bomb\.jsonl\.gz: row 1 is longer than 256 MB"),
    ("deep JSON", lambda: documents(data=b'{"text": ' + b"[" * 200_000 + b"]" * 200_000 + b"}\n"), r"s\.jsonl: row 1: "),
    ("folder as a file", lambda: (Path("s.jsonl").mkdir(), documents()), r"s\.jsonl: a folder without txt files"),
    ("named pipe", lambda: (os.mkfifo("s.jsonl"), expand(["s.jsonl"])), r"'s\.jsonl': not a file"),
    ("broken link", lambda: (Path("s.jsonl").symlink_to("/nowhere"), expand(["s.jsonl"])), r"'s\.jsonl': a broken link"),
    ("very long name", lambda: expand(["x" * 5000 + ".jsonl"]), r"x{50}\.\.\.: a part of the path has more than 255 bytes"),
    ("NUL in a name", lambda: local_path("a\0b"), r"'a\\x00b': holds a NUL character"),
    ("data set that names files outside", saved_elsewhere, r"ds/state\.json: "),
    # ---- results folders
    ("newline in results", lambda: results_folder("a\nb"), r"holds '\\n', which Snakemake does not allow"),
    ("leading dash in results", lambda: results_folder("-rf"), r"begins with a hyphen"),
    ("root as results", lambda: results_folder("/"), r"name a folder for results alone"),
    ("file as results", lambda: results_folder("d.parquet"), r"d\.parquet is a file, not a folder"),
    ("very long results", lambda: results_folder("y" * 5000), r"y{50,}"),
]  # fmt: skip


@pytest.mark.parametrize(("act", "line"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_corrupt_or_hostile_file_is_one_line_and_writes_nothing(
    here: Path, act: Callable[[], Any], line: str
) -> None:
    with pytest.raises(InputError, match=line) as caught:
        act()
    assert "\n" not in str(caught.value)
    assert not (here / "EXECUTED").exists()
    left = {name for name in tree(here / "out") if name != "source.json"}
    assert left == set()


@pytest.mark.faults
def test_a_bomb_of_a_gigabyte_takes_little_memory_and_no_disk(tmp_path: Path) -> None:
    """1 GB of equal rows from a file of 1 MB."""
    row = json.dumps({"text": "a" * 1000}).encode() + b"\n"
    with gzip.open(tmp_path / "bomb.jsonl.gz", "wb", compresslevel=1) as file:
        for _ in range(1024):
            file.write(row * 1024)
    spec = canonical({"corpus": {"source": {"files": ["bomb.jsonl.gz"]}, "text": "text"}})
    for command in (
        ["index", "--spec", spec, "--files", "bomb.jsonl.gz", "--out", "source.json"],
        ["write", "--spec", spec, "--source", "source.json", "--shard", "0", "--shards", "1", "--out", "0.parquet"],
    ):  # fmt: skip
        process = subprocess.Popen([sys.executable, "-m", "winnow.documents.shards", *command], cwd=tmp_path)
        _, status, used = os.wait4(process.pid, 0)
        assert status == 0
        assert used.ru_maxrss < 1.5 * (1 << 20)  # kilobytes
    assert pq.read_metadata(tmp_path / "0.parquet").num_rows == 1 << 20
    assert sum(p.stat().st_size for p in tmp_path.rglob("*")) < 100 << 20


@pytest.mark.parametrize("option", ["--documents", "--embeddings", "--centroids"])
def test_a_named_pipe_is_no_file_and_is_not_waited_for(here: Path, option: str) -> None:
    os.mkfifo("pipe")
    given = {"--documents": "d.parquet", "--embeddings": "e.npy", "--centroids": "c.npy", option: "pipe"}
    line = [sys.executable, "-m", "winnow.cluster.kmeans", "assign", "--out", "out/a.parquet"]
    done = subprocess.run(
        [*line, *(w for pair in given.items() for w in pair)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert done.stderr == "error: pipe: a named pipe, socket or device; a file is required\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: !!python/object/apply:os.system ['touch EXECUTED']\n", r"run\.yaml:?\d*: not YAML: .*python/object"),
        ("a: !!python/name:os.system\n", r"run\.yaml:?\d*: not YAML: .*python/name"),
        ("a: [1\n", r"run\.yaml:\d+: not YAML"),
        ("- a\n", r"run\.yaml:1: not a mapping"),
        ("a: 1\na: 2\n", r"run\.yaml:2: a: the key is on line 1 already"),
        ("a:\n\tb: 1\n", r"run\.yaml:2: a tab"),
        ("a: \xff\xfe", r"run\.yaml: not UTF-8"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(12)),
            r"run\.yaml: aliases",
        ),
    ],
    ids=["python tag", "python name", "unclosed", "a list", "repeated key", "tab", "not UTF-8", "alias bomb"],
)  # fmt: skip
def test_a_hostile_config_is_one_line_and_executes_nothing(here: Path, text: str, line: str) -> None:
    Path("run.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=line) as caught:
        read_files(["run.yaml"])
    assert "\n" not in str(caught.value)
    assert not Path("EXECUTED").exists()


# ---------------------------------------------------------------- models


@pytest.fixture(scope="module")
def minilm() -> Path:
    from winnow.weights import weights_folder

    return weights_folder({k: v for k, v in MINILM.items()})


def with_config(folder: Path, **keys: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def own_code(folder: Path) -> None:
    (folder / "evil.py").write_text("import os\nos.system('touch EXECUTED')\nclass Evil: pass\n")
    with_config(folder, model_type="evil", auto_map={"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"})


def pickle_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))


MODELS: list[tuple[str, Callable[[Path], Any], str]] = [
    ("weights cut short", lambda f: cut(str(f / "model.safetensors")), r"no model can be loaded \("),
    ("weights of zeros", lambda f: (f / "model.safetensors").write_bytes(bytes(10_000)), r"no model can be loaded \("),
    ("pickled weights only", pickle_weights, r"no model can be loaded \(.*safetensors|has no model\.safetensors"),
    ("code of its own", own_code, r"asks to run code of its own \(auto_map\), which Winnow never does"),
    ("unknown architecture", lambda f: with_config(f, model_type="nothing"), r"no model can be loaded \("),
    ("config cut short", lambda f: cut(str(f / "config.json")), r"no model can be loaded \("),
    ("config missing", lambda f: (f / "config.json").unlink(), r"no model can be loaded \("),
    ("tokenizer cut short", lambda f: cut(str(f / "tokenizer.json")), r"tokenizer\.json: no tokenizer of the library"),
    ("tokenizer of another format", lambda f: (f / "tokenizer.json").write_text(json.dumps({"model": {"type": "evil"}})), r"tokenizer\.json: no tokenizer of the library"),
    ("tokenizer missing", lambda f: (f / "tokenizer.json").unlink(), r"tokenizer\.json: no such file"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("change", "line"), [m[1:] for m in MODELS], ids=[m[0] for m in MODELS])
def test_a_hostile_model_folder_is_one_line_and_executes_nothing(
    here: Path, minilm: Path, change: Callable[[Path], Any], line: str
) -> None:
    from winnow.embed.encoder import Encoder
    from winnow.stage import sha256

    folder = here / "model"
    shutil.copytree(minilm, folder, symlinks=False)
    change(folder)
    weights = folder / "model.safetensors"
    source = {"folder": str(folder), "sha256": sha256(weights) if weights.exists() else "0" * 64}
    with pytest.raises(InputError, match=line) as caught:
        Encoder(
            {
                "source": source,
                "pooling": "mean",
                "prefix": "",
                "precision": "float32",
                "dimension": 384,
                "max_tokens": 16,
            }
        )
    assert "\n" not in str(caught.value)
    assert not (here / "EXECUTED").exists()


def test_weights_of_another_digest_and_an_unpinned_revision_are_refused(here: Path, minilm: Path) -> None:
    from winnow.weights import weights_folder

    for source, line in (
        ({**MINILM, "sha256": "0" * 64}, r"sha256 is 53aa.*, but 0{64} in the config"),
        ({"hub": "owner/name", "revision": "main"}, r"expected: a commit of 40 hex digits"),
        ({"hub": "../../etc", "revision": "0" * 40}, r"\.\./\.\./etc"),
    ):
        with pytest.raises(InputError, match=line):
            weights_folder(source)


# ---------------------------------------------------------------- right results from odd corpora


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b'\xef\xbb\xbf{"text": "a"}\r\n{"text": "b"}\r\n', ["a", "b"]),
        (b'{"text": "one"}', ["one"]),
        (b'{"text": "a\\u0000b"}\n', ["ab"]),
        (b'{"text": "same"}\n' * 50, ["same"] * 50),
        (
            json.dumps({"text": "<script>alert(1)</script>" + EVIL}).encode(),
            ["<script>alert(1)</script>" + EVIL],
        ),
    ],
    ids=["BOM and CRLF", "one document", "NUL", "only duplicates", "script"],
)
def test_odd_documents_are_stored_as_they_are(here: Path, data: bytes, rows: list[str]) -> None:
    documents(data=data)
    assert pq.read_table("out/0.parquet")["text"].to_pylist() == rows


def test_a_results_folder_of_another_user_is_one_line(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root, to run as another user")
    tmp_path.chmod(0o755)
    (tmp_path / "results").mkdir(mode=0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o005 != 0o005:
            pytest.skip(f"{parent} is closed to other users")
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from winnow.paths import results_folder; from winnow.stage import InputError\n"
        "os.setuid(65534)\n"
        "try: results_folder('results')\n"
        "except InputError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT / "workflow")], cwd=tmp_path, capture_output=True, text=True
    )
    assert (
        done.stdout
        == "'results': results cannot be written; take another folder, or change its permissions\n"
    ), done.stderr


def test_a_read_only_results_folder_is_one_line_before_anything_runs(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", results], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs here: not root, or no such right")
    try:
        with pytest.raises(
            InputError, match=r"results cannot be written; take another folder, or change its"
        ):
            results_folder(str(results))
    finally:
        subprocess.run(["umount", results], check=True)
