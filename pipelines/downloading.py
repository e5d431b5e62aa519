"""Pictures from URLs, fetched politely and once: one request per host at a time, pauses, robots.txt, a cache.

Nothing is fetched unless `allow_downloads` was called for the cache. The pauses hold for all processes
that share a cache folder on one machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import io
import ipaddress
import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urldefrag, urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

MAX_REDIRECTS = 5

MAX_WAIT_S = 60.0
"""The longest pause that a server may ask for; one that asks for more is not asked again in this run."""

MAX_ROBOTS_BYTES = 500 * 1024
"""RFC 9309: a crawler must read at least that much of a robots.txt."""

MAX_HOSTS = 10_000
"""Whose robots.txt a process remembers."""

# As img2dataset does unless told otherwise.
REFUSING_DIRECTIVES = frozenset({"noai", "noimageai", "noindex", "noimageindex"})

_SETTINGS = "downloads.json"

# What needs no parser: a name as host, and a path without a fragment.
_PLAIN_URL = re.compile(r"https?://(?=[^/]*[A-Za-z])[A-Za-z0-9][A-Za-z0-9.-]*/[A-Za-z0-9_.~/%?&=+,;:!()*'-]*")
_ANSWER_TIMEOUTS = 10
"""How many times the timeout of a read the whole of an answer may take."""

_RETRIED = frozenset({429, 500, 502, 503, 504})


class DownloadError(ValueError):
    """A picture that cannot or must not be downloaded; the message says why."""


class _Status(DownloadError):
    """An answer with a status that says no."""

    def __init__(self, reason: str, status: int) -> None:
        self.status = status
        super().__init__(reason)


class _Private(Exception):
    """A connection led to an address that is not of the public internet."""


class _TooSlow(Exception):
    """An answer took longer than the whole of one may."""


class _Transient(Exception):
    """An attempt that failed in a way that may pass; `wait_s` is how long the server asked to wait."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        self.wait_s = wait_s
        super().__init__(reason)


@dataclass(frozen=True)
class _Redirect:
    url: str
    """As the server writes it, perhaps relative."""


@dataclass
class _Turn:
    """A worker's time with a host."""

    pause_s: float
    """How long the host is left alone afterwards."""
    asked: bool = False


@dataclass(frozen=True)
class DownloadSettings:
    """How pictures are downloaded."""

    user_agent: str
    """Says who asks and where to complain: `name/version (+https://...)`."""
    per_host_delay_s: float = 1.0
    """From the end of one request to a host to the start of the next."""
    timeout_s: float = 20.0
    """Of connecting and of each read; a whole answer may take ten times as long."""
    retries: int = 2
    allow_private_addresses: bool = False
    """Also addresses that are not of the public internet: this machine, the local network."""

    def __post_init__(self) -> None:
        if not self.user_agent.split("/")[0].strip() or not self.user_agent.isprintable():
            raise ValueError(
                f"user_agent {self.user_agent!r} names nobody; write `name/version (+https://...)`"
            )
        if self.per_host_delay_s < 0 or self.timeout_s <= 0 or self.retries < 0:
            raise ValueError("per_host_delay_s and retries must be at least 0, timeout_s above 0")


def allow_downloads(cache: Path, settings: DownloadSettings) -> None:
    """Lets locators with this cache download, in every process of a run; links that died are tried again.

    The main process calls it at the start of a run.
    """
    cache.mkdir(parents=True, exist_ok=True)
    written = json.dumps({"run": uuid.uuid4().hex, **asdict(settings)})
    _store(cache / _SETTINGS, written.encode())


def downloaded(cache: str, url: str, limit: int) -> bytes:
    """The bytes behind a URL, from the cache or else from the network.

    Raises:
        DownloadError: downloads are not allowed for the cache, or as `Downloader.fetch`.
    """
    kept = _read(_place(Path(cache), url))
    if kept is not None:
        return kept
    try:
        version = (Path(cache) / _SETTINGS).stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DownloadError(
            f"{_shown(url)} is not in the cache, and downloading was not asked for"
        ) from error
    return _downloader(cache, version, os.getpid()).fetch(url, limit)


# A process that was forked must not share connections.
@lru_cache(maxsize=4)
def _downloader(cache: str, version: int, process: int) -> Downloader:
    settings = json.loads((Path(cache) / _SETTINGS).read_text(encoding="utf-8"))
    run = settings.pop("run")
    return Downloader(Path(cache), DownloadSettings(**settings), run)


def canonical_url(url: str) -> str:
    """The URL without its fragment and outer space.

    Raises:
        DownloadError: it is not of http or https, or names no host, or holds a password.
    """
    if _PLAIN_URL.fullmatch(url):
        return url
    try:
        url = urldefrag(url.strip()).url
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise DownloadError(f"{_shown(url)} is no URL: {error}") from error
    if parts.scheme.lower() not in ("http", "https"):
        raise DownloadError(f"{_shown(url)} is not of http or https")
    if not host or port == 0 or not url.isprintable():
        raise DownloadError(f"{_shown(url)} is no URL of a file")
    if parts.username is not None or parts.password is not None:
        raise DownloadError(f"URL with a user name or password, at {_shown(host)}")
    return url


class _Entry:
    """A URL's place in the cache."""

    def __init__(self, cache: Path, url: str, run: str) -> None:
        self._path, self._run = _place(cache, url), run

    def kept(self) -> bytes | None:
        """What the cache has. Raises `DownloadError` where it has a failure of this run."""
        data = _read(self._path)
        if data is None:
            failed = _read(self._path.with_suffix(".failed"))
            run, reason = json.loads(failed) if failed else (None, "")
            if run == self._run:
                raise DownloadError(reason)
        return data

    def keep(self, data: bytes) -> None:
        _store(self._path, data)

    def fail(self, reason: str) -> None:
        _store(self._path.with_suffix(".failed"), json.dumps([self._run, reason]).encode())


class Downloader:
    """Fetches files over HTTP into a cache folder; may be shared by threads.

    Args:
        run: failures are remembered in the cache for the run of this name.
    """

    def __init__(self, cache: Path, settings: DownloadSettings, run: str = "") -> None:
        self._cache, self._settings, self._run = cache, settings, run
        self._local = threading.local()
        self._robots: dict[str, RobotFileParser | str] = {}

    def fetch(self, url: str, limit: int) -> bytes:
        """The bytes behind a URL, from the cache or else from the network.

        Raises:
            DownloadError: no such page, larger than `limit` bytes, a private address, or a site that does
                not want it (robots.txt, `X-Robots-Tag`); or it failed before in this run.
        """
        entry = _Entry(self._cache, url, self._run)
        kept = entry.kept()
        if kept is not None:
            return kept
        try:
            return self._followed(canonical_url(url), limit, entry)
        except DownloadError as error:
            entry.fail(str(error))
            raise

    def _followed(self, url: str, limit: int, entry: _Entry) -> bytes:
        seen = url
        for _ in range(MAX_REDIRECTS + 1):
            self._check_robots(seen)
            answer = self._patient(seen, limit, entry)
            if isinstance(answer, bytes):
                return answer
            seen = canonical_url(urljoin(seen, answer.url))
        raise DownloadError(f"{_shown(url)}: more than {MAX_REDIRECTS} redirects")

    def _patient(self, url: str, limit: int, entry: _Entry | None = None) -> bytes | _Redirect:
        """One hop, tried again where the failure may pass."""
        for attempt in range(self._settings.retries + 1):
            try:
                with self._turn(url) as turn:
                    # Another worker may have fetched it while this one waited for its turn.
                    earlier = entry.kept() if entry else None
                    if earlier is not None:
                        return earlier
                    turn.asked = True
                    try:
                        answer = self._asked(url, limit, wants_picture=entry is not None)
                        if entry and isinstance(answer, bytes):
                            entry.keep(answer)
                        return answer
                    except _Transient as error:
                        # Kept for all workers: they must not ask the host either before that.
                        delay_s = self._settings.per_host_delay_s
                        longer_s = min(delay_s * 2 ** (attempt + 1), max(delay_s, MAX_WAIT_S))
                        turn.pause_s = max(error.wait_s, longer_s)
                        raise
            except _Transient as error:
                if error.wait_s > MAX_WAIT_S:
                    raise DownloadError(
                        f"{_shown(url)}: {error}, and asks to wait {error.wait_s:,.0f} s, at most "
                        f"{MAX_WAIT_S:.0f} s are waited"
                    ) from error
                if attempt == self._settings.retries:
                    raise DownloadError(f"{_shown(url)}: {error}, {attempt + 1} times") from error
        raise AssertionError("unreachable")

    def _asked(self, url: str, limit: int, wants_picture: bool) -> bytes | _Redirect:
        self._check_literal_address(url)
        try:
            with self._session().get(
                url, stream=True, allow_redirects=False, timeout=self._settings.timeout_s
            ) as response:
                return self._body(response, url, limit, wants_picture)
        except (_Private, _TooSlow) as error:
            raise DownloadError(f"{_shown(url)}: {error}") from error
        except (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            requests.exceptions.InvalidHeader,
            UnicodeError,
        ) as error:
            raise DownloadError(f"{_shown(url)} is no URL that can be asked: {_cause(error)}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _Transient(f"no answer: {_cause(error)}") from error

    def _body(
        self, response: requests.Response, url: str, limit: int, wants_picture: bool
    ) -> bytes | _Redirect:
        status = response.status_code
        if response.is_redirect or response.is_permanent_redirect:
            # Headers arrive as Latin-1; sites write UTF-8.
            return _Redirect(response.headers["Location"].encode("latin-1").decode("utf-8", "replace"))
        if status in _RETRIED:
            wait_s = _retry_after(response.headers.get("Retry-After"))
            raise _Transient(f"status {status}", wait_s)
        if status != 200:
            # Not the words of the server, which may be any.
            words = http.client.responses.get(status, "")
            raise _Status(f"{_shown(url)}: status {status} {words}".rstrip(), status)
        _check_tag(response.raw.headers.getlist("X-Robots-Tag"), self._settings.user_agent, url)
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        # Sites write "not found" and "log in" on pages of status 200, too. No other kind tells: servers name
        # pictures in many odd ways.
        if wants_picture and kind == "text/html":
            raise DownloadError(f"{_shown(url)}: a page (text/html), no picture")
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > limit:
            raise DownloadError(f"{_shown(url)} is too large: {int(length):,} bytes, at most {limit:,}")
        data = bytearray()
        # Not iter_content: that waits until a whole chunk is there, however slowly its bytes come.
        while chunk := response.raw.read1(2**16, decode_content=True):
            data += chunk
            if len(data) > limit:
                raise DownloadError(f"{_shown(url)} is too large: more than {limit:,} bytes")
        if wants_picture and not data:
            raise DownloadError(f"{_shown(url)}: an empty answer")
        return bytes(data)

    def _check_robots(self, url: str) -> None:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        rules = self._robots.get(origin)
        if rules is None:
            if len(self._robots) >= MAX_HOSTS:
                self._robots.clear()
            rules = self._robots[origin] = self._read_robots(origin)
        if isinstance(rules, str):
            raise DownloadError(f"{_shown(url)}: {rules}")
        if not rules.can_fetch(self._settings.user_agent, url):
            raise DownloadError(f"{_shown(url)}: robots.txt of {parts.hostname} forbids it")
        if self._asked_delay(rules) > MAX_WAIT_S:
            raise DownloadError(
                f"{_shown(url)}: robots.txt of {parts.hostname} asks for {self._asked_delay(rules):,.0f} s "
                f"between requests, at most {MAX_WAIT_S:.0f} s are waited"
            )

    def _read_robots(self, origin: str) -> RobotFileParser | str:
        """The rules of a site, or why nothing may be fetched there (RFC 9309, section 2.3.1)."""
        url, rules = f"{origin}/robots.txt", RobotFileParser()
        try:
            for _ in range(MAX_REDIRECTS + 1):
                answer = self._patient(url, MAX_ROBOTS_BYTES)
                if isinstance(answer, bytes):
                    rules.parse(answer.decode("utf-8", "replace").splitlines())
                    return rules
                url = canonical_url(urljoin(url, answer.url))
        except _Status as error:
            if error.status in (401, 403):
                return f"its robots.txt answers with status {error.status}, so nothing is fetched there"
        except DownloadError as error:
            return f"its robots.txt cannot be read, so nothing is fetched there: {error}"
        rules.parse([])  # There is none.
        return rules

    def _asked_delay(self, rules: RobotFileParser | str | None) -> float:
        if not isinstance(rules, RobotFileParser):
            return 0.0
        delay = float(rules.crawl_delay(self._settings.user_agent) or 0)
        rate = rules.request_rate(self._settings.user_agent)
        return max(delay, rate.seconds / rate.requests if rate and rate.requests else 0.0)

    @contextmanager
    def _turn(self, url: str) -> Iterator[_Turn]:
        """Waits for the host to be free and for the pause to be over; all processes wait at the same file."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        path = self._cache / "hosts" / hashlib.sha256(host.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        path.parent.mkdir(parents=True, exist_ok=True)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        turn = _Turn(max(self._settings.per_host_delay_s, self._asked_delay(self._robots.get(origin))))
        with open(path, "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            free_at = float(file.read() or 0)
            pause_s = free_at - time.time()
            if pause_s > max(MAX_WAIT_S, turn.pause_s):
                raise DownloadError(
                    f"{_shown(url)}: {host} asked to be left alone for another {pause_s:,.0f} s"
                )
            if pause_s > 0:
                time.sleep(pause_s)
            try:
                yield turn
            finally:
                if turn.asked:
                    file.truncate(0)
                    file.write(f"{time.time() + turn.pause_s:.3f}".encode())

    def _check_literal_address(self, url: str) -> None:
        """Behind a proxy the connection does not tell the address, so at least no address is asked for."""
        host = urlsplit(url).hostname or ""
        if self._settings.allow_private_addresses:
            return
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            if host.rstrip(".").lower() in ("localhost", "localhost.localdomain"):
                raise DownloadError(f"{_shown(url)}: {host} is this machine") from None
            return
        if not _is_public(address):
            raise DownloadError(f"{_shown(url)}: {host} is a private address")

    def _session(self) -> _Session:
        """One per thread: sessions must not be shared."""
        if not hasattr(self._local, "session"):
            self._local.session = _Session(self._settings)
        found: _Session = self._local.session
        return found


class _Session(requests.Session):
    """Follows no redirects, keeps no cookies, sends no passwords, and knows public addresses alone."""

    def __init__(self, settings: DownloadSettings) -> None:
        super().__init__()
        self.headers.clear()
        self.headers.update(
            {
                "User-Agent": settings.user_agent,
                "Accept": "image/*,*/*;q=0.5",
                "Accept-Encoding": "identity",  # Pictures are compressed already; this also rules out bombs.
            }
        )
        self.auth = _without_password  # Otherwise those of ~/.netrc would be sent.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        kind = _Adapter if settings.allow_private_addresses else _PublicAdapter
        for scheme in ("http://", "https://"):
            self.mount(scheme, kind())

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: otherwise `requests` reads the whole body of a redirect, however long."""
        return None


def _without_password(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _Adapter(HTTPAdapter):
    """Ends answers that are not whole in time, also those that come through a proxy."""

    def get_connection_with_tls_context(self, *arguments: Any, **keywords: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **keywords)
        pool.ConnectionCls = _in_time(pool.ConnectionCls)
        return pool


class _PublicAdapter(_Adapter):
    """Connects to public addresses alone; through a proxy of the environment, the proxy decides."""

    def init_poolmanager(self, *arguments: Any, **keywords: Any) -> None:
        super().init_poolmanager(*arguments, **keywords)
        self.poolmanager.pool_classes_by_scheme = {"http": _PublicPool, "https": _PublicSecurePool}


@lru_cache
def _in_time(connection: type[HTTPConnection]) -> type[HTTPConnection]:
    """The same kind of connection, with answers that end in time."""
    if issubclass(connection.response_class, _TimelyResponse):
        return connection
    return type(connection.__name__, (connection,), {"response_class": _TimelyResponse})


class _TimelyResponse(http.client.HTTPResponse):
    """An answer whose status lines, headers, body and trailers all come before one deadline.

    A timeout of the socket holds for each read, so a byte now and then would keep an answer going.
    """

    def __init__(self, sock: socket.socket, *arguments: Any, **keywords: Any) -> None:
        super().__init__(sock, *arguments, **keywords)
        timeout_s = sock.gettimeout()
        if timeout_s is not None:
            self.fp = io.BufferedReader(_Timely(self.fp.detach(), _ANSWER_TIMEOUTS * timeout_s))


class _Timely(io.RawIOBase):
    """Another stream, of which nothing is read after `limit_s` seconds; then a read raises `_TooSlow`."""

    def __init__(self, inner: io.RawIOBase, limit_s: float) -> None:
        self._inner, self._limit_s = inner, limit_s
        self._ends = time.monotonic() + limit_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self._ends:
            raise _TooSlow(f"the answer was not whole after {self._limit_s:g} s")
        return self._inner.readinto(buffer)

    def close(self) -> None:
        self._inner.close()
        super().close()


# Checked on the connection itself: a name can have another address each time it is asked for.
class _PublicConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn())


class _PublicSecureConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn())


class _PublicPool(HTTPConnectionPool):
    ConnectionCls = _PublicConnection


class _PublicSecurePool(HTTPSConnectionPool):
    ConnectionCls = _PublicSecureConnection


def _checked(connected: socket.socket) -> socket.socket:
    peer = str(connected.getpeername()[0])
    if not _is_public(ipaddress.ip_address(peer.partition("%")[0])):
        connected.close()
        raise _Private(f"leads to the private address {peer}")
    return connected


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is of the public internet, also where IPv6 wraps an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
    return address.is_global and not address.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _retry_after(written: str | None) -> float:
    """Seconds that a server asks to wait; it writes a number, or a date. 0 where neither is there."""
    if not written:
        return 0.0
    if written.strip().isdecimal():
        return float(written)
    try:
        when = parsedate_to_datetime(written)
    except ValueError:
        return 0.0
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _check_tag(values: list[str], user_agent: str, url: str) -> None:
    """Raises `DownloadError` where an `X-Robots-Tag`, for all or for this agent, refuses the use."""
    own = user_agent.split("/")[0].strip().lower()
    for value in values:
        agent, colon, rest = value.partition(":")
        directives = {word.strip().lower() for word in (rest if colon else value).split(",")}
        refusing = sorted(directives & REFUSING_DIRECTIVES)
        if refusing and (not colon or agent.strip().lower() == own):
            raise DownloadError(f"{_shown(url)}: X-Robots-Tag says {', '.join(refusing)}")


def _place(cache: Path, url: str) -> Path:
    digest = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
    return cache / digest[:2] / digest


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _store(path: Path, data: bytes) -> None:
    # Here, because it takes Beam along, which a process that stores nothing need not wait for.
    from pipelines.filesystem import write_atomically

    def write(file: BinaryIO) -> None:
        file.write(data)

    write_atomically(str(path), write, attempt=uuid.uuid4().hex)


def _cause(error: BaseException) -> str:
    """The innermost error in one line; the outer ones only say that there was one."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:197]}...")
