"""Wheels of everything here, and fresh environments to install them into."""

import os
import ssl
import subprocess
import sys
import sysconfig
import threading
import venv
from http.server import HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """The wheels of core, of every plugin and of the example plugins, by folder name."""
    found = [ROOT, *(p.parent for p in ROOT.glob("plugins/*/pyproject.toml"))]
    found += [p.parent for p in ROOT.glob("examples/plugins/*/pyproject.toml")]
    folder = tmp_path_factory.mktemp("wheels")
    built = {}
    for project in found:
        name = "core" if project == ROOT else project.name
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / name],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (built[name],) = (folder / name).glob("*.whl")
    return built


class Environment:
    """A virtual environment with gentool-core installed from its wheel and no plugin.

    Everything else, torch above all, it shares with the environment of the tests.
    """

    def __init__(self, folder, core):
        shared = folder / "shared"
        shared.mkdir(parents=True)
        for item in Path(sysconfig.get_path("purelib")).iterdir():
            if "gentool" not in item.name and item.suffix != ".pth":
                (shared / item.name).symlink_to(item)
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.site = Path(self.run("python", "-c", SITE).stdout.strip())
        (self.site / "shared.pth").write_text(f"{shared}\n")
        self.run("python", "-m", "pip", "install", "--quiet", "--no-deps", core)

    def run(self, program, *arguments, code=0, cwd=None, **more):
        """Run a program of the environment, without a network; its exit code must be ``code``."""
        kept = {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "PIP_FIND_LINKS")}
        done = subprocess.run(
            [self.bin / program, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env=kept | {"PIP_NO_INDEX": "1", "OMP_NUM_THREADS": "1"} | more,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def gentool(self, *arguments, **more):
        return self.run("gentool", *arguments, **more)


SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"


@pytest.fixture
def environment(tmp_path, wheels):
    return Environment(tmp_path / "environment", wheels["core"])


@pytest.fixture
def https(tmp_path, monkeypatch):
    """Called with a handler, a server of our own whose certificate this process trusts."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    line = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", key, "-out", certificate]
    try:
        subprocess.run([*line.split(), *names, *files], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs openssl to make a certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    begun = []

    def serve(handler):
        server = HTTPServer(("localhost", 0), handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        begun.append((server, thread))
        return server

    yield serve
    for server, thread in begun:
        server.shutdown()
        server.server_close()
        thread.join()
