"""Hub files: pinned, offline from the cache, and one line when they are not there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from winnow.stage import InputError, sha256
from winnow.weights import weights_folder

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A stand-in of the Hub's cache: blobs, snapshots of links to them, refs."""
    root = tmp_path_factory.mktemp("hub")
    for kind, files in (
        ("datasets", ["b.parquet", "data/a.parquet", "data/c.parquet", "README.md"]),
        ("models", ["config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx"]),
    ):
        repo = root / f"{kind}--owner--name"
        (repo / "blobs").mkdir(parents=True)
        (repo / "refs").mkdir()
        (repo / "refs" / "main").write_text(SHA)
        for i, file in enumerate(files):
            blob = repo / "blobs" / f"{i:040d}"
            blob.write_text(file)
            link = repo / "snapshots" / SHA / file
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
    return root


def download(cache, out, source, repo_type="dataset"):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)}
    return subprocess.run(
        [sys.executable, "-m", "winnow.download", "--spec", json.dumps({"source": source}), "--repo-type", repo_type, "--out", str(out)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_cached_files_come_in_the_order_of_the_globs(cache, tmp_path):
    source = {"hub": "owner/name", "revision": SHA, "files": ["data/*.parquet", "**/*.parquet"]}
    done = download(cache, tmp_path / "d.json", source)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "d.json").read_text())
    folder = cache / "datasets--owner--name" / "snapshots" / SHA
    assert result == {
        "repository": "owner/name",
        "revision": SHA,
        "folder": str(folder),
        "files": [str(folder / name) for name in ("data/a.parquet", "data/c.parquet", "b.parquet")],
    }


def test_a_model_comes_without_the_weights_of_other_formats(cache, tmp_path):
    done = download(cache, tmp_path / "d.json", {"hub": "owner/name", "revision": SHA}, "model")
    assert done.returncode == 0, done.stderr
    files = json.loads((tmp_path / "d.json").read_text())["files"]
    assert [Path(file).name for file in files] == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"hub": "owner/other", "revision": SHA}, "not in the cache"),
        ({"hub": "owner/name", "revision": "f" * 40}, "not in the cache"),
        ({"hub": "owner/name", "revision": "main"}, "(a commit of 40 hex digits)"),
        ({"hub": "owner/name", "revision": SHA, "files": ["*.csv"]}, "no file matches '*.csv'"),
        ({"files": ["x"]}, "must have hub"),
    ],
)
def test_what_is_absent_offline_is_one_line(cache, tmp_path, source, message):
    done = download(cache, tmp_path / "d.json", source)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("error: ")
    assert all(line.startswith("[download]") for line in lines[:-1])
    assert message in done.stderr
    assert not (tmp_path / "d.json").exists()


def test_weights_of_a_local_folder_must_have_their_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS", str(tmp_path))
    with pytest.raises(InputError, match=r"mine: has no model\.safetensors"):
        weights_folder({"folder": "${MODELS}/mine", "sha256": "0" * 64})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.safetensors").write_bytes(b"weights")
    digest = sha256(tmp_path / "mine" / "model.safetensors")
    assert weights_folder({"folder": "${MODELS}/mine", "sha256": digest}) == tmp_path / "mine"
    with pytest.raises(InputError, match=f"sha256 is {digest}, but 000"):
        weights_folder({"folder": "${MODELS}/mine", "sha256": "0" * 64})
