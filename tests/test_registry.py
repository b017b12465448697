"""registry.toml: read, refused where unsound, used to explain what is missing."""

import pytest

from gentool import RegistryError, registry

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
source = "https://example.org/waves"
"""


@pytest.fixture
def registry_file(tmp_path):
    return tmp_path / "registry.toml"


def test_the_packaged_registry_lists_the_first_party_plugins():
    rows = {row.name: row for row in registry.load()}
    assert rows["adain"].methods == ("adain",)
    assert rows["adain"].tier == "core"
    assert rows["gatys"].methods == ("gatys",)
    assert rows["perceptual"].methods == ("perceptual",)


def test_reads_a_row(registry_file):
    registry_file.write_text(ROW)
    (row,) = registry.read(registry_file)
    assert row.methods == ("waves", "ripples")
    assert row.source == "https://example.org/waves"


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("schema = 1", "schema = 2", "schema 2"),
        ('tier = "community"', 'tier = "best"', "'tier' must be one of core"),
        ('methods = ["waves", "ripples"]', 'methods = "waves"', "'methods' must be a list"),
        ('summary = "Water."', "summary = 3", "'summary' must be a text"),
        ('licence = "MIT"', "", "'licence' must be a text"),
        ("[[plugin]]", "[[plugin", "cannot read"),
    ],
)
def test_refuses_what_is_unsound(registry_file, before, after, reason):
    registry_file.write_text(ROW.replace(before, after))
    with pytest.raises(RegistryError, match=r"registry\.toml") as error:
        registry.read(registry_file)
    assert reason in str(error.value)


def test_refuses_a_missing_and_a_huge_file(registry_file):
    with pytest.raises(RegistryError, match="cannot read"):
        registry.read(registry_file)
    registry_file.write_bytes(b"#" * (registry.MAX_BYTES + 1))
    with pytest.raises(RegistryError, match="larger than"):
        registry.read(registry_file)


def test_explains_what_is_not_installed_and_what_is_unknown():
    assert "get gentool-adain from" in registry.explain_missing("adain", [])
    assert "did you mean 'adain'" in registry.explain_missing("adian", [])
    assert "did you mean 'waves'" in registry.explain_missing("wave", ["waves"])
