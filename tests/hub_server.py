"""A stand-in of the Hub for tests: the API and file endpoints that huggingface_hub calls, served on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".parquet", ".bin", ".onnx")
"""Endings of the files that are in large-file storage."""


def commit_of(text: str) -> str:
    """A commit of 40 hex digits that belongs to a text."""
    return hashlib.sha1(text.encode()).hexdigest()


def blob_of(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Hub:
    """Repositories by type and owner/name: branches and tags with their commits, and the files of each commit.

    `refused`: repositories that answer with a status and the Hub's code of an error; `broken`: with something else than
    JSON; `asked`: paths that were asked for; `hold`: while it is set, requests wait for it to be cleared.
    """

    names: dict[str, dict[str, str]] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    free: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def push(self, repository: str, name: str, files: dict[str, bytes]) -> str:
        """A commit of these files at the head of a branch (of `models/owner/name`); returns it."""
        commit = commit_of(repository + name + repr(sorted(files.items())))
        self.names.setdefault(repository, {})[name] = commit
        self.files[commit] = files
        return commit

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer to GET `path`."""
        parts = [unquote(part) for part in urlsplit(path).path.strip("/").split("/")]
        if parts[0] != "api":
            return self.content(parts)
        repository = "/".join(parts[1:4])
        if repository in self.refused:
            status, code = self.refused[repository]
            return status, {"X-Error-Code": code, "X-Error-Message": code} if code else {}, b"{}"
        if repository in self.broken:
            return 200, {}, b"<html>log in to this network</html>"
        if repository not in self.names:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        names = self.names[repository]
        if parts[4:] == ["refs"]:
            branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in names.items()]
            return 200, {}, json.dumps({"branches": branches, "converts": [], "tags": []}).encode()
        asked = parts[5]
        commit = names.get(asked, asked if asked in names.values() else "")
        if not commit:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        files = [(name, content) for name, content in sorted(self.files[commit].items())]
        if parts[4] == "tree":
            tree = [{"type": "file", "path": n, "size": len(c), "oid": blob_of(c)} for n, c in files]
            return 200, {}, json.dumps(tree).encode()
        siblings = []
        for name, content in files:
            sibling = {"rfilename": name, "size": len(content), "blobId": blob_of(content)}
            if name.endswith(LARGE):
                digest = hashlib.sha256(content).hexdigest()
                sibling["lfs"] = {"size": len(content), "sha256": digest, "pointerSize": 130}
            siblings.append(sibling)
        found = {"id": "/".join(parts[2:4]), "sha": commit, "siblings": siblings}
        return 200, {}, json.dumps(found).encode()

    def content(self, parts: list[str]) -> tuple[int, dict[str, str], bytes]:
        at = parts.index("resolve")
        commit, name = parts[at + 1], "/".join(parts[at + 2 :])
        content = self.files.get(commit, {}).get(name)
        if content is None:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        return 200, {"X-Repo-Commit": commit, "ETag": f'"{blob_of(content)}"'}, content


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Serves a stand-in at `hub.url` until the block ends."""
    hub.free.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.asked.append(self.path)
            hub.arrived.set()
            hub.free.wait()
            status, headers, body = hub.answer(self.path)
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        hub.free.set()
        server.shutdown()
        server.server_close()
