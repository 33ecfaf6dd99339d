"""Hook of mkdocs (mkdocs.yml): the pages of docs/ with what they take from elsewhere in the repository.

In: the pages of docs/, the files that they include or link, the commands of the package. Out: the pages of the site.

- A line that is only a link titled "include", `[text](../README.md#your-own-corpus "include")`, becomes that section, or the
  whole page without its title, or a file that is no page as a block of code. Where no hook runs it is a link.
- Links between files of the repository become links between pages of the site; a linked file that is no page of it is
  added as one.
- The lines `<!-- commands -->` and `<!-- stages -->` become the references of `winnow` and of the stages' command lines,
  from signatures and docstrings, without importing a stage.
"""

from __future__ import annotations

import ast
import os
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from pymdownx.slugs import slugify

ROOT = Path(__file__).resolve().parents[1]
INCLUDE = re.compile(r'^\[[^\]]*\]\(([^)#\s]+)(?:#([^)\s]+))? "include"\)$', re.MULTILINE)
# Blocks of code, fenced or indented, and code inside a line, which may go on in the next one.
CODE = re.compile(r"(^```[\s\S]*?^```$|(?<=\n\n)(?:    .*\n)+|`(?:[^`\n]|\n(?!\n))+`)", re.MULTILINE)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]*)(#[^)\s]*)?\)")
LANGUAGES = {
    ".yaml": "yaml",
    ".yml": "yaml",
    ".py": "python",
    ".toml": "toml",
    ".smk": "python",
    ".csv": "text",
}

slug = slugify(case="lower")


def section(text: str, anchor: str | None, where: str) -> str:
    """The body of the section whose heading has this anchor, or all below the title. Raises ValueError if there is none."""
    headings = list(
        re.finditer(r"^(#+) (.+)$", CODE.sub(lambda code: "." * len(code[0]), text), re.MULTILINE)
    )
    for at, heading in enumerate(headings):
        title = text[heading.start(2) : heading.end(2)]
        if anchor is None or slug(title, "-") == anchor:
            later = (h.start() for h in headings[at + 1 :] if len(h[1]) <= len(heading[1]))
            return text[heading.end() : next(later, len(text)) if anchor else len(text)].strip("\n")
    raise ValueError(f"{where}: no section #{anchor}")


def outside_code(text: str, change) -> str:
    """The text with `change` applied to what is no code."""
    parts = CODE.split(text)
    return "".join(part if at % 2 else change(part) for at, part in enumerate(parts))


def from_root(text: str, folder: str) -> str:
    """Links of a text of this folder, seen from the root of the repository: `](/docs/scale.md)`."""

    def seen(link: re.Match[str]) -> str:
        path = "/" + posixpath.normpath(posixpath.join(folder, link[1])) if link[1] else ""
        return f"]({path}{link[2] or ''})"

    return outside_code(text, lambda part: LINK.sub(seen, part))


class Site:
    """Pages by their path in docs/, as Markdown whose links are seen from the root; `homes`: the page that shows a file, or a
    section of one, of the repository."""

    def __init__(self) -> None:
        self.homes: dict[tuple[str, str], str] = {}
        self.pages: dict[str, str] = {}
        for path in sorted((ROOT / "docs").rglob("*.md")):
            name = path.relative_to(ROOT / "docs").as_posix()
            self.homes[f"docs/{name}", ""] = name
            self.pages[name] = self._whole(name, path.read_text(encoding="utf-8"))

    def _whole(self, page: str, text: str) -> str:
        def included(line: re.Match[str]) -> str:
            path = posixpath.normpath(posixpath.join("docs", line[1]))
            text = (ROOT / path).read_text(encoding="utf-8")
            self.homes.setdefault((path, line[2] or ""), page)
            if not path.endswith(".md"):
                return code_block(path, text)
            return from_root(section(text, line[2], path), posixpath.dirname(path))

        parts: list[str] = []
        end = 0
        for line in INCLUDE.finditer(text):
            parts += [from_root(text[end : line.start()], "docs"), included(line)]
            end = line.end()
        whole = "".join([*parts, from_root(text[end:], "docs")])
        for mark, reference in (("<!-- commands -->", commands), ("<!-- stages -->", stages)):
            if mark in whole:
                whole = whole.replace(mark, reference())
        return whole

    def linked(self) -> None:
        """Turns all links into links between pages, and adds the files that pages link and that are no page yet."""
        todo = list(self.pages)
        while todo:
            name = todo.pop()
            files: set[str] = set()
            self.pages[name] = outside_code(
                self.pages[name],
                lambda part, name=name, files=files: LINK.sub(
                    lambda link: self._link(name, link, files), part
                ),
            )
            for path in sorted(files):
                self.homes[path, ""] = page = f"files/{path.removesuffix('.md')}.md"
                text = (ROOT / path).read_text(encoding="utf-8")
                if path.endswith(".md"):
                    self.pages[page] = from_root(text, posixpath.dirname(path))
                else:
                    self.pages[page] = f"# {path}\n\n{code_block(path, text)}\n"
                todo.append(page)

    def _link(self, page: str, link: re.Match[str], files: set[str]) -> str:
        path, anchor = link[1].lstrip("/"), link[2] or ""
        if not path:
            return link[0]
        if path.startswith("docs/") and not path.endswith(".md"):
            target = path.removeprefix("docs/")
        elif home := self.homes.get((path, anchor.lstrip("#"))):
            target, anchor = home, anchor if (path, "") in self.homes else ""
        elif home := self.homes.get((path, "")):
            target = home
        elif not (ROOT / path).is_file():
            return f"](../{path})"  # which mkdocs then names
        else:
            files.add(path)
            target = f"files/{path.removesuffix('.md')}.md"
        return f"]({posixpath.relpath(target, posixpath.dirname(page) or '.')}{anchor})"


def code_block(path: str, text: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{LANGUAGES.get(posixpath.splitext(path)[1], 'text')}\n{text.rstrip()}\n{fence}"


# ---------------------------------------------------------------- command lines


def functions(module: str) -> dict[str, ast.FunctionDef]:
    """Functions of a module of the package, by name, without importing it."""
    file = ROOT / "workflow" / Path(*module.split("."))
    tree = ast.parse((file.with_suffix(".py")).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def described(command: str, function: ast.FunctionDef) -> str:
    """A command line: what it does, and its options as a table."""
    text = ast.get_docstring(function) or ""
    what, _, rest = text.partition("\nArgs:\n")
    meanings = {
        name: " ".join(meaning.split())
        for name, meaning in re.findall(r"^    (\w+): (.*(?:\n(?:      .*|$))*)", rest, re.MULTILINE)
    }
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = dict(
        zip(
            [a.arg for a in positional][len(positional) - len(arguments.defaults) :],
            arguments.defaults,
            strict=True,
        )
    )
    defaults |= {a.arg: d for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d}
    rows = []
    for one in [*positional, *([arguments.vararg] if arguments.vararg else []), *arguments.kwonlyargs]:
        option = one.arg.replace("_", "-")
        shown = f"--{option}" if one in arguments.kwonlyargs else option.upper()
        default = f"`{ast.unparse(defaults[one.arg])}`" if one.arg in defaults else "required"
        rows.append(f"| `{shown}` | {default} | {meanings.get(one.arg, '').replace('|', chr(92) + '|')} |")
    table = ["| option | default | meaning |", "| --- | --- | --- |", *rows] if rows else []
    return "\n".join([f"### `{command}`", "", what.strip(), "", *table, ""])


def commands() -> str:
    """Every command of `winnow`."""
    if str(ROOT / "workflow") not in sys.path:
        sys.path.insert(0, str(ROOT / "workflow"))
    from winnow.__main__ import COMMANDS

    parts = []
    for name, (place, _) in COMMANDS.items():
        module, function = place.split(":")
        parts.append(described(f"winnow {name}", functions(module)[function]))
    return "\n".join(parts)


def stage_modules() -> Iterator[tuple[str, list[str]]]:
    """Modules with a command line, and the functions that are its commands."""
    for path in sorted((ROOT / "workflow" / "winnow").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if found := re.search(
            r'^if __name__ == "__main__":\n(?:    .*\n)*?    run\(([\w, ]+)\)', text, re.MULTILINE
        ):
            module = ".".join(path.relative_to(ROOT / "workflow").with_suffix("").parts)
            yield module, found[1].split(", ")


def stages() -> str:
    """Every stage's command line."""
    parts = []
    for module, names in stage_modules():
        known = functions(module)
        for name in names:
            more = f" {name.replace('_', '-')}" if len(names) > 1 else ""
            parts.append(described(f"python -m {module}{more}", known[name]))
    return "\n".join(parts)


# ---------------------------------------------------------------- mkdocs


def on_files(files, config):
    """Adds the linked files to the site."""
    from mkdocs.structure.files import File

    config.extra["pages"] = site = Site()
    site.linked()
    for name, text in site.pages.items():
        if name.startswith("files/"):
            files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    return config.extra["pages"].pages[page.file.src_uri]


def on_config(config):
    # The build is that of one commit: no time in it.
    os.environ.setdefault("SOURCE_DATE_EPOCH", "0")
    return config
