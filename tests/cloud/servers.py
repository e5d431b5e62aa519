"""Servers on loopback that real clients of clouds talk to: stores of objects, Dataflow, a job service."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from gcp_storage_emulator.handlers import buckets
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage
from moto.server import ThreadedMotoServer

BUCKET = "our-bucket"
TOKEN = "a-token-for-loopback"
ACCOUNT = "builder@our-project.iam.gserviceaccount.com"


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    """The address of a server that runs in a thread of this process until the end."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _OneAtATime:
    """The emulator's storage was written for a single thread."""

    def __init__(self, storage: Storage) -> None:
        self._storage, self._lock = storage, threading.RLock()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._storage, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **keywords: Any) -> Any:
            with self._lock:
                return found(*arguments, **keywords)

        return call


class _CloudStorageHandler(RequestHandler):
    """The emulator, for those who bring the token alone."""

    def __init__(self, store: CloudStorage, *arguments: Any) -> None:
        self._store = store
        super().__init__(store.storage, *arguments)

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        store = self._store
        if not is_ours(self.headers.get("Authorization", "")):
            self.send_error(HTTPStatus.UNAUTHORIZED)
            return False
        if any(name in self.path for name in store.refused):
            self.send_error(HTTPStatus.FORBIDDEN)
            return False
        return True

    def log_message(self, format: str, *arguments: object) -> None:
        """Standard error is the tests'."""


def is_ours(authorization: str) -> bool:
    """Whether a request brings our token, or one that it signed itself, as clients in C++ do."""
    kind, _, token = authorization.partition(" ")
    if kind != "Bearer" or token == TOKEN:
        return kind == "Bearer"
    claims = token.split(".")[1]
    return bool(json.loads(base64.urlsafe_b64decode(claims + "==="))["iss"] == ACCOUNT)


@dataclass
class CloudStorage:
    """Google Cloud Storage with one bucket."""

    storage: _OneAtATime = field(default_factory=lambda: _OneAtATime(Storage(use_memory_fs=True)))
    refused: set[str] = field(default_factory=set)
    """Parts of paths that are forbidden."""
    address: str = ""

    @contextmanager
    def serve(self) -> Iterator[str]:
        # It warns of each of its answers.
        logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
        buckets.create_bucket(BUCKET, self.storage)
        handler = partial(_CloudStorageHandler, self)
        with serving(ThreadingHTTPServer(("localhost", 0), handler)) as self.address:
            yield self.address

    def names(self, below: str) -> list[str]:
        """Of the objects whose names begin so; without those that stand for folders."""
        found = self.storage.get_file_list(BUCKET, below)[0]
        return sorted(one["name"] for one in found if not one["name"].endswith("/"))

    def read(self, name: str) -> bytes:
        return bytes(self.storage.get_file(BUCKET, name))

    def upload(self, name: str, content: bytes) -> None:
        upload = f"{self.address}/upload/storage/v1/b/{BUCKET}/o"
        sent = requests.post(
            upload,
            params={"uploadType": "media", "name": name},
            data=content,
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/octet-stream"},
            timeout=60,
        )
        sent.raise_for_status()

    def download(self, below: str, to: Path) -> Path:
        """A folder with what is below."""
        for name in self.names(f"{below}/"):
            path = to / name[len(below) + 1 :]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.read(name))
        return to


class TokenHandler(BaseHTTPRequestHandler):
    """Gives tokens to service accounts, as oauth2.googleapis.com does."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answer(self, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})

    def log_message(self, format: str, *arguments: object) -> None:
        """Standard error is the tests'."""


def answer(handler: BaseHTTPRequestHandler, content: object, status: HTTPStatus = HTTPStatus.OK) -> None:
    body = json.dumps(content).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def write_account(path: Path, token_address: str) -> None:
    """A key file of a service account that gets its tokens there."""
    key = rsa.generate_private_key(65537, 2048)
    content = {
        "type": "service_account",
        "project_id": "our-project",
        "private_key_id": "1",
        "private_key": key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        "client_email": ACCOUNT,
        "client_id": "1",
        "token_uri": f"{token_address}/token",
    }
    path.write_text(json.dumps(content), encoding="utf-8")


@contextmanager
def s3() -> Iterator[dict[str, str]]:
    """Environment of clients of an S3 with one bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        environment = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "ours",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        client = boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="ours",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=BUCKET)
        yield environment
    finally:
        server.stop()


@dataclass
class Dataflow:
    """Google Cloud Dataflow's API for one job at a time, whose work `work` does once the job is created."""

    work: Callable[[dict[str, Any]], str]
    """The job as submitted -> the state that it ends in; called in a thread."""
    messages: list[tuple[str, str]] = field(default_factory=list)
    """(importance, text) of what the service says of the job."""
    job: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    """(method, path) of all that was asked."""
    state: str = "JOB_STATE_PENDING"
    seen_running: threading.Event = field(default_factory=threading.Event)
    listed: bool = True
    """Whether it tells of its job among those that are running; it does a moment after the job is created."""
    listing: HTTPStatus = HTTPStatus.OK
    """Of its answer to whoever asks for all jobs."""
    conflict: HTTPStatus = HTTPStatus.OK
    """Of its answer to a second running job of one name, which is the first one, or an error."""

    @contextmanager
    def serve(self) -> Iterator[str]:
        with serving(ThreadingHTTPServer(("localhost", 0), partial(_DataflowHandler, self))) as address:
            yield address

    @property
    def active(self) -> bool:
        return bool(self.job) and self.state in ("JOB_STATE_PENDING", "JOB_STATE_RUNNING")

    def create(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """What is told of the new job, or of the one of its name that is running; None for a refusal."""
        if self.active:
            assert job["name"] == self.job["name"], "two jobs are too much for this service"
            known = self.shown() | {"clientRequestId": self.job["clientRequestId"]}
            return known if self.conflict is HTTPStatus.OK else None
        self.job = job
        threading.Thread(target=self._run, daemon=True).start()
        return self.shown() | {"clientRequestId": job["clientRequestId"]}

    def _run(self) -> None:
        self.state = "JOB_STATE_RUNNING"
        ended = self.work(self.job)
        self.seen_running.wait()
        self.state = ended

    def shown(self) -> dict[str, Any]:
        return {"id": "job-7", "name": self.job["name"], "currentState": self.state}


class _DataflowHandler(BaseHTTPRequestHandler):
    def __init__(self, service: Dataflow, *arguments: Any) -> None:
        self._service = service
        super().__init__(*arguments)

    def _noted(self) -> str:
        path = self.path.split("?")[0]
        self._service.requests.append((self.command, path))
        assert self.headers["Authorization"] == f"Bearer {TOKEN}"
        return path

    def do_POST(self) -> None:
        self._noted()
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        created = self._service.create(content)
        if created is None:
            said = f"There is already an active job named {content['name']}. Try another name."
            answer(self, {"error": {"message": said}}, self._service.conflict)
        else:
            answer(self, created)

    def do_PUT(self) -> None:
        self._noted()
        answer(self, {})

    def do_GET(self) -> None:
        path = self._noted()
        if path.endswith("/messages"):
            told = [
                {
                    "id": str(number),
                    "time": f"2026-01-01T00:00:0{number}Z",
                    "messageImportance": f"JOB_MESSAGE_{importance}",
                    "messageText": text,
                }
                for number, (importance, text) in enumerate(self._service.messages)
            ]
            answer(self, {"jobMessages": told})
        elif path.endswith("/jobs"):
            service = self._service
            jobs = [service.shown()] if service.active and service.listed else []
            said = {"jobs": jobs} if service.listing is HTTPStatus.OK else {"error": {"message": "not you"}}
            answer(self, said, service.listing)
        else:
            answer(self, self._service.shown())
            if self._service.state == "JOB_STATE_RUNNING":
                self._service.seen_running.set()

    def log_message(self, format: str, *arguments: object) -> None:
        """Standard error is the tests'."""


@contextmanager
def process(
    command: Sequence[str], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that runs by itself, in a group of its own with all that it starts."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield started
    finally:
        # By its id, with the workers that it started.
        signal_group(started, signal.SIGKILL)
        started.wait()


def signal_group(started: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(started.pid, number)
    except ProcessLookupError:
        return


def wait_for(reached: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Fails if it is not reached in time."""
    limit = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < limit, f"no {what} in {seconds} s"
        time.sleep(0.02)


@contextmanager
def job_service(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Address of Beam's local job service, in a process of its own."""
    port, log = folder / "job-service-port", folder / "job-service-log"
    program = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main"]
    with process([*program, "--port", "0", "--port_file", str(port)], environment, log) as started:
        wait_for(lambda: (port.exists() and port.read_text()) or started.poll() is not None, "job service")
        assert started.poll() is None, log.read_text()
        yield f"localhost:{port.read_text().strip()}"


@dataclass(frozen=True)
class WorkerPool:
    """Starts a process for each worker that a job service wants."""

    address: str
    group: int
    log: Path

    @property
    def started(self) -> int:
        """Workers, from the first on."""
        return len(re.findall(r"Starting worker with command", self.log.read_text(errors="replace")))


WORKER_POOL = """
import sys, time
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
address, server = BeamFnExternalWorkerPoolServicer.start(use_process=True)
print(address, file=open(sys.argv[1], "w"), flush=True)
while True:
    time.sleep(1)
"""


@contextmanager
def worker_pool(folder: Path, environment: dict[str, str]) -> Iterator[WorkerPool]:
    """A worker pool in a process of its own."""
    port, log = folder / "worker-pool-address", folder / "worker-pool-log"
    with process([sys.executable, "-c", WORKER_POOL, str(port)], environment, log) as started:
        wait_for(
            lambda: (port.exists() and port.read_text().endswith("\n")) or started.poll() is not None, "pool"
        )
        assert started.poll() is None, log.read_text()
        yield WorkerPool(port.read_text().strip(), started.pid, log)
