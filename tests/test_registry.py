"""registry.toml: read, refused where unsound or hostile, searched, used to explain."""

from http.server import BaseHTTPRequestHandler

import pytest

from gentool import RegistryError, UsageError, registry
from gentool.fetch import fetch
from gentool.registry import sources

ROW = """
schema = 1
[[plugin]]
name = "waves"
distribution = "gentool-waves"
methods = ["waves", "ripples"]
summary = "Water."
tier = "community"
licence = "MIT"
gentool = ">=0.1,<0.2"
homepage = "https://example.org/waves"

[plugin.published]
version = "1.2.0"
file = "gentool_waves-1.2.0-py3-none-any.whl"
bytes = 1000
sha256 = "{sha}"
url = "https://example.org/wheels/gentool_waves-1.2.0-py3-none-any.whl"

[[plugin.weights]]
name = "default"
file = "weights/waves.safetensors"
bytes = 900
sha256 = "{sha}"
licence = "MIT"
trained_on = "waves"
origin = "by hand"
""".replace("{sha}", "a" * 64)


def parse(text, **more):
    return registry.parse(text.encode(), "registry.toml", **more)


@pytest.fixture(autouse=True)
def only_these(monkeypatch, tmp_path):
    """No registry of the person who runs the tests; nothing remembered from another test."""
    monkeypatch.setenv("GENTOOL_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("GENTOOL_REGISTRY", raising=False)
    sources.read.cache_clear()


def test_the_packaged_registry_lists_the_first_party_plugins():
    rows = {row.name: row for row in registry.load()}
    assert rows["adain"].methods == ("adain",)
    assert rows["adain"].tier == "core"
    assert rows["adain"].weights[0].licence
    assert rows["gan"].methods == ("gan",)
    assert rows["gatys"].methods == ("gatys",)
    assert rows["perceptual"].methods == ("perceptual",)
    assert rows["vae"].methods == ("vae",)


def test_reads_a_row():
    (row,) = parse(ROW)
    assert row.methods == ("waves", "ripples")
    assert row.published.version == "1.2.0"
    assert row.weights[0].bytes == 900
    assert row.how_to_get() == "gentool install waves"


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("schema = 1", "schema = 2", "schema 2"),
        ('tier = "community"', 'tier = "best"', "'tier' must be one of core"),
        ('methods = ["waves", "ripples"]', 'methods = "waves"', "'methods' must be a list"),
        ('methods = ["waves", "ripples"]', 'methods = ["../x"]', "'methods' must be a list"),
        ('summary = "Water."', "summary = 3", "'summary' must be a text"),
        ('summary = "Water."', r'summary = "\u001b[2Jgone"', "printable characters"),
        ('summary = "Water."', f'summary = "{"x" * 2001}"', "'summary' cannot be"),
        ('name = "waves"', 'name = "Waves!"', "'name' cannot be 'Waves!'"),
        ('licence = "MIT"\ng', "g", "'licence' must be a text"),
        ("[[plugin]]", "[[plugin", "not a registry"),
        ("[[plugin]]", "[plugin]", "'plugin' must be a list"),
        ('gentool = ">=0.1,<0.2"', 'gentool = "new"', "'gentool' cannot be 'new'"),
        ("bytes = 1000", "bytes = -1", "'bytes' must be a whole number"),
        ("bytes = 1000", "bytes = 9000000000000", "'bytes' must be a whole number"),
        ("bytes = 900", "bytes = true", "'bytes' must be a whole number"),
        ("a" * 64, "abc", "'sha256' cannot be 'abc'"),
        ('file = "gentool_waves-1', 'file = "../gentool_waves-1', "'file' cannot be"),
        ('file = "gentool_waves-1', 'file = "torch-1', "is no wheel of gentool-waves 1.2.0"),
        ("https://example.org/wheels", "http://example.org/wheels", "must begin with https://"),
        ("https://example.org/wheels", "file:///etc", "must begin with https://"),
        ("https://example.org/wheels", "https://[x", "'url' cannot be 'https://[x"),
    ],
)
def test_refuses_what_is_unsound_or_hostile(before, after, reason):
    assert before in ROW
    with pytest.raises(RegistryError, match=r"^registry\.toml: ") as error:
        parse(ROW.replace(before, after, 1), base="https://example.org/registry.toml")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)


def test_refuses_two_plugins_of_one_name_and_rows_that_lead_nowhere():
    twice = ROW + ROW.split("schema = 1")[1].replace('"waves"', '"other"')
    with pytest.raises(RegistryError, match="two plugins claim the name 'gentool-waves'"):
        parse(twice)
    nowhere = ROW.split("[plugin.published]")[0].replace("homepage", "homepages")
    with pytest.raises(RegistryError, match="needs 'published'"):
        parse(nowhere)


def test_refuses_a_missing_and_a_huge_file(tmp_path):
    path = tmp_path / "registry.toml"
    with pytest.raises(RegistryError, match="cannot read"):
        sources.read(str(path))
    path.write_bytes(b"#" * (registry.MAX_BYTES + 1))
    with pytest.raises(RegistryError, match="larger than"):
        sources.read(str(path))


def test_a_registrys_path_may_have_spaces(monkeypatch, tmp_path):
    spaced = tmp_path / "my registries"
    spaced.mkdir()
    (spaced / "one.toml").write_text(ROW)
    for text in (f'"{spaced / "one.toml"}" https://a', f"https://a '{spaced / 'one.toml'}'"):
        monkeypatch.setenv("GENTOOL_REGISTRY", text)
        assert {str(spaced / "one.toml"), "https://a"} < set(sources.names())
    monkeypatch.setenv("GENTOOL_REGISTRY", "https://a /home/o'brien/r.toml")
    assert {"/home/o'brien/r.toml", "https://a"} < set(sources.names())


def test_further_registries_come_from_the_variable_and_the_configuration(monkeypatch, tmp_path):
    (tmp_path / "one.toml").write_text(ROW)
    (tmp_path / "two.toml").write_text(ROW.replace("waves", "sand").replace("ripples", "dunes"))
    monkeypatch.setenv("GENTOOL_REGISTRY", str(tmp_path / "one.toml"))
    (tmp_path / "config.toml").write_text('registries = ["two.toml"]')
    assert {"adain", "waves", "sand"} <= {row.name for row in registry.load()}
    assert registry.find("dunes").registry == str(tmp_path / "two.toml")
    assert registry.find("GenTool_Sand").name == "sand"
    assert registry.find("nothing") is None
    (tmp_path / "config.toml").write_text('registry = ["two.toml"]')
    with pytest.raises(UsageError, match="unknown setting 'registry'; did you mean 'registries'"):
        registry.load()


@pytest.mark.parametrize("claim", ["name", "distribution", "methods"])
def test_a_further_registry_cannot_take_a_name_of_gentools_own(monkeypatch, tmp_path, claim):
    thief = {
        "name": ('name = "waves"', 'name = "adain"'),
        "distribution": ("gentool-waves", "Gentool_AdaIN"),
        "methods": ('"ripples"', '"adain"'),
    }[claim]
    (tmp_path / "evil.toml").write_text(
        ROW.replace(*thief).replace(
            "gentool_waves", "gentool_adain" if claim[0] == "d" else "gentool_waves"
        )
    )
    monkeypatch.setenv("GENTOOL_REGISTRY", str(tmp_path / "evil.toml"))
    for word in ("adain", "gentool-adain"):
        assert registry.find(word).tier == "core"
    assert not [row for row in registry.load() if row.tier == "community"]


def test_a_registry_that_cannot_be_used_is_reported_and_the_others_serve(monkeypatch, tmp_path):
    (tmp_path / "bad.toml").write_text("schema = 7")
    monkeypatch.setenv("GENTOOL_REGISTRY", f"{tmp_path / 'bad.toml'} https://[x")
    told = []
    assert {"adain", "perceptual"} <= {row.name for row in registry.load(report=told.append)}
    assert len(told) == 2
    assert "registry schema 7" in told[0]
    assert "https://[x: cannot get it" in told[1]
    with pytest.raises(RegistryError, match="registry schema 7"):
        registry.find("something-else")
    assert registry.find("adain")


def test_search_looks_into_names_methods_and_summaries():
    rows = parse(ROW)
    for word in ("WAVE", "ripple", "water", ""):
        assert registry.search(rows, word) == rows
    assert registry.search(rows, "fire") == []


def test_explains_what_is_not_installed_and_what_is_unknown(monkeypatch, tmp_path):
    assert "get gentool-adain from" in registry.explain_missing("adain", [])
    assert "did you mean 'adain'" in registry.explain_missing("adian", [])
    assert "did you mean 'waves'" in registry.explain_missing("wave", ["waves"])
    (tmp_path / "one.toml").write_text(ROW)
    # an address is not fetched because somebody mistyped a method
    monkeypatch.setenv("GENTOOL_REGISTRY", f"https://localhost:1/r.toml {tmp_path / 'one.toml'}")
    assert "not installed; gentool install waves" in registry.explain_missing("ripples", [])


class Server(BaseHTTPRequestHandler):
    """Answers with the text behind a path, or with a redirect."""

    def do_GET(self):
        body = self.server.pages.get(self.path)
        if body is None:
            self.send_error(404)
        elif isinstance(body, str):
            self.send_response(302)
            self.send_header("Location", body)
            self.end_headers()
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def pages(https):
    """(address, pages) of a server: bytes to answer with, or text to redirect to, by path."""
    server = https(Server)
    server.pages = {}
    return f"https://localhost:{server.server_port}", server.pages


def test_a_registry_is_fetched_over_https(pages, monkeypatch):
    address, pages = pages
    pages["/r.toml"] = ROW.replace("https://example.org/wheels/", "wheels/").encode()
    pages["/moved"] = "/r.toml"
    monkeypatch.setenv("GENTOOL_REGISTRY", f"{address}/moved")
    row = registry.find("waves")
    assert row.published.url == f"{address}/wheels/gentool_waves-1.2.0-py3-none-any.whl"


def test_fetching_refuses_http_redirects_to_http_and_what_is_too_large(pages, monkeypatch):
    address, pages = pages
    pages["/down"] = "http://localhost/r.toml"
    pages["/file"] = "file:///etc/passwd"
    pages["/large"] = b"#" * 10_001
    for path, reason in {
        "/down": "redirects to http://localhost/r.toml, which is not https",
        "/file": "not allowed",
        "/large": "larger than the 10,000 bytes",
        "/none": "the server says 404",
    }.items():
        with pytest.raises(RegistryError, match=reason):
            fetch(address + path, 10_000)
    with pytest.raises(RegistryError, match="only https"):
        fetch(address.replace("https", "http"), 10_000)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(RegistryError, match="certificate"):
        fetch(f"{address}/large", 10_000)
