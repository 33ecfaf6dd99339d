"""Real text of many kinds from a fixed list of pure-Python packages of the lock: nothing of it is committed.

Every file that is read is checked against the sha256 in its package's RECORD, so the documents are the same on
every machine. Which files and parts are taken is decided by hashes of their names and contents.
Columns: `text`; `domain`; `origin`, "package/path#part".
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b, sha256
from importlib.metadata import Distribution, PackageNotFoundError, PackagePath, distribution
from pathlib import Path

import pyarrow as pa

from winnow.stage import InputError

LOCK = Path(__file__).parents[4] / "lock.txt"
SHORTEST, LONGEST = 150, 4000


@dataclass(frozen=True)
class Take:
    """What is taken of some packages: files by a pattern of their paths, cut by `cut`, at most so many."""

    domain: str
    packages: str
    paths: str
    cut: Callable[[str], Iterator[str]]
    each: int
    per_file: int = 3
    per_folder: int = 10_000
    longest: int = 1800
    not_paths: str = r"$^"
    part: str = ""


def _pack(pieces: list[str], longest: int) -> Iterator[str]:
    """Neighbouring pieces joined up to `longest` characters; longer ones cut at paragraphs, lines, anywhere."""
    held = ""
    for piece in pieces:
        if held and len(held) + len(piece) > longest:
            yield held
            held = ""
        if len(piece) <= longest:
            held += piece
            continue
        for pattern in (r"(?<=\n\n)", r"(?<=\n)"):
            smaller = [part for part in re.split(pattern, piece) if part]
            if len(smaller) > 1:
                yield from _pack(smaller, longest)
                break
        else:
            yield from (piece[i : i + longest] for i in range(0, len(piece), longest))
    if held:
        yield held


def _code(text: str) -> Iterator[str]:
    """Python source, before each top-level definition with its decorators and comments."""
    piece: list[str] = []
    attached = False
    for line in text.splitlines(keepends=True):
        starts = re.match(r"(@|#|(async def|def|class)\b)", line)
        if starts and not attached:
            yield "".join(piece)
            piece = []
        attached = starts is not None and starts.group(1) in "@#"
        piece.append(line)
    yield "".join(piece)


def _docstrings(text: str) -> Iterator[str]:
    """The docstrings of a module (and other strings that start a line), without their indentation."""
    for match in re.finditer(r'(?s)[rR]?"""(.*?)"""', text):
        indent = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        if indent.strip() or len(match.group(1)) < SHORTEST:
            continue
        lines = match.group(1).strip("\n").split("\n")
        yield "\n".join(line.removeprefix(indent).rstrip() for line in lines).strip() + "\n\n"


def _sections(text: str) -> Iterator[str]:
    """Markdown or reStructuredText, before each heading."""
    yield from re.split(r"(?m)(?=^#{1,4} \S)|(?=^[^\n]{3,80}\n[=\-~^*]{3,}\n)", text)


def _description(text: str) -> str:
    """The long description of a METADATA file (the text after its headers)."""
    return text.split("\n\n", 1)[1] if "\n\n" in text else ""


_CHANGES = re.compile(
    r"(?i)change ?log|\bchanges\b|release notes|(release|version) history|what.s new|\bv?\d+\.\d+(\.\d+)?\b"
)


def _parts_of_description(text: str) -> Iterator[tuple[bool, str]]:
    """Sections of a METADATA file's description; True for those of its changelog and what is below them."""
    depth = 99
    for section in _sections(_description(text)):
        heading = section.split("\n", 1)[0]
        level = len(heading) - len(heading.lstrip("#")) or 2
        if _CHANGES.search(heading):
            depth = min(depth, level)
        elif level <= depth:
            depth = 99
        yield depth < 99, section


def _readme(text: str) -> Iterator[str]:
    yield from (section for changes, section in _parts_of_description(text) if not changes)


def _changelog(text: str) -> Iterator[str]:
    yield from (section for changes, section in _parts_of_description(text) if changes)


def _paragraphs(text: str) -> Iterator[str]:
    yield from re.split(r"(?<=\n\n)", text)


def _lines(text: str) -> Iterator[str]:
    yield from re.split(r"(?<=\n)", text)


def _blocks(text: str) -> Iterator[str]:
    """Style sheets and scripts, before lines that start a rule or a function."""
    yield from re.split(r"(?m)(?<=^\}\n)|(?<=\n\n)", text)


_TESTS = r"(^|/)tests?/|(^|/)test_|conftest"
_VENDORED = r"_vendor/|_distutils/"
TAKES = (
    Take("python-source", "absl-py anyio attrs click datasets fsspec huggingface-hub jinja2 jsonschema joblib rich requests"
         " snakemake traitlets tqdm pydantic pygments docutils setuptools lm-eval evaluate formulaic nbformat"
         " gitpython urllib3 narwhals transformers typer cyclopts", r"\.py$", _code, 18, 2, not_paths=f"{_TESTS}|{_VENDORED}"),
    Take("docstrings", "sympy mpmath nltk more-itertools patsy transformers umap-learn", r"\.py$", _docstrings, 75, 3, not_paths=_TESTS),
    Take("documentation", "lm-eval", r"\.md$", _sections, 260, 3),
    Take("documentation", "snakemake docutils huggingface-hub pyparsing", r"\.(md|rst|txt)$", _paragraphs, 20, 6,
         not_paths=r"dist-info|include/"),
    Take("documentation", "absl-py anyio attrs cyclopts datasets docutils evaluate formulaic fsspec gitpython joblib"
         " huggingface-hub jsonschema lm-eval markdown-it-py more-itertools mpmath narwhals pulp pydantic"
         " pytz rich sacrebleu sympy tabulate tqdm traitlets transformers typer umap-learn urllib3",
         r"dist-info/METADATA$", _readme, 12, 12),
    Take("changelogs", "attrs formulaic gitpython lm-eval mpmath pydantic pytz sacrebleu tqdm tabulate more-itertools"
         " portalocker umap-learn cyclopts", r"dist-info/METADATA$", _changelog, 40, 40, longest=1200, part="changelog."),
    Take("tests", "sympy nltk joblib", r"(^|/)tests?/.*\.(py|doctest)$", _code, 130, 2),
    Take("task-configs", "lm-eval", r"(\.yaml|_yaml)$", _paragraphs, 280, 1, 2, longest=1600),
    Take("licences", "absl-py anyio attrs click cyclopts docutils formulaic fsspec gitpython joblib jinja2 jsonschema"
         " lm-eval markdown-it-py mpmath narwhals nltk patsy pulp pydantic pygments pytz requests rich"
         " sacrebleu setuptools snakemake sympy tqdm traitlets transformers typing-extensions tzdata urllib3",
         r"(?i)dist-info/.*(licen[cs]e|copying|notice|authors)[^/]*$|(licen[cs]e|copying)[^/]*\.txt$", _paragraphs, 8, 6,
         longest=1600),
    Take("data", "datasets docutils jsonschema-specifications lm-eval nbformat pytz tzdata nltk",
         r"\.(json|tsv|csv|tab|zi)$|metaschema|vocabularies/", _lines, 30, 8, longest=1200),
    Take("web", "docutils snakemake", r"\.(js|css|html|jinja2|xsl)$", _blocks, 100, 6, longest=1600,
         not_paths=r"\.min\.|tailwind"),
)  # fmt: skip


def _pins(lock: Path) -> dict[str, str]:
    try:
        text = lock.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{lock}: no lock file ({error.strerror}); give --lock lock.txt") from None
    pins: dict[str, str] = {}
    for name, version in re.findall(r"(?m)^([a-z0-9.-]+)==([^ \\;\n]+)", text):
        pins[name] = f"{pins[name]} or {version}" if name in pins else version
    return pins


def _package(name: str, pins: dict[str, str], lock: Path) -> Distribution:
    if name not in pins:
        raise InputError(f"{lock}: does not pin {name}, which python-packages is made of")
    if " or " in pins[name]:
        raise InputError(f"{lock}: pins {name} to {pins[name]}: files would differ between machines")
    try:
        package = distribution(name)
    except PackageNotFoundError:
        raise InputError(
            f"package {name}: not installed; `make install` installs {name}=={pins[name]}"
        ) from None
    if package.version != pins[name]:
        raise InputError(f"package {name}: version {package.version} is installed; {lock} pins {pins[name]}")
    if "none-any" not in (package.read_text("WHEEL") or ""):
        raise InputError(f"package {name}: its wheel is not pure Python; its files differ between machines")
    return package


def checked(package: Distribution, entry: PackagePath) -> bytes:
    """A file of an installed package. Raises InputError naming it if its sha256 is not the one in RECORD."""
    file = Path(str(entry.locate()))
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; install {package.name} again from the lock") from None
    digest = urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()
    if entry.hash is None or entry.hash.mode != "sha256" or digest != entry.hash.value:
        raise InputError(
            f"{file}: sha256 is not the one in RECORD: the file was edited; install {package.name} again"
        )
    return data


def _key(*parts: str) -> bytes:
    return blake2b("\0".join(parts).encode(), digest_size=16).digest()


def harvest(
    take: Take, name: str, package: Distribution, files: list[PackagePath], seen: set[str], used: set[str]
) -> Iterator[tuple[str, str, str]]:
    """Documents of one package, (text, path, part): files in the order of a hash, until `take.each` are found."""
    wanted = {
        str(file): file
        for file in files
        if file.hash
        and not str(file).startswith("..")
        and re.search(take.paths, str(file))
        and not re.search(take.not_paths, str(file))
    }
    taken, folders = 0, dict[str, int]()
    for path in sorted(wanted, key=lambda path: _key(name, path)):
        if taken >= take.each:
            return
        folder = path.rsplit("/", 1)[0]
        if folders.get(folder, 0) >= take.per_folder or (f"{name}/{path}" in used and not take.part):
            continue
        try:
            text = checked(package, wanted[path]).decode("utf-8")
        except UnicodeDecodeError:
            continue
        text = text.replace("\r\n", "\n").replace("\x00", "")
        parts = list(enumerate(_pack([piece for piece in take.cut(text) if piece], take.longest)))
        fresh = []
        for part, piece in sorted(parts, key=lambda item: _key(item[1])):
            piece = piece.strip("\n").rstrip() + "\n"
            if SHORTEST <= len(piece) <= LONGEST and piece not in seen:
                fresh.append((part, piece))
                seen.add(piece)
            if len(fresh) >= min(take.per_file, take.each - taken):
                break
        if fresh:
            folders[folder] = folders.get(folder, 0) + 1
        for part, piece in sorted(fresh):
            taken += 1
            used.add(f"{name}/{path}")
            yield piece, path, f"{take.part}{part}"


def table(lock: Path = LOCK) -> pa.Table:
    """All documents: `text`, `domain`, `origin`. No text occurs twice.

    Raises InputError: a package that is missing, of another version than `lock` pins, or edited.
    """
    pins = _pins(lock)
    packages = {
        name: _package(name, pins, lock) for name in sorted({n for t in TAKES for n in t.packages.split()})
    }
    files = {name: list(package.files or []) for name, package in packages.items()}
    seen: set[str] = set()
    used: set[str] = set()
    rows = [
        (text, take.domain, f"{name}/{path}#{part}")
        for take in TAKES
        for name in take.packages.split()
        for text, path, part in harvest(take, name, packages[name], files[name], seen, used)
    ]
    rows.sort(key=lambda row: _key(row[0]))
    text, domain, origin = zip(*rows, strict=True)
    return pa.table({"text": text, "domain": domain, "origin": origin})
