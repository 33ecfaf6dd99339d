"""Paths in a configuration or for `--files`: how they are expanded, and how a replaced file is noticed.

`${NAME}`, `${NAME:-default}` and `$NAME` become the environment's value, `~` and `~user` at the start a home folder;
`./`, doubled and trailing slashes are removed. Where files are read, a path that exists as it is written is that file,
even if its name holds special characters; so is each part of a pattern: only a part that does not exist is a glob.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from winnow.stage import InputError, canonical, read_json, sha256

SMALL = 1_000_000
"""Bytes below which a file is compared by its content, as Snakemake does; larger ones by size and time."""

FEW = 100
"""Files of a list up to which the small ones are compared by content; of longer lists all go by size and time."""

_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(rf"\$\{{({_NAME})(?::-([^{{}}]*))?\}}|\$({_NAME})|\$\{{")


def expand_environment(text: str) -> str:
    """`${NAME}`, `${NAME:-default}` and `$NAME` replaced by the environment's value; other dollar signs are kept.

    Raises InputError for a name that is not set (or empty) and has no default, and for any other `${`.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match.group(1) or match.group(3), match.group(2)
        if name is None:
            raise InputError(f"{text}: '${{' begins a name; write ${{NAME}} or ${{NAME:-default}}")
        if set_to := os.environ.get(name):
            return set_to
        if default is None:
            raise InputError(f"{text}: {name} is not set; set it, or write ${{{name}:-default}}")
        return expand_environment(default)

    return _REFERENCE.sub(value, text)


def local_path(text: str) -> str:
    """A path of the configuration in the form in which it is used: expanded, without `./`, `//` and a last `/`.

    Raises InputError as `expand_environment`, and for an unknown user's home, no path at all, a NUL character, or a name
    that no file system holds.
    """
    path = os.path.expanduser(expand_environment(text))
    if path.startswith("~"):
        raise InputError(
            f"{text}: no user {path.split('/')[0][1:]!r} here; write ./~ for a name that begins so"
        )
    if not path or "\0" in path:
        raise InputError(
            f"{text!r}: {'holds a NUL character' if path else 'an empty path'}; name a file or folder"
        )
    if any(len(os.fsencode(part)) > 255 for part in Path(path).parts):
        raise InputError(f"{text[:50]}...: a part of the path has more than 255 bytes; take a shorter name")
    return str(Path(path))


def existing_path(text: str) -> str:
    """`local_path` of a path that is read; one that exists as it is written is not expanded."""
    return str(Path(text)) if text and "\0" not in text and os.path.lexists(text) else local_path(text)


def expand(patterns: Iterable[str]) -> list[str]:
    """Paths of the files that `patterns` match: patterns in the order given, matches of each sorted.

    A folder means the shards of a data set that `datasets.save_to_disk` wrote there, in their order, else all txt files
    below it. A file that two patterns match is listed once. Raises InputError for a pattern without
    a file, for a link to nothing, a folder that cannot be listed, and a name that is not UTF-8.
    """
    paths: dict[str, str] = {}
    for pattern in patterns:
        path = existing_path(pattern)
        shown = f"{pattern}{f' (read as {path})' if path != pattern else ''}"
        matches = _saved(path) or sorted(match for match in _matches(path) if not os.path.isdir(match))
        if not matches and os.path.isdir(path):
            matches = sorted(_texts(path))
        if not matches:
            what = (
                "a folder without txt files; name its files"
                if os.path.isdir(path)
                else "no file there; give an existing path or glob"
            )
            raise InputError(f"{shown}: {what}, seen from {os.getcwd()}")
        for match in matches:
            if not os.path.isfile(match):
                what = "a broken link" if os.path.islink(match) else "not a file"
                raise InputError(f"{match!r}: {what}; repair it, or remove it from {pattern}")
            try:
                match.encode()
            except UnicodeEncodeError:
                raise InputError(f"{match!r}: the name is not UTF-8; rename the file") from None
            paths.setdefault(os.path.abspath(match), match)
    return list(paths.values())


def _saved(path: str) -> list[str]:
    """The arrow files of a data set that `datasets.save_to_disk` wrote to the folder `path`; none of another folder."""
    if os.path.isfile(os.path.join(path, "dataset_dict.json")):
        splits = ", ".join(map(str, read_json(Path(path, "dataset_dict.json")).get("splits", [])))
        raise InputError(f"{path}: holds the splits {splits}; name the folder of one, {path}/SPLIT")
    state = Path(path, "state.json")
    if not state.is_file():
        return []
    try:
        names = [file["filename"] for file in read_json(state)["_data_files"]]
        if outside := [name for name in names if os.path.basename(name) != name]:
            raise InputError(
                f"{state}: names {outside[0]!r}, which is not in this folder; name the files instead"
            )
        return [os.path.join(path, name) for name in names]
    except (KeyError, TypeError):
        raise InputError(f"{state}: not as datasets.save_to_disk writes it; name the files instead") from None


def _texts(folder: str) -> Iterator[str]:
    """The txt files below a folder, compressed ones too."""
    for path in _walk(folder, ("**",)):
        if re.search(r"\.txt(\.(gz|zst|bz2|xz))?$", path.lower()):
            yield path


def _matches(pattern: str) -> Iterator[str]:
    """The paths that match `pattern`: as glob.glob (recursive), but in each folder a name that exists is not a glob."""
    return _walk("", Path(pattern).parts)


def _walk(folder: str, parts: tuple[str, ...]) -> Iterator[str]:
    if not parts:
        yield folder
        return
    head, rest = parts[0], parts[1:]
    here = os.path.join(folder, head)
    if head == "**":
        if rest:
            yield from _walk(folder, rest)
        for entry in _entries(folder):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if not (entry.is_symlink() and _above(entry.path, folder)):
                    yield from _walk(os.path.join(folder, entry.name), parts)
            elif not rest:
                yield os.path.join(folder, entry.name)
    elif os.path.lexists(here):
        yield from _walk(here, rest)
    elif glob.has_magic(head):
        matches = re.compile(fnmatch.translate(head)).match
        for entry in _entries(folder):
            if matches(entry.name) and (head.startswith(".") or not entry.name.startswith(".")):
                yield from _walk(os.path.join(folder, entry.name), rest)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder or ".") as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(
            f"{folder or '.'}: cannot be listed ({error.strerror}); change its permissions"
        ) from None


def _above(link: str, folder: str) -> bool:
    """Whether a link leads to its own folder or to one above, so that following it would never end."""
    return Path(os.path.realpath(folder or ".")).is_relative_to(os.path.realpath(link))


# ---------------------------------------------------------------- whether a file was replaced


def file_state(path: str, content: bool) -> tuple[int, str | int]:
    """The state of a file, which changes when it is replaced: its bytes, and the digest of a small file or its time (ns).

    `content`: whether to make digests at all. Raises InputError for a file that cannot be read.
    """
    try:
        status = os.stat(path)
        digest = content and status.st_size < SMALL
        return status.st_size, sha256(Path(path)) if digest else status.st_mtime_ns
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def file_states(paths: list[str]) -> list[tuple[int, str | int]]:
    """`file_state` of each file of a list, the small ones by content if there are at most FEW."""
    return [file_state(path, len(paths) <= FEW) for path in paths]


def state(paths: list[str]) -> str:
    """One line for a list of files, which changes when a file is replaced or the list changes.

    It depends on the paths, in their order, and on `file_states`.
    """
    if not paths:
        return "no files"
    states = file_states(paths)
    text = canonical([[path, *one] for path, one in zip(paths, states, strict=True)])
    total = sum(size for size, _ in states)
    return f"{len(paths)} files, {total} bytes, sha256 {hashlib.sha256(text.encode()).hexdigest()}"


def folder_state(text: str, pinned: str) -> str:
    """`state` of the files of a model's folder, but for the one whose digest is `pinned` in the config."""
    folder = existing_path(text)
    names = sorted(entry.name for entry in _entries(folder) if entry.is_file() and entry.name != pinned)
    return state([os.path.join(folder, name) for name in names])


def check_unchanged(files: Iterable[Mapping[str, Any]], where: str) -> None:
    """Raises InputError for a file (`path`, `bytes`, `state` or null) that is gone or changed since `where` was made."""
    for file in files:
        path, was = file["path"], file.get("state")
        now = file_state(path, isinstance(was, str)) if os.path.isfile(path) else (None, None)
        if now[0] != file["bytes"] or was not in (None, now[1]):
            raise InputError(f"{path}: gone or changed since {where} was made; make that again")


# ---------------------------------------------------------------- folders for libraries, and of results


@contextmanager
def plain_links(folders: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Copies of `folders`, by name, whose files are links, below a temporary folder.

    `datasets` reads brackets in a path as a glob, and follows links of folders before it does.
    """
    with tempfile.TemporaryDirectory(prefix="winnow-") as temporary:
        links = {name: Path(temporary, name) for name in folders}
        for name, link in links.items():
            shutil.copytree(folders[name].absolute(), link, copy_function=os.symlink)
        yield links


def results_folder(text: str) -> str:
    """The folder of results, expanded. Nothing is written there.

    Raises InputError for a path that Snakemake cannot use, that is not a folder, or that cannot be written.
    """
    path = local_path(text)
    shown = f"{text!r}{f' (read as {path!r})' if path != text else ''}"
    if special := sorted(set(re.findall(r"[{}\x00-\x1f\x7f\x85\u2028\u2029]", path))):
        raise InputError(
            f"{shown} holds {', '.join(map(repr, special))}, which Snakemake does not allow in a path"
        )
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", path):  # to Snakemake, and to Arrow
        raise InputError(
            f"{shown} reads as a URL; name a folder of a file system, without a colon in its first part"
        )
    if path[0] in " -" or path[-1] == " ":
        raise InputError(f"{shown} begins with a hyphen or a space, or ends with a space; take another name")
    if path == "/" or os.path.realpath(path) == os.path.realpath("."):
        raise InputError(f"{shown}: name a folder for results alone, such as {os.path.join(path, 'results')}")
    above = Path(path)
    while not os.path.lexists(above) and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise InputError(
            f"{shown}: {above} is {'a broken link' if above.is_symlink() else 'a file'}, not a folder"
        )
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".winnow-", dir=above))
    except OSError:
        raise InputError(
            f"{shown}: {above} cannot be written; take another folder, or change its permissions"
        ) from None
    return path
