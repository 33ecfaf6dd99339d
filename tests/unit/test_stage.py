"""What all stages share: settings checked on arrival, files whole or absent, errors in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from winnow.schema import read_spec
from winnow.stage import InputError, Progress, atomic_path, canonical, read_json, write_json, write_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), VALUES))
def test_settings_have_one_form_whatever_the_order_of_keys(value: dict) -> None:
    again = dict(reversed(list(value.items())))
    assert canonical(value) == canonical(again)
    assert json.loads(canonical(value)) == value


def test_settings_that_json_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "--spec: not JSON"),
        ("[1]", "--spec: must be a JSON object, got list"),
        ('{"clustering": {"encoder": "m", "k": 2}, "x": 1}', "--spec: unknown key 'x'; known: clustering"),
        ("{}", "--spec: missing key 'clustering'"),
        ('{"clustering": {"encoder": "m", "k": 0}}', "clustering"),
        ('{"clustering": {"encoder": "m", "k": 2, "kk": 2}}', "kk"),
    ],
)
def test_bad_settings_get_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read_spec(text, "clustering")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "old")

    def fail() -> None:
        with atomic_path(path) as partial:
            partial.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_the_leftovers_of_a_killed_write_go_with_the_next_one_and_no_other_file_does(tmp_path: Path) -> None:
    script = (
        f"from winnow.stage import *\nwith atomic_path({str(tmp_path / 'a.json')!r}): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script])
    (left,) = tmp_path.iterdir()
    others = [tmp_path / ".a.b.12345678.json", tmp_path / ".a.12345678.npy", tmp_path / ".aa.12345678.json"]
    for path in others:
        path.touch()
    write_text(tmp_path / "a.json", "whole")
    assert not left.exists()
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.json", *others])


def test_files_get_the_permissions_of_the_user(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x")
    plain = tmp_path / "b"
    plain.touch()
    assert (tmp_path / "a").stat().st_mode == plain.stat().st_mode


def test_json_files_have_the_same_bytes_each_time(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    write_json(tmp_path / "b.json", {"a": "é", "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    (tmp_path / "c.json").write_text("{\n")
    with pytest.raises(InputError, match=r"c\.json: not JSON .*line 2"):
        read_json(tmp_path / "c.json")


@pytest.mark.parametrize(
    ("before", "line"),
    [
        (0, "50 of 200 documents (25 %), 5 documents/s, 0:00:30 left"),
        (
            45,
            "95 of 200 documents (48 %), 5 documents/s, 0:00:21 left",
        ),  # what a stopped run had done is no rate
        (150, "200 of 200 documents (100 %), 5 documents/s"),
    ],
)
def test_progress_tells_share_rate_and_time_left(
    capsys: pytest.CaptureFixture, before: float, line: str
) -> None:
    progress = Progress("embed x", total=200, unit="documents", every=0, done=before)
    progress.start -= 10
    progress.add(50, "bfloat16")
    assert capsys.readouterr().err == f"[embed x] {line}, bfloat16\n"


STAGE = """
import errno, os, sys
from winnow.stage import InputError, run
def main(*, how: str) -> None:
    if how == "input": raise InputError("a.txt: no")
    if how == "full": raise OSError(errno.ENOSPC, "No space left on device", "/x/y.npy")
    if how == "arrow": raise OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device")
    if how == "bug": raise ZeroDivisionError("b")
run(main)
"""


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("input", "error: a.txt: no"),
        ("full", "error: no space left on the disk while writing /x/y.npy"),
        ("arrow", "error: no space left on the disk while writing"),
    ],
)
def test_expected_errors_end_in_one_line(how: str, line: str) -> None:
    done = subprocess.run([sys.executable, "-c", STAGE, "--how", how], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_a_defect_keeps_its_traceback_and_reaches_the_terminal(tmp_path: Path) -> None:
    terminal = tmp_path / "terminal"
    with open(terminal, "w") as file:
        done = subprocess.run(
            [sys.executable, "-c", STAGE, "--how", "bug"],
            capture_output=True,
            text=True,
            pass_fds=[file.fileno()],
            env={**os.environ, "WINNOW_TERMINAL_FD": str(file.fileno())},
        )
    assert "Traceback" in done.stderr
    assert terminal.read_text() == "error: ZeroDivisionError: b (the traceback is in the log)\n"


PATHS = """
from pathlib import Path
from winnow.stage import run
def main(*, documents: list[Path], heldout: Path, names: list[str] = [], out: Path = Path("-")) -> None:
    print(len(documents), documents[:1], documents[-1:], heldout, names)
run(main)
"""


def call(line: str, folder: Path) -> str:
    (folder / "main.py").write_text(PATHS)
    command = f"{sys.executable} main.py {line}"
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_a_list_may_be_longer_than_a_command_line(tmp_path: Path) -> None:
    """10,000 shards: 4 MB of paths, of which an argument line holds 2 MB; cyclopts alone took minutes for them."""
    line = (
        "--documents @<(printf '%s\\n' " + "x" * 400 + "/{0001..9999} 'last [x] ü') --heldout 'a b' --names"
    )
    out = call(line, tmp_path)
    assert out == f"10000 [PosixPath('{'x' * 400}/0001')] [PosixPath('last [x] ü')] a b []\n"


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("--documents '[x]/a' '[x]/b' --heldout '{y}'", "2 [PosixPath('[x]/a')] [PosixPath('[x]/b')] {y} []"),
        (
            "--documents a --names b c --heldout d --documents e",
            "2 [PosixPath('a')] [PosixPath('e')] d ['b', 'c']",
        ),
        ("--documents @<(printf '%s\\n') --heldout d", "0 [] [] d []"),
        ("--documents --heldout d", "0 [] [] d []"),
        ("--documents a --heldout b c", "Unused Tokens: ['c']"),
        ("--documents a --heldout b --what c", "Unknown option: --what"),
        ("--heldout b", "Parameter --documents requires an"),
    ],
)
def test_lists_on_a_command_line(tmp_path: Path, line: str, out: str) -> None:
    assert out in call(line, tmp_path)


def test_tokenizers_take_no_more_threads_than_a_job_was_given(tmp_path: Path) -> None:
    script = tmp_path / "threads.py"
    script.write_text(
        "from winnow.stage import run\n"
        "def main() -> None:\n"
        "    import threading\n"
        "    from pathlib import Path\n"
        "    from tokenizers import Tokenizer, models, pre_tokenizers\n"
        "    made = Tokenizer(models.WordLevel({'a': 0, '?': 1}, unk_token='?'))\n"
        "    made.pre_tokenizer = pre_tokenizers.Whitespace()\n"
        "    before = len(list(Path('/proc/self/task').iterdir()))\n"
        "    made.encode_batch(['a b a'] * 1000)\n"
        "    print(len(list(Path('/proc/self/task').iterdir())) - before)\n"
        "run(main)\n"
    )
    for threads, started in (("1", {0, 1}), ("3", {3})):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "true"}
        environment.pop("RAYON_NUM_THREADS", None)
        done = subprocess.run(
            [sys.executable, script], env=environment, capture_output=True, text=True, check=True
        )
        assert int(done.stdout) in started
