"""Hub revisions by branch or tag: what a run reads is the commit in the lock file, and nothing moves without --update."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_server import Hub, blob_of, commit_of, serve
from winnow.commands.check import check
from winnow.commands.pin import HEAD, lock_text, pin
from winnow.config.checks import resolve
from winnow.config.files import definition_files, merge, read_files
from winnow.config.pins import LOCK, by_name, hub_sources, lock_file, read_lock, repo_type, resolve_names
from winnow.download import download
from winnow.schema import is_commit
from winnow.stage import InputError
from winnow.weights import weights_folder

ROOT = Path(__file__).parents[2]
ONE, TWO = commit_of("one"), commit_of("two")
ENCODER = {
    "README.md": b"# An encoder",
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"the same again",
    "onnx/model.onnx": b"and again",
}
TEXTS = {"README.md": b"# Texts", "data/train-0.parquet": b"rows", "data/test-0.parquet": b"other rows"}
RUN: dict[str, Any] = {
    "corpora": {
        "texts": {"source": {"hub": "owner/texts", "revision": "main", "files": ["data/train-*.parquet"]}, "text": "text"}
    },
    "encoders": {"theirs": {"source": {"hub": "owner/encoder", "revision": "v1.0"}, "dimension": 4}},
    "clusterings": {"theirs": {"encoder": "theirs", "k": 3}},
    "experiments": [
        {"name": "texts", "corpus": "texts", "clustering": "theirs", "samplers": ["random", "uniform"],
         "budget": "mini", "model": "neox-nano", "data_seeds": [0], "suites": ["tasks"]},
    ],
    "benchmarks": {"task": {"task": "arc_easy", "data": {"hub": "owner/task", "revision": "main"}}},
    "suites": {"tasks": ["task"]},
    "tables": {"texts": {"title": "Texts", "experiments": ["texts"], "baseline": "random", "pretrained": ["published"]}},
    "models": {"published": {"kind": "pretrained", "weights": {"hub": "owner/model", "revision": "step72000"}}},
    "targets": ["texts"],
}  # fmt: skip


def entry(commit: str, **files: dict[str, Any]) -> dict[str, Any]:
    return {"commit": commit, "date": "2026-01-31", "files": files}


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub with what RUN reads."""
    stand_in = Hub()
    stand_in.push("models/owner/encoder", "v1.0", ENCODER)
    stand_in.push("models/owner/model", "main", ENCODER)
    stand_in.push("models/owner/model", "step72000", ENCODER)
    stand_in.push("datasets/owner/texts", "main", TEXTS)
    stand_in.push("datasets/owner/task", "main", TEXTS)
    with serve(stand_in):
        yield stand_in


@pytest.fixture
def folder(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a lock file of its own and a run config, run.yaml, whose Hub is the stand-in."""
    from huggingface_hub import constants

    (tmp_path / "config").mkdir()
    (tmp_path / LOCK).write_text("{}\n")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(RUN))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


def lock() -> dict[str, Any]:
    return yaml.safe_load(Path(LOCK).read_text())


def winnow(folder: Path, hub: Hub, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "NO_PROXY": "127.0.0.1", **env}
    return subprocess.run(
        [sys.executable, "-m", "winnow", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


# ---------------------------------------------------------------- the lock, without a network


def test_a_commit_takes_the_place_of_its_name_and_nothing_else_changes() -> None:
    config = copy.deepcopy(RUN)
    resolve_names(
        config, {"model": {"owner/texts": {"main": entry(ONE)}, "owner/encoder": {"v1.0": entry(TWO)}}}
    )
    expected = copy.deepcopy(RUN)
    expected["encoders"]["theirs"]["source"]["revision"] = TWO
    assert config == expected  # not the corpus: a model of its name is another repository
    pinned = copy.deepcopy(expected)
    resolve_names(pinned, {"model": {"owner/encoder": {TWO: entry(ONE)}}})
    assert by_name(pinned, needed_only=False).keys() == {
        ("corpora", "texts", "source"),
        ("benchmarks", "task", "data"),
        ("models", "published", "weights"),
    }


def test_only_what_a_run_reads_must_be_pinned(tmp_path: Path) -> None:
    shipped = read_files(definition_files(ROOT))
    merge(shipped, RUN)
    shipped["tokenizers"]["theirs"] = {"hub": "owner/model", "revision": "main"}
    shipped["models"]["theirs"] = {**shipped["models"]["neox-nano"], "tokenizer": "theirs"}
    shipped["experiments"] = [
        {
            **RUN["experiments"][0],
            "model": "theirs",
            "samplers": ["random", "uniform", "lossi-step72000-published"],
        }
    ]
    assert by_name(resolve(shipped), needed_only=True).keys() == {
        ("corpora", "texts", "source"),
        ("encoders", "theirs", "source"),
        ("tokenizers", "theirs"),
        ("scorers", "proxy-loss-step72000", "proxy"),
        ("benchmarks", "task", "data"),
        ("models", "published", "weights"),
    }


def test_the_shipped_lock_is_as_pin_writes_it() -> None:
    text = (ROOT / LOCK).read_text()
    assert text == lock_text(read_lock(ROOT / LOCK))
    assert text.startswith(HEAD)
    named = by_name(read_files(definition_files(ROOT)), needed_only=False)
    assert ("encoders", "e5-base-4k", "source") in named  # a name that only `winnow pin` can resolve


def test_the_lock_of_the_working_directory_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lock_file(ROOT) == str(ROOT / LOCK)
    (tmp_path / "config").mkdir()
    (tmp_path / LOCK).write_text("{}")
    assert lock_file(ROOT) == LOCK
    assert read_lock("nowhere.yaml") == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("model: [\n", ":2: not YAML: "),
        ("- a\n", ":1: not a mapping; expected: keys such as dataset and model at the top level"),
        ("models: {}\n", ": unknown key 'models'; did you mean 'model'? known: dataset, model"),
        ("model: {a/b: {main: {commit: 0123abc, date: '2026-01-31', files: {}}}}\n",
         ".model.a/b.main.commit: \"0123abc\" is not right; expected: text: a full commit, 40 hex digits"),
        (f"model: {{a/b: {{main: {{commit: {ONE}, files: {{}}}}}}}}\n",
         ".model.a/b.main: missing key 'date'; expected: text: a date such as '2026-01-31', in quotes"),
        (f"model: {{a/b: {{main: {{commit: {ONE}, date: '2026-01-31', files: {{x: {{size: -1}}}}}}}}}}\n",
         ".model.a/b.main.files.x.size: -1 is not right; expected: a whole number from 0"),
        ("model: {}\nmodel: {}\n", ":2: model: the key is on line 1 already; keep one"),
    ],
)  # fmt: skip
def test_an_invalid_lock_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "lock.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_lock(tmp_path / "lock.yaml")
    assert str(caught.value).startswith(f"{tmp_path}/lock.yaml{line}")
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- winnow pin


def test_pin_writes_what_a_run_lacks_and_then_the_run_is_right(folder: Path, hub: Hub) -> None:
    with pytest.raises(InputError) as caught:
        check([Path("run.yaml")])
    assert str(caught.value) == (
        "run.yaml:17: corpora.texts.source.revision: 'main' of owner/texts is not pinned to a commit; "
        "`winnow pin run.yaml` looks it up, on a machine with network access (3 more are not pinned)"
    )
    done = winnow(folder, hub, "pin", "run.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == f"{LOCK}: 4 named revisions, 4 added, 0 updated"
    today = datetime.now(UTC).date()
    text, kept = (folder / LOCK).read_text(), lock()
    assert text == HEAD + yaml.safe_dump(kept, sort_keys=True, default_flow_style=None, width=10_000)
    date = kept["model"]["owner/encoder"]["v1.0"]["date"]
    assert abs((datetime.fromisoformat(date).date() - today).days) <= 1
    commits = hub.names
    train = {"size": 4, "sha256": hashlib.sha256(b"rows").hexdigest()}
    model = {
        name: {"size": len(ENCODER[name]), "blob": blob_of(ENCODER[name])}
        for name in ("README.md", "config.json")
    }
    model["model.safetensors"] = {"size": 7, "sha256": hashlib.sha256(b"weights").hexdigest()}
    texts = commits["datasets/owner/texts"]["main"]
    assert kept["dataset"]["owner/texts"] == {
        "main": {"commit": texts, "date": date, "files": {"data/train-0.parquet": train}}
    }
    assert set(kept["dataset"]["owner/task"]["main"]["files"]) == set(TEXTS)
    step = commits["models/owner/model"]["step72000"]
    assert kept["model"] == {
        "owner/encoder": {
            "v1.0": {"commit": commits["models/owner/encoder"]["v1.0"], "date": date, "files": model}
        },
        "owner/model": {"step72000": {"commit": step, "date": date, "files": model}},
    }
    check([Path("run.yaml")])
    config = resolve(read_files([*definition_files(ROOT), "run.yaml"]), lock=LOCK)
    needed = [
        source for path, source in hub_sources(config) if path[1] in ("texts", "theirs", "task", "published")
    ]
    assert len(needed) == 4
    assert all(is_commit(source["revision"]) for source in needed)

    again = winnow(folder, hub, "pin", "run.yaml")
    assert again.stdout == f"{LOCK}: 4 named revisions, 0 added, 0 updated\n"
    assert (folder / LOCK).read_text() == text


def test_what_moved_is_shown_and_taken_over_only_when_asked_for(
    folder: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    pin([Path("run.yaml")])
    before, old = Path(LOCK).read_bytes(), lock()
    new = hub.push("models/owner/encoder", "v1.0", {**ENCODER, "model.safetensors": b"new weights"})
    capsys.readouterr()
    with pytest.raises(InputError) as caught:
        pin([Path("run.yaml")])
    assert str(caught.value) == (
        f"1 of 4 revisions moved on the Hub; {LOCK} keeps their old commits, which runs read: "
        "`winnow pin --update run.yaml` accepts the new ones, and only what reads them runs again"
    )
    was = old["model"]["owner/encoder"]["v1.0"]
    assert capsys.readouterr().out == (
        f"moved: model owner/encoder at v1.0: {was['commit']} ({was['date']}) is now {new}; "
        "other files: model.safetensors\n"
    )
    assert Path(LOCK).read_bytes() == before
    pin([Path("run.yaml")], update=True)
    assert capsys.readouterr().out.splitlines()[-1] == f"{LOCK}: 4 named revisions, 0 added, 1 updated"
    updated = lock()
    moved = updated["model"]["owner/encoder"].pop("v1.0")
    del old["model"]["owner/encoder"]["v1.0"]
    assert updated == old
    assert moved["commit"] == new
    assert moved["files"]["model.safetensors"]["size"] == len(b"new weights")


def test_entries_of_other_runs_stay_and_a_wider_source_adds_its_files(folder: Path, hub: Hub) -> None:
    others = {"model": {"other/model": {"v1": entry(ONE)}, "owner/encoder": {"main": entry(TWO)}}}
    Path(LOCK).write_text(yaml.safe_dump(others))
    pin([Path("run.yaml")])
    assert lock()["model"]["other/model"] == others["model"]["other/model"]
    assert set(lock()["model"]["owner/encoder"]) == {"main", "v1.0"}
    wider = copy.deepcopy(RUN)
    wider["corpora"]["texts"]["source"]["files"] = ["data/*.parquet"]
    Path("run.yaml").write_text(yaml.safe_dump(wider))
    pin([Path("run.yaml")])
    assert set(lock()["dataset"]["owner/texts"]["main"]["files"]) == {
        "data/train-0.parquet",
        "data/test-0.parquet",
    }


def test_without_a_run_config_every_shipped_definition_is_pinned(folder: Path, hub: Hub) -> None:
    files = {**ENCODER, "plain_text/test-0.parquet": b"rows", "plain_text/validation-0.parquet": b"rows"}
    named = by_name(read_files(definition_files(ROOT)), needed_only=False)
    for path, source in named.items():
        hub.push(f"{repo_type(path)}s/{source['hub']}", source["revision"], files)
    pin()
    kept = {(kind, at, name) for kind, of in lock().items() for at, names in of.items() for name in names}
    assert kept == {(repo_type(path), source["hub"], source["revision"]) for path, source in named.items()}
    assert ("model", "EleutherAI/pythia-70m-deduped", "step72000") in kept
    assert set(lock()["dataset"]["cimec/lambada"]["main"]["files"]) == {
        "plain_text/test-0.parquet",
        "plain_text/validation-0.parquet",
    }


def test_a_machine_with_network_need_not_have_the_local_files_of_a_run(folder: Path) -> None:
    run = copy.deepcopy(RUN)
    run["corpora"]["texts"]["source"] = {"files": ["nowhere/*.txt"]}
    Path("run.yaml").write_text(yaml.safe_dump(run))
    pin([Path("run.yaml")])
    assert set(lock()["dataset"]) == {"owner/task"}


WRONG = [
    ("gated", lambda hub: hub.refused.update({"models/owner/encoder": (403, "GatedRepo")}),
     "model owner/encoder at v1.0: gated; request access on the Hub, and set HF_TOKEN"),
    ("gone", lambda hub: hub.names.pop("models/owner/encoder"),
     "model owner/encoder at v1.0: the Hub has no such repository, or it is private; correct the name, or set HF_TOKEN"),
    ("no token", lambda hub: hub.refused.update({"models/owner/encoder": (401, "")}),
     "model owner/encoder at v1.0: no access; correct the name, or set HF_TOKEN"),
    ("refused", lambda hub: hub.refused.update({"models/owner/encoder": (500, "")}),
     "model owner/encoder at v1.0: the Hub returned an error: "),
    ("no such tag", lambda hub: hub.names.update({"models/owner/encoder": {"v1.1": ONE, "main": ONE}}),
     "model owner/encoder at v1.0: the Hub has no such branch or tag; did you mean v1.1?"),
    ("no such tag, nor one like it", lambda hub: hub.names.update({"models/owner/encoder": {"main": ONE}}),
     "model owner/encoder at v1.0: the Hub has no such branch or tag; there are: main"),
    ("no Hub", lambda hub: hub.broken.add("models/owner/encoder"),
     "model owner/encoder at v1.0: unexpected answer of the Hub: "),
    ("no file", lambda hub: hub.push("models/owner/encoder", "v1.0", {"pytorch_model.bin": b"x"}),
     "model owner/encoder at v1.0: no file matches **/* of encoders.theirs.source; there are: pytorch_model.bin"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "line"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_cannot_be_pinned_is_one_line_and_the_others_are_kept(
    folder: Path, hub: Hub, change: Any, line: str
) -> None:
    change(hub)
    with pytest.raises(InputError) as caught:
        pin([Path("run.yaml")])
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
    assert set(lock()["model"]) == {"owner/model"}
    assert set(lock()["dataset"]) == {"owner/texts", "owner/task"}


def test_a_machine_without_network_says_where_to_pin(folder: Path, hub: Hub) -> None:
    before = Path(LOCK).read_bytes()
    cure = f"; run `winnow pin run.yaml` on a machine with network access and copy {LOCK} here\n"
    offline = winnow(folder, hub, "pin", "run.yaml", HF_HUB_OFFLINE="1")
    closed = winnow(folder, hub, "pin", "run.yaml", HF_ENDPOINT="http://127.0.0.1:9")
    for done, why in ((offline, "HF_HUB_OFFLINE is set; unset it"), (closed, "the Hub cannot be reached (")):
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: dataset owner/task at main: {why}")
        assert done.stderr.endswith(cure)
        assert done.stderr.count("\n") == 1
    assert Path(LOCK).read_bytes() == before
    assert hub.asked == []


def test_weights_in_another_format_are_pointed_out(
    folder: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.push("models/owner/encoder", "v1.0", {"config.json": b"{}", "pytorch_model.bin": b"x"})
    pin([Path("run.yaml")])
    assert capsys.readouterr().err == (
        "note: model owner/encoder at v1.0: no safetensors; weights in other formats are not downloaded\n"
    )


def test_a_killed_pin_leaves_the_old_lock(folder: Path, hub: Hub) -> None:
    Path(LOCK).write_text(lock_text({"model": {"other/model": {"v1": entry(ONE)}}}))
    before = Path(LOCK).read_bytes()
    hub.free.clear()
    process = subprocess.Popen(
        [sys.executable, "-m", "winnow", "pin", "run.yaml"], env={**os.environ, "HF_ENDPOINT": hub.url}
    )
    assert hub.arrived.wait(120)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Path(LOCK).read_bytes() == before
    assert [path.name for path in Path("config").iterdir()] == ["hub.lock.yaml"]


def test_a_lock_that_cannot_be_written_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("winnow.commands.pin.write_text", full)
    with pytest.raises(
        InputError, match=r"^config/hub\.lock\.yaml: cannot be written \(Permission denied\); create"
    ):
        pin([Path("run.yaml")])


# ---------------------------------------------------------------- downloads


def cached(root: Path, commit: str, files: dict[str, bytes]) -> Path:
    """A stand-in of the Hub's cache with one commit of the model owner/encoder; returns the snapshot."""
    repository = root / "models--owner--encoder"
    for name, content in files.items():
        blob = repository / "blobs" / blob_of(content)
        link = repository / "snapshots" / commit / name
        for path in (blob, link):
            path.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return repository / "snapshots" / commit


def fetched(folder: Path, hub: Hub, commit: str, **env: str) -> subprocess.CompletedProcess[str]:
    spec = json.dumps({"source": {"hub": "owner/encoder", "revision": commit}})
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_CACHE": str(folder / "hub"),
        "NO_PROXY": "127.0.0.1",
        **env,
    }
    return subprocess.run(
        [sys.executable, "-m", "winnow.download", "--spec", spec, "--repo-type", "model", "--lock", LOCK, "--out", "d.json"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (None, b"", ""),
        ("model.safetensors", b"w3ights", "sha256 is "),
        ("config.json", b"[]", f"blob is {blob_of(b'[]')}, in {LOCK} {blob_of(b'{}')}"),
        ("config.json", b"{}\n", f"3 bytes, in {LOCK} 2"),
    ],
    ids=["as locked", "a large file", "a small file", "a size"],
)
def test_a_downloaded_file_has_the_digest_that_the_lock_holds(
    folder: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, name: str | None, content: bytes, said: str
) -> None:
    from huggingface_hub import constants

    pin([Path("run.yaml")])
    commit = hub.names["models/owner/encoder"]["v1.0"]
    files = {**ENCODER, name: content} if name else ENCODER
    snapshot = cached(folder / "hub", commit, files)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(folder / "hub"))
    spec = json.dumps({"source": {"hub": "owner/encoder", "revision": commit}})
    if name is None:
        download(spec=spec, repo_type="model", lock=Path(LOCK), out=Path("d.json"))
        assert json.loads(Path("d.json").read_text())["revision"] == commit
        return
    with pytest.raises(InputError) as caught:
        download(spec=spec, repo_type="model", lock=Path(LOCK), out=Path("d.json"))
    line = str(caught.value)
    assert line.startswith(f"{snapshot / name}: {said}")
    blob = os.path.realpath(snapshot / name)
    assert line.endswith(f"; delete {snapshot / name} and {blob}, then run the same command again")
    assert not Path("d.json").exists()


def test_a_pinned_model_is_downloaded_and_checked_and_a_commit_that_is_gone_has_moved(
    folder: Path, hub: Hub
) -> None:
    pin([Path("run.yaml")])
    commit = hub.names["models/owner/encoder"]["v1.0"]
    done = fetched(folder, hub, commit)
    assert done.returncode == 0, done.stderr
    assert f"3 digests match {LOCK}" in done.stderr
    date = lock()["model"]["owner/encoder"]["v1.0"]["date"]
    hub.push("models/owner/encoder", "v1.0", {"config.json": b"another history"})
    gone = fetched(folder, hub, commit, HF_HUB_CACHE=str(folder / "empty"))
    assert gone.returncode == 1
    assert gone.stderr.splitlines()[-1] == (
        f"error: model owner/encoder at {commit}: the Hub has no such commit; it was v1.0 on {date}, which has moved: "
        "`winnow pin --update CONFIG` accepts the present commit"
    )


def test_no_stage_loads_a_model_by_a_name() -> None:
    with pytest.raises(InputError, match=r"^owner/encoder at main: expected: a commit of 40 hex digits$"):
        weights_folder({"hub": "owner/encoder", "revision": "main"})
