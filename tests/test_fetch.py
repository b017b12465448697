"""Fetching keeps its own time, whatever the server does."""

import os
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

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


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A dripping server, with a certificate that this process trusts."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    line = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", key, "-out", certificate]
    try:
        subprocess.run([*line.split(), *names, *files], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs openssl to make a certificate")
    made = HTTPServer(("localhost", 0), Drip)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    made.socket = context.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def test_a_server_that_drips_is_given_up_in_time(server, monkeypatch):
    monkeypatch.setattr(fetch, "PATIENCE", 0.2)
    with pytest.raises(RegistryError, match="too slow"):
        fetch.fetch(f"https://localhost:{server.server_port}/", 10_000)
    assert server.sent < 90
