"""A web server of the tests, on 127.0.0.1, that misbehaves when it is asked to."""

import threading
import time
from collections import Counter
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """What a server has, and what it was asked.

    Attributes:
        files: Path -> content.
        breaks: Path -> how many answers end in the middle.
        redirects: Path -> another URL.
        slow: Path -> seconds before each quarter of the content.
        asked: (method, path, range) of every request.
        encodings: What each request says of compressed answers.
    """

    def __init__(self):
        self.files, self.redirects, self.slow = {}, {}, {}
        self.breaks = Counter()
        self.asked, self.encodings = [], []
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(with_content=False)

    def do_GET(self):
        self.answer(with_content=True)

    def answer(self, *, with_content):
        site, path = self.server.site, self.path.partition("?")[0]
        wanted = self.headers.get("Range")
        site.asked.append((self.command, path, wanted))
        site.encodings.append(self.headers.get("Accept-Encoding"))
        if path in site.redirects:
            self.head(302, Location=site.redirects[path])
        elif path not in site.files:
            self.head(404)
        else:
            self.give(path, wanted, with_content)

    def head(self, status, length=0, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def give(self, path, wanted, with_content):
        """A file, or what of it lies in a range, `bytes=FIRST-`."""
        content = whole = self.server.site.files[path]
        found = {"ETag": f'"{sha256(whole).hexdigest()}"', "X_Repo_Commit": 40 * "a"}
        if wanted is not None:
            first = int(wanted.removeprefix("bytes=").partition("-")[0])
            content = whole[first:]
            found["Content_Range"] = f"bytes {first}-{len(whole) - 1}/{len(whole)}"
        self.head(200 if wanted is None else 206, len(content), **found)
        if with_content:
            self.send(path, content)

    def send(self, path, content):
        site = self.server.site
        if site.breaks[path] > 0:
            site.breaks[path] -= 1
            content = content[: len(content) // 2]
            self.close_connection = True
        quarter = max(len(content) // 4, 1)
        for start in range(0, len(content), quarter):
            time.sleep(site.slow.get(path, 0))
            self.wfile.write(content[start : start + quarter])
            self.wfile.flush()

    def log_message(self, *arguments):
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *arguments):
        """A client that has left is no error of the server."""


@contextmanager
def serving():
    """A site that is up."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.site = site = Site()
    site.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
