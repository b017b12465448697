"""Fetching keeps its own time, whatever the server does."""

import time
from http.server import BaseHTTPRequestHandler

import pytest

from gentool import RegistryError, fetch


class Drip(BaseHTTPRequestHandler):
    """A byte now and then: never silent for long, and never done."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        for self.server.sent in range(100):
            try:
                self.wfile.write(b"#")
            except OSError:  # nobody listens any more
                return
            time.sleep(0.05)

    def log_message(self, *args):
        pass


def test_a_server_that_drips_is_given_up_in_time(https, monkeypatch):
    server = https(Drip)
    monkeypatch.setattr(fetch, "PATIENCE", 0.2)
    with pytest.raises(RegistryError, match="too slow"):
        fetch.fetch(f"https://localhost:{server.server_port}/", 10_000)
    assert server.sent < 90


class Short(BaseHTTPRequestHandler):
    """Announces more than it sends."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"#" * 100)

    def log_message(self, *args):
        pass


def test_a_file_that_is_cut_short_is_refused(https):
    server = https(Short)
    with pytest.raises(RegistryError, match="cut short, 900 bytes are missing"):
        fetch.fetch(f"https://localhost:{server.server_port}/", 10_000)
