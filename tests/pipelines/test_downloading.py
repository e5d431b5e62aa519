"""Pictures at URLs are fetched once, politely, where that was asked for and the site allows it."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines import downloading
from pipelines.downloading import (
    Downloader,
    DownloadError,
    DownloadSettings,
    allow_downloads,
    canonical_url,
    downloaded,
)
from pipelines.images import BadImage, image_bytes, url_locator

AGENT = "translate-mix-test/1.0 (+https://a.example)"
LIMIT = 100_000

Answer = Callable[[BaseHTTPRequestHandler], None]


def reply(status: int = 200, body: bytes = b"", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@dataclass
class Site:
    """A web server of this machine; a path gives its answers one after the other, the last one for ever."""

    url: str
    pages: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    spans: list[tuple[float, float]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            start = time.monotonic()
            here.asked.append(self.path)
            here.headers.append(dict(self.headers))
            answers = here.pages.get(self.path, [reply(404)])
            with suppress(BrokenPipeError, ConnectionResetError):
                (answers.pop(0) if len(answers) > 1 else answers[0])(self)
            here.spans.append((start, time.monotonic()))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    here = Site(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield here
    server.shutdown()
    server.server_close()
    thread.join()


def make(cache: Path, run: str = "run", **changes: object) -> Downloader:
    settings = {"per_host_delay_s": 0.0, "timeout_s": 5.0, "allow_private_addresses": True} | changes
    return Downloader(cache, DownloadSettings(AGENT, **settings), run)  # type: ignore[arg-type]


def stored(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("*/*") if path.parent.name != "hosts")


def test_a_picture_is_fetched_once_and_then_read_from_the_cache(site: Site, tmp_path: Path) -> None:
    site.pages["/a.jpg"] = [reply(body=b"picture"), reply(500)]
    for downloader in (make(tmp_path), make(tmp_path), make(tmp_path, run="later")):
        assert downloader.fetch(f"{site.url}/a.jpg", LIMIT) == b"picture"
    assert site.asked == ["/robots.txt", "/a.jpg"]
    assert site.headers[1]["User-Agent"] == AGENT
    assert len(stored(tmp_path)) == 1


def test_locators_download_only_after_it_was_asked_for(site: Site, tmp_path: Path) -> None:
    site.pages["/a%20b.jpg?x=1&y=%23"] = [reply(body=b"picture")]
    locator = url_locator(str(tmp_path), f"{site.url}/a%20b.jpg?x=1&y=%23")
    with pytest.raises(BadImage, match="is not in the cache, and downloading was not asked for"):
        image_bytes(locator)
    allow_downloads(tmp_path, DownloadSettings(AGENT, 0.0, allow_private_addresses=True))
    assert image_bytes(locator) == b"picture"
    (tmp_path / "downloads.json").unlink()
    assert image_bytes(locator) == b"picture"
    assert len(site.asked) == 2


def test_other_processes_download_and_find_what_is_there(site: Site, tmp_path: Path) -> None:
    site.pages["/a.jpg"] = [reply(body=b"picture")]
    allow_downloads(tmp_path, DownloadSettings(AGENT, 0.0, allow_private_addresses=True))
    locator = url_locator(str(tmp_path), f"{site.url}/a.jpg")
    code = (
        "import sys; from pipelines.images import image_bytes; assert image_bytes(sys.argv[1]) == b'picture'"
    )
    subprocess.run([sys.executable, "-c", code, locator], check=True, stderr=subprocess.DEVNULL)
    assert image_bytes(locator) == b"picture"
    assert site.asked.count("/a.jpg") == 1


def test_a_dead_link_is_asked_once_per_run(site: Site, tmp_path: Path) -> None:
    site.pages["/a.jpg"] = [reply(404), reply(body=b"back again")]
    for downloader in (make(tmp_path), make(tmp_path)):
        with pytest.raises(DownloadError, match=r"a\.jpg': status 404 Not Found"):
            downloader.fetch(f"{site.url}/a.jpg", LIMIT)
    assert site.asked.count("/a.jpg") == 1
    assert make(tmp_path, run="next").fetch(f"{site.url}/a.jpg", LIMIT) == b"back again"
    allow_downloads(tmp_path, DownloadSettings(AGENT, 0.0, allow_private_addresses=True))
    site.pages["/b.jpg"] = [reply(410)]
    for times in (1, 1, 2):
        if times == 2:
            allow_downloads(tmp_path, DownloadSettings(AGENT, 0.0, allow_private_addresses=True))
        with pytest.raises(DownloadError, match="status 410"):
            downloaded(str(tmp_path), f"{site.url}/b.jpg", LIMIT)
        assert site.asked.count("/b.jpg") == times


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (reply(body=b"<p>Log in", Content_Type="text/HTML; charset=utf-8"), "no picture"),
        (reply(Content_Type="image/jpeg"), "an empty answer"),
    ],
)
def test_a_page_in_place_of_a_picture_is_not_kept(
    site: Site, tmp_path: Path, answer: Answer, told: str
) -> None:
    site.pages["/a.jpg"] = [answer, reply(body=b"picture", Content_Type="text/plain")]
    for _ in range(2):
        with pytest.raises(DownloadError, match=told):
            make(tmp_path).fetch(f"{site.url}/a.jpg", LIMIT)
    assert site.asked.count("/a.jpg") == 1
    assert make(tmp_path, run="next").fetch(f"{site.url}/a.jpg", LIMIT) == b"picture"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(site: Site, tmp_path: Path, status: int) -> None:
    site.pages["/a.jpg"] = [reply(status), reply(status), reply(body=b"picture")]
    assert make(tmp_path).fetch(f"{site.url}/a.jpg", LIMIT) == b"picture"
    site.pages["/b.jpg"] = [reply(status)]
    with pytest.raises(DownloadError, match=rf"status {status}, 3 times"):
        make(tmp_path).fetch(f"{site.url}/b.jpg", LIMIT)
    assert site.asked.count("/b.jpg") == 3


def test_the_pause_that_a_server_asks_for_is_kept(site: Site, tmp_path: Path) -> None:
    site.pages["/a.jpg"] = [reply(429, Retry_After="1"), reply(body=b"picture")]
    site.pages["/b.jpg"] = [reply(503, Retry_After=formatdate(time.time() + 3600, usegmt=True))]
    start = time.monotonic()
    assert make(tmp_path).fetch(f"{site.url}/a.jpg", LIMIT) == b"picture"
    assert time.monotonic() - start > 0.9
    with pytest.raises(DownloadError, match=r"status 503, and asks to wait 3,[56]\d\d s, at most 60 s"):
        make(tmp_path).fetch(f"{site.url}/b.jpg", LIMIT)
    # Nor are other pictures of the host asked for meanwhile.
    asked = len(site.asked)
    downloader = make(tmp_path)
    with pytest.raises(DownloadError, match=r"asked to be left alone for another 3,[56]\d\d s"):
        downloader.fetch(f"{site.url}/c.jpg", LIMIT)
    assert len(site.asked) == asked


def test_a_failed_attempt_is_followed_by_longer_and_longer_pauses(site: Site, tmp_path: Path) -> None:
    site.pages["/a.jpg"] = [reply(500), reply(500), reply(body=b"picture")]
    make(tmp_path, per_host_delay_s=0.1).fetch(f"{site.url}/a.jpg", LIMIT)
    pauses = [later[0] - earlier[1] for earlier, later in pairwise(site.spans)]
    assert [pause >= least for pause, least in zip(pauses, (0.09, 0.19, 0.39), strict=True)] == [True] * 3


def test_workers_ask_a_host_one_after_the_other_with_pauses(site: Site, tmp_path: Path) -> None:
    for number in range(6):
        site.pages[f"/{number}.jpg"] = [reply(body=b"%d" % number)]
    # Two of them, as in two processes: what they share is the cache folder.
    workers = [make(tmp_path, per_host_delay_s=0.05) for _ in range(2)]
    with ThreadPoolExecutor(6) as pool:
        urls = [f"{site.url}/{number}.jpg" for number in range(6)]
        found = list(pool.map(lambda number: workers[number % 2].fetch(urls[number], LIMIT), range(6)))
    assert found == [b"%d" % number for number in range(6)]
    spans = sorted(site.spans)
    assert all(later[0] - earlier[0] > 0.045 for earlier, later in pairwise(spans))


def test_the_same_picture_asked_for_at_once_is_fetched_once(site: Site, tmp_path: Path) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.2)
        reply(body=b"picture")(handler)

    site.pages["/a.jpg"] = [slow]
    workers = [make(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda worker: worker.fetch(f"{site.url}/a.jpg", LIMIT), workers))
    assert found == [b"picture"] * 4
    assert site.asked.count("/a.jpg") == 1


def test_robots_txt_is_respected(site: Site, tmp_path: Path) -> None:
    rules = b"User-agent: *\nDisallow: /private/\nUser-agent: translate-mix-test\nDisallow: /no/\n"
    site.pages["/robots.txt"] = [reply(body=rules)]
    for path in ("/no/a.jpg", "/private/a.jpg"):
        site.pages[path] = [reply(body=b"picture")]
    with pytest.raises(DownloadError, match=r"robots\.txt of 127\.0\.0\.1 forbids it"):
        make(tmp_path).fetch(f"{site.url}/no/a.jpg", LIMIT)
    assert make(tmp_path).fetch(f"{site.url}/private/a.jpg", LIMIT) == b"picture"
    assert "/no/a.jpg" not in site.asked


@pytest.mark.parametrize(
    ("status", "allowed"), [(404, True), (410, True), (401, False), (403, False), (500, False)]
)
def test_a_site_without_rules_is_open_and_one_that_hides_them_is_not(
    site: Site, tmp_path: Path, status: int, allowed: bool
) -> None:
    site.pages["/robots.txt"] = [reply(status)]
    site.pages["/a.jpg"] = [reply(body=b"picture")]
    if allowed:
        assert make(tmp_path, retries=0).fetch(f"{site.url}/a.jpg", LIMIT) == b"picture"
    else:
        with pytest.raises(DownloadError, match=r"robots\.txt .*nothing is fetched there"):
            make(tmp_path, retries=0).fetch(f"{site.url}/a.jpg", LIMIT)
        assert "/a.jpg" not in site.asked


def test_pauses_of_robots_txt_are_kept_or_the_site_left_alone(site: Site, tmp_path: Path) -> None:
    site.pages["/robots.txt"] = [
        reply(body=b"User-agent: *\nCrawl-delay: 1\n"),
        reply(body=b"User-agent: *\nCrawl-delay: 900\n"),
    ]
    for name in "ab":
        site.pages[f"/{name}.jpg"] = [reply(body=b"picture")]
    downloader = make(tmp_path)
    for name in "ab":
        downloader.fetch(f"{site.url}/{name}.jpg", LIMIT)
    assert site.spans[-1][0] - site.spans[-2][0] > 0.9
    with pytest.raises(DownloadError, match="asks for 900 s between requests"):
        make(tmp_path).fetch(f"{site.url}/c.jpg", LIMIT)


@pytest.mark.parametrize(
    ("tag", "refused"),
    [
        ("noai", True),
        ("index, NoImageAI", True),
        ("noindex", True),
        ("translate-mix-test: noai", True),
        ("otherbot: noai", False),
        ("all", False),
    ],
)
def test_a_tag_against_ai_is_respected(site: Site, tmp_path: Path, tag: str, refused: bool) -> None:
    site.pages["/a.jpg"] = [reply(body=b"picture", X_Robots_Tag=tag)]
    if refused:
        with pytest.raises(DownloadError, match="X-Robots-Tag says no"):
            make(tmp_path).fetch(f"{site.url}/a.jpg", LIMIT)
    else:
        assert make(tmp_path).fetch(f"{site.url}/a.jpg", LIMIT) == b"picture"


def test_redirects_are_followed_within_the_rules(site: Site, tmp_path: Path) -> None:
    site.pages["/robots.txt"] = [reply(body=b"User-agent: *\nDisallow: /no/\n")]
    site.pages["/a.jpg"] = [reply(301, Location="b.jpg")]
    site.pages["/b.jpg"] = [reply(307, Location=f"{site.url}/ü.jpg".encode().decode("latin-1"))]
    site.pages["/%C3%BC.jpg"] = [reply(body=b"picture")]
    site.pages["/round.jpg"] = [reply(302, Location="/round.jpg")]
    site.pages["/no.jpg"] = [reply(302, Location="/no/a.jpg")]
    site.pages["/file.jpg"] = [reply(302, Location="file:///etc/passwd")]
    downloader = make(tmp_path)
    assert downloader.fetch(f"{site.url}/a.jpg", LIMIT) == b"picture"
    for name, words in (
        ("round", "more than 5 redirects"),
        ("no", "forbids it"),
        ("file", "'file:///etc/passwd' is not of http or https"),
    ):
        with pytest.raises(DownloadError, match=words):
            downloader.fetch(f"{site.url}/{name}.jpg", LIMIT)


def test_the_body_of_a_redirect_is_not_read(site: Site, tmp_path: Path) -> None:
    blocks = 1000
    sent = []

    def long(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/b.jpg")
        handler.end_headers()
        for number in range(blocks):
            handler.wfile.write(bytes(1_000_000))
            sent.append(number)

    site.pages["/a.jpg"] = [long]
    site.pages["/b.jpg"] = [reply(body=b"picture")]
    assert make(tmp_path).fetch(f"{site.url}/a.jpg", LIMIT) == b"picture"
    # No more than what the system holds of it for a reader.
    assert len(sent) < blocks


def test_large_answers_are_cut_off_by_their_header_and_while_they_come(site: Site, tmp_path: Path) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(bytes(1_000_000))

    site.pages["/a.jpg"] = [reply(body=b"", Content_Length="100001")]
    site.pages["/b.jpg"] = [endless]
    with pytest.raises(DownloadError, match=r"too large: 100,001 bytes, at most 100,000"):
        make(tmp_path).fetch(f"{site.url}/a.jpg", LIMIT)
    with pytest.raises(DownloadError, match=r"too large: more than 100,000 bytes"):
        make(tmp_path).fetch(f"{site.url}/b.jpg", LIMIT)
    assert all(name.endswith(".failed") for name in stored(tmp_path))


def test_short_and_silent_answers_fail_and_leave_no_picture(site: Site, tmp_path: Path) -> None:
    site.pages["/short.jpg"] = [reply(body=b"half", Content_Length="8")]
    site.pages["/silent.jpg"] = [lambda _: time.sleep(0.5)]
    for name, words in (
        ("short", "no answer: IncompleteRead"),
        ("silent", "no answer: "),
    ):
        with pytest.raises(DownloadError, match=words):
            make(tmp_path, timeout_s=0.1, retries=0).fetch(f"{site.url}/{name}.jpg", LIMIT)
    assert all(name.endswith(".failed") for name in stored(tmp_path))


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1", b";"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n"),
    ],
    ids=["body", "header", "continue", "chunk", "trailers"],
)
def test_answers_that_drip_for_ever_are_ended(site: Site, tmp_path: Path, start: bytes, rest: bytes) -> None:
    def dripping(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(start)
        for _ in range(400):
            handler.wfile.write(rest)
            handler.wfile.flush()
            time.sleep(0.02)

    site.pages["/slow.jpg"] = [dripping]
    begun = time.monotonic()
    with pytest.raises(DownloadError, match=r"the answer was not whole after 3 s"):
        make(tmp_path, timeout_s=0.3, retries=0).fetch(f"{site.url}/slow.jpg", LIMIT)
    assert time.monotonic() - begun < 10
    assert all(name.endswith(".failed") for name in stored(tmp_path))


def test_the_words_of_a_status_are_not_the_servers(site: Site, tmp_path: Path) -> None:
    def steering(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 404 \x1b[31mred\r\nContent-Length: 0\r\n\r\n")

    site.pages["/a.jpg"] = [steering]
    with pytest.raises(DownloadError, match=r"a\.jpg': status 404 Not Found$"):
        make(tmp_path).fetch(f"{site.url}/a.jpg", LIMIT)


def test_a_host_that_is_not_there_fails_with_the_cause(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(DownloadError, match=r"robots\.txt cannot be read.*Connection ?[Rr]efused"):
        make(tmp_path, retries=0).fetch(f"http://127.0.0.1:{port}/a.jpg", LIMIT)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:7f00:1]"]
)
def test_addresses_of_this_machine_and_network_are_refused(site: Site, tmp_path: Path, host: str) -> None:
    port = site.url.rpartition(":")[2]
    with pytest.raises(DownloadError, match=r"private address|is this machine"):
        make(tmp_path, allow_private_addresses=False).fetch(f"http://{host}:{port}/a.jpg", LIMIT)
    assert site.asked == []


def test_a_name_that_leads_to_this_machine_is_refused_when_it_is_connected(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = socket.getaddrinfo("127.0.0.1", int(site.url.rpartition(":")[2]), type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    for scheme in ("http", "https"):
        with pytest.raises(DownloadError, match=r"leads to the private address 127\.0\.0\.1"):
            make(tmp_path, allow_private_addresses=False).fetch(f"{scheme}://rebound.example/a.jpg", LIMIT)
    assert site.asked == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("fe80::1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_public_addresses_are_told_from_others(address: str, public: bool) -> None:
    assert downloading._is_public(ipaddress.ip_address(address)) is public


def test_urls_are_checked_before_anything_is_asked() -> None:
    assert canonical_url(" https://a.example/b?c#d ") == "https://a.example/b?c"
    for url in (
        "ftp://a.example/b",
        "//a.example/b",
        "http://",
        "http://a:99999/",
        "http://u:p@a.example/",
        "http://a\n/",
        "http://[a#b",
    ):
        with pytest.raises(DownloadError) as caught:
            canonical_url(url)
        assert "u:p" not in str(caught.value)


def test_settings_that_name_nobody_or_never_wait_are_refused() -> None:
    for agent in ("", " /1", "a\nb"):
        with pytest.raises(ValueError, match="names nobody"):
            DownloadSettings(agent)
    with pytest.raises(ValueError, match="timeout_s above 0"):
        DownloadSettings(AGENT, timeout_s=0)
