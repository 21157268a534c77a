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


@contextmanager
def serving():
    """A site that is up."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.answer(with_content=False)

        def do_GET(self):
            self.answer(with_content=True)

        def answer(self, *, with_content):
            path, wanted = self.path.partition("?")[0], self.headers.get("Range")
            site.asked.append((self.command, path, wanted))
            site.encodings.append(self.headers.get("Accept-Encoding"))
            if path in site.redirects:
                self.send_response(302)
                self.send_header("Location", site.redirects[path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if path not in site.files:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = whole = site.files[path]
            if wanted is not None:
                first = int(wanted.removeprefix("bytes=").partition("-")[0])
                content = whole[first:]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{len(whole) - 1}/{len(whole)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{sha256(whole).hexdigest()}"')
            self.send_header("X-Repo-Commit", 40 * "a")
            self.end_headers()
            if with_content:
                self.send(path, content)

        def send(self, path, content):
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

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments):
            """A client that has left is no error of the server."""

    server = Server(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
