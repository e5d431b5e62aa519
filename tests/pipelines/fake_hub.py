"""A Hugging Face hub on loopback: data sets with branches, large files by Git LFS or Xet, and failures."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

OWNER, TOKEN = "kim", "hf_fake"
LARGE = (".parquet",)
"""What the hub stores as large files, as its default .gitattributes say."""


@dataclass
class Branch:
    commits: list[str] = field(default_factory=lambda: ["0" * 40])
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b"*.parquet filter=lfs\n"})


@dataclass
class Repository:
    private: bool
    branches: dict[str, Branch] = field(default_factory=lambda: {"main": Branch()})
    messages: list[str] = field(default_factory=list)


class FakeHub:
    """State of the server; tests look into it and set `fail`."""

    def __init__(self) -> None:
        self.url = ""
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        """Large files by SHA-256."""
        self.requests: list[tuple[str, str]] = []
        """Method and path of each."""
        self.uploads: list[str] = []
        """SHA-256 of each large file that was sent, again if it was sent twice."""
        self.fail: Callable[[str, str], int | None] = lambda method, path: None
        """Method and path -> a status to answer with, 0 to cut the connection, None to serve."""
        self.known: dict[str, bytes] = {}
        """Content by SHA-256 that Xet may bring: what it sends is cut and compressed by rules of its own."""
        self.shards: list[bytes] = []
        """What Xet sent of which files there are now."""
        self.ignored: frozenset[str] = frozenset()
        """Paths that a .gitignore of the repository names."""
        self.lock = threading.Lock()

    def files(self, repository: str, branch: str = "main") -> dict[str, bytes]:
        files = self.repositories[repository].branches[branch].files
        return {path: content for path, content in files.items() if path != ".gitattributes"}


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Quiet."""

        def answer(self, status: int, content: Any = None) -> None:
            data = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def handle_any(self) -> None:
            split = urlsplit(self.path)
            path, query = unquote(split.path), parse_qs(split.query)
            chunked = self.headers.get("Transfer-Encoding") == "chunked"
            body = (
                b"".join(self.chunks())
                if chunked
                else self.rfile.read(int(self.headers["Content-Length"] or 0))
            )
            with hub.lock:
                hub.requests.append((self.command, path))
                status = hub.fail(self.command, path)
                if status == 0:
                    self.close_connection = True
                    self.connection.close()
                    return
                if status is not None:
                    self.answer(status, {"error": f"made to fail with {status}"})
                    return
                if not path.startswith("/lfs/") and self.headers["Authorization"] != f"Bearer {TOKEN}":
                    self.answer(401, {"error": "Invalid username or password."})
                    return
                self.answer(*self.serve(path, query, body))

        do_GET = do_POST = do_PUT = handle_any

        def chunks(self) -> Iterator[bytes]:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def serve(self, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
            if path.startswith("/lfs/"):
                digest = path.removeprefix("/lfs/")
                if hashlib.sha256(body).hexdigest() != digest:
                    return 400, {"error": "other content than announced"}
                hub.objects[digest] = body
                hub.uploads.append(digest)
                return 200, {}
            if path.startswith(("/v1/", "/v2/")):
                return self.xet(path, body)
            if "/xet-write-token/" in path:
                return 200, {"casUrl": hub.url, "accessToken": TOKEN, "exp": int(time.time()) + 3600}
            content = [json.loads(line) for line in body.splitlines() if line]
            if path == "/api/repos/create":
                return self.create(content[0])
            if path == "/api/validate-yaml":
                front = content[0]["content"].split("---\n")[1]
                errors = [] if isinstance(yaml.safe_load(front), dict) else [{"message": "no metadata"}]
                return 200, {"errors": errors, "warnings": []}
            if path.endswith(".git/info/lfs/objects/batch"):
                objects = content[0]["objects"]
                return 200, {"transfer": "basic", "objects": [self.instructions(one) for one in objects]}
            parts = path.removeprefix("/api/datasets/").split("/")
            name, rest = "/".join(parts[:2]), parts[2:]
            if name not in hub.repositories:
                return 404, {"error": "Repository not found"}
            repository = hub.repositories[name]
            if rest[0] == "branch":
                if rest[1] in repository.branches:
                    return 409, {"error": "Reference already exists"}
                main = repository.branches["main"]
                repository.branches[rest[1]] = Branch(list(main.commits), dict(main.files))
                return 200, {}
            if rest[1] not in repository.branches:
                return 404, {"error": f"Invalid rev id: {rest[1]}"}
            branch = repository.branches[rest[1]]
            if rest[0] == "revision":
                return 200, {
                    "id": name,
                    "sha": branch.commits[-1],
                    "private": repository.private,
                    "siblings": [],
                }
            if rest[0] == "tree":
                return 200, [_entry(path, data) for path, data in sorted(branch.files.items())]
            if rest[0] == "preupload":
                return 200, {"files": [self.mode(branch, file) for file in content[0]["files"]]}
            assert rest[0] == "commit", path
            return self.commit(name, repository, branch, content)

        def xet(self, path: str, body: bytes) -> tuple[int, Any]:
            """Takes what is uploaded; knows no chunk, and neither downloads nor the second protocol."""
            if path.startswith("/v1/xorbs/"):
                return 200, {"was_inserted": True}
            if path == "/v1/shards":
                hub.shards.append(body)
                hub.objects |= {one: content for one, content in hub.known.items() if _in_shard(one) in body}
                return 200, {"result": 1}
            return (200, {}) if path == "/v1/telemetry" else (404, {"error": "not here"})

        def create(self, asked: dict[str, Any]) -> tuple[int, Any]:
            owner = asked["organization"] or OWNER
            name = f"{owner}/{asked['name']}"
            url = {"url": f"{hub.url}/datasets/{name}"}
            if owner != OWNER:
                return 403, {"error": f"You don't have the rights to create a dataset under {owner}"}
            assert asked["type"] == "dataset"
            if name in hub.repositories:
                return 409, {"error": "You already created this dataset repo"} | url
            hub.repositories[name] = Repository(asked["visibility"] == "private")
            return 200, url

        def instructions(self, one: dict[str, Any]) -> dict[str, Any]:
            if one["oid"] in hub.objects:
                return one
            return one | {"actions": {"upload": {"href": f"{hub.url}/lfs/{one['oid']}"}}}

        def mode(self, branch: Branch, file: dict[str, Any]) -> dict[str, Any]:
            path = file["path"]
            large = path.endswith(LARGE) or file["size"] > 10 * 2**20
            oid = None
            if path in branch.files:
                content = branch.files[path]
                oid = hashlib.sha256(content).hexdigest() if large else git_blob(content)
            return {
                "path": path,
                "uploadMode": "lfs" if large else "regular",
                "shouldIgnore": path in hub.ignored,
                "oid": oid,
            }

        def commit(
            self, name: str, repository: Repository, branch: Branch, lines: list[dict[str, Any]]
        ) -> tuple[int, Any]:
            header, *operations = lines
            assert header["key"] == "header"
            if header["value"].get("parentCommit", branch.commits[-1]) != branch.commits[-1]:
                return 412, {"error": "A commit has happened since. Please refresh and try again."}
            files = dict(branch.files)
            for operation in operations:
                value = operation["value"]
                if operation["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif operation["key"] == "lfsFile":
                    if value["oid"] not in hub.objects:
                        return 400, {"error": f"LFS object {value['oid']} was never uploaded"}
                    files[value["path"]] = hub.objects[value["oid"]]
                elif operation["key"] == "deletedFile":
                    if value["path"] not in branch.files:
                        return 404, {"error": "A file with this name doesn't exist"}
                    del files[value["path"]]
                else:
                    raise AssertionError(operation)
            commit = hashlib.sha1(repr((branch.commits, sorted(files))).encode()).hexdigest()
            branch.files = files
            branch.commits.append(commit)
            repository.messages.append(header["value"]["summary"])
            return 200, {"commitUrl": f"{hub.url}/datasets/{name}/commit/{commit}", "commitOid": commit}

    return Handler


def _in_shard(sha256: str) -> bytes:
    """A digest as a shard has it: four numbers, the lowest byte first."""
    return b"".join(bytes.fromhex(sha256[start : start + 16])[::-1] for start in range(0, 64, 16))


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(content), "oid": git_blob(content)}
    if path.endswith(LARGE) or len(content) > 10 * 2**20:
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
    return entry


@contextmanager
def serving() -> Iterator[FakeHub]:
    """A hub that answers until the block ends."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
