"""Wheels are checked without running them; what is hostile or wrong is refused in one line."""

import stat
import subprocess
import sys
import zipfile

import pytest

from gentool import InstallError, PluginError, registry
from gentool.cli.main import invoke
from gentool.install.archive import read_wheel
from gentool.install.contents import cards, records, verify

from . import wheels
from .wheels import INFO, METADATA, PLUGIN, files, write


def checked(path, row=None):
    wheel = read_wheel(path)
    verify(wheel, row)
    return wheel


def test_a_sound_wheel_passes_and_none_of_it_is_run(tmp_path):
    wheel = checked(write(tmp_path, files(ran=tmp_path / "ran")))
    assert (wheel.name, wheel.version) == ("gentool-waves", "1.2.0")
    (card,) = cards(wheel)
    assert card.weights[0].origin == "made by hand"
    assert not (tmp_path / "ran").exists()
    assert "gentool_waves" not in sys.modules


def link():
    info = zipfile.ZipInfo("gentool_waves/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


EXTRA = {
    "path traversal": (("../evil.py", b""), "'../evil.py', which could land anywhere"),
    "absolute path": (("/etc/evil", b""), "could land anywhere"),
    "drive": (("C:/evil", b""), "could land anywhere"),
    "backslashes": (("gentool_waves\\..\\..\\evil", b""), "could land anywhere"),
    "space at the end": (("gentool /cli/main.py", b""), "could land anywhere"),
    "dot at the end": (("gentool_waves./plugin.py", b""), "could land anywhere"),
    "control character": (("gentool_waves/\x1b[2J", b""), "could land anywhere"),
    "link": ((link(), b"/etc/passwd"), "a link or device"),
    "the same name in capitals": (("GENTOOL_WAVES/PLUGIN.PY", b""), "twice"),
    "a file that RECORD lacks": (("gentool_waves/more.py", b""), "no hash of gentool_waves/more"),
}


@pytest.mark.parametrize("case", EXTRA)
def test_refuses_members_that_do_not_belong(tmp_path, case):
    extra, reason = EXTRA[case]
    refused(write(tmp_path, files(), extra=[extra]), reason)


def refused(path, reason, row=None):
    with pytest.raises(InstallError) as error:
        checked(path, row)
    text = str(error.value)
    assert text.startswith(path.name)
    assert reason in text
    assert text.endswith("nothing was installed")
    assert "\n" not in text
    assert "\x1b" not in text
    assert text.count("nothing was installed") == 1


def with_(name, text):
    return lambda: files(**{name: text})


def card(before, after):
    def make():
        found = files()
        name = "gentool_waves/plugin.py"
        assert before in found[name]
        return found | {name: found[name].replace(before, after)}

    return make


METADATA_, ENTRIES = f"{INFO}/METADATA", f"{INFO}/entry_points.txt"
GOOD = METADATA.replace("{core}", "gentool-core>=0.1,<0.2")
ENTRY_OF_EXTENSION = "[gentool.extensions]\nwaves = gentool_waves.plugin\n"
CONTENTS = {
    "pickle": (with_("gentool_waves/net.PT", b"PK"), "net.PT: a pickle can run anything"),
    "pickle in disguise": (with_("gentool_waves/net.dat", b"\x80\x04\x95"), "looks like a pickle"),
    "pickle called safetensors": (with_("weights", b"\x80\x02" + b"}" * 99), "a pickle"),
    "start-up hook": (with_("evil.pth", "import os"), "run at every start of Python"),
    "start-up module": (with_("sitecustomize.py", ""), "a module named 'sitecustomize'"),
    "the program's own module": (with_("__main__.py", ""), "a module named '__main__'"),
    "standard library": (with_("json/__init__.py", ""), "a module named 'json'"),
    "our own module": (with_("gentool/x.py", ""), "a module named 'gentool'"),
    "another's module": (with_("torch/x.py", ""), "brings 'torch', which belongs to torch"),
    "our own module in capitals": (with_("Gentool/cli/main.py", ""), "a module named 'Gentool'"),
    "another's module in capitals": (
        with_("Torch/__init__.py", ""),
        "brings 'Torch', which belongs to torch",
    ),
    "another's metadata in capitals": (
        with_("gentool_adain-0.1.0.DIST-INFO/entry_points.txt", ""),
        "has 2 .dist-info folders",
    ),
    "an egg": (
        with_("waves.egg-info/entry_points.txt", "[gentool.methods]\nmore = gentool_waves.nets"),
        "waves.egg-info/entry_points.txt, which would pass for another distribution",
    ),
    "an egg's link": (with_("waves.Egg-Link", ""), "would pass for another distribution"),
    "a module twice": (
        with_("gentool_waves/plugin/__init__.py", ""),
        "has the module gentool_waves.plugin twice",
    ),
    "a module twice, compiled": (
        with_("gentool_waves/plugin.cpython-311-x86_64-linux-gnu.so", b"\x7fELF"),
        "has the module gentool_waves.plugin twice",
    ),
    "a module twice, in capitals": (
        with_("gentool_waves/Plugin/__init__.py", ""),
        "has the module gentool_waves.plugin twice",
    ),
    "data files": (with_("gentool_waves-1.2.0.data/scripts/pip", ""), "outside its package"),
    "a program": (
        with_(
            ENTRIES, "[gentool.methods]\nwaves = gentool_waves.plugin\n[console_scripts]\npip=a:b"
        ),
        "would install the program pip",
    ),
    "no plugin": (with_(ENTRIES, None), "is no gentool plugin"),
    "no sense": (with_(ENTRIES, "waves"), "entry_points.txt cannot be read"),
    "no value": (with_(ENTRIES, "[gentool.methods]\nwaves ="), "'waves' is no entry point"),
    "an entry point that seems to go on with the one before": (
        with_(ENTRIES, "[gentool.methods]\nwaves = gentool_waves.plugin:plugin\n    adain = evil"),
        "names evil, which is not in it",
    ),
    "a program in brackets within brackets": (
        with_(
            ENTRIES, "[gentool.methods]\nwaves = gentool_waves.plugin\n[[console_scripts]]\npip=a:b"
        ),
        "would install the program pip",
    ),
    "an entry point twice": (
        with_(ENTRIES, "[gentool.methods]\nwaves = evil\nwaves = gentool_waves.plugin"),
        "names 'waves' of 'gentool.methods' twice",
    ),
    "an entry point to nowhere": (
        with_(ENTRIES, "[gentool.methods]\nwaves = gentool_waves.card"),
        "names gentool_waves.card, which is not in it",
    ),
    "another name inside": (with_(METADATA_, GOOD.replace("-waves", "-adain")), "METADATA is of"),
    "two folders": (with_("x-1.dist-info/METADATA", GOOD), "has 2 .dist-info folders"),
    "an address": (
        with_(METADATA_, GOOD.replace("gentool-core>=0.1,<0.2", "x @ https://example.org/x.whl")),
        "an address instead of a version",
    ),
    "no requirement": (
        with_(METADATA_, GOOD.replace("gentool-core>=0.1,<0.2", "numpy")),
        "does not say which versions of gentool-core",
    ),
    "another core": (
        with_(METADATA_, GOOD.replace("<0.2", "<0.1")),
        "requires gentool-core>=0.1,<0.1, this is gentool-core",
    ),
    "no such module": (with_("gentool_waves/nets.py", None), "has no module gentool_waves.nets"),
    "weights left out": (
        with_("gentool_waves/weights/waves.safetensors", None),
        "lacks gentool_waves/weights/waves.safetensors",
    ),
    "other weights": (
        with_("gentool_waves/weights/waves.safetensors", wheels.weights(more="x")),
        "is not what the card of 'waves' says",
    ),
    "weights of another method": (
        with_("weights", wheels.weights("adain")),
        "holds no gentool weights of 'waves'",
    ),
    "weights cut short": (with_("weights", wheels.weights()[:-2]), "cut short"),
    "weights without terms": (card('"MIT", "waves"', '"", "waves"'), "gives no licence"),
    "card that must be run": (card('"made "', "input()"), "line 5: 'input()' is no literal"),
    "card that is no Python": (card("NOTE =", "NOTE = ="), "cannot read the Card"),
    "card of another name": (card('name="waves"', 'name="wave"'), "has no card named 'waves'"),
    "card of texts": (card("actions=(Action(", "actions=('x', Action("), "a tuple of at least one"),
    "card without end": (card('"made "', "NOTE"), "plugin.py"),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_refuses_contents_that_are_hostile_or_wrong(tmp_path, case):
    make, reason = CONTENTS[case]
    refused(write(tmp_path, make()), reason)


def test_refuses_metadata_of_another_distribution(tmp_path):
    path = write(tmp_path, files(), name="gentool_wave-1.2.0-py3-none-any.whl")
    refused(path, f"holds {INFO}, which is of another distribution")


def test_a_module_may_be_a_package(tmp_path):
    found = files(**{"gentool_waves/nets.py": None, "gentool_waves/nets/__init__.py": "NETS = 1"})
    wheel = checked(write(tmp_path, found))
    assert wheel.source("gentool_waves.nets") == ("gentool_waves/nets/__init__.py", "NETS = 1")


def test_refuses_a_file_that_was_changed_after_packing(tmp_path):
    path = write(tmp_path, files(), record=lambda text: text.replace("sha256=", "sha256=A", 1))
    refused(path, "gentool_waves/__init__.py is not what its RECORD says")
    path = write(tmp_path, files(), record=lambda text: text.replace("sha256=", "md5="))
    refused(path, "its RECORD has no hash of gentool_waves/__init__.py")
    path = write(tmp_path, files(), record=lambda text: text + "x" * 200_000 + ",,\n")
    refused(path, "not a sound wheel: field larger than")


def test_refuses_bombs_and_what_is_no_wheel(tmp_path):
    refused(
        write(tmp_path, files() | {"gentool_waves/zeros.txt": b"0" * (80 << 20)}), "unpacks from"
    )
    many = {f"gentool_waves/{i}.txt": b"" for i in range(20_001)}
    refused(write(tmp_path, files() | many), "more than 20,000")
    path = tmp_path / "gentool_waves-1.2.0-py3-none-any.whl"
    path.write_bytes(b"nothing")
    refused(path, "not a sound wheel")
    refused(write(tmp_path, files(), name="waves.whl"), "Invalid wheel filename")
    good = write(tmp_path, files()).read_bytes()
    path.write_bytes(good[:700] + bytes([good[700] ^ 255]) + good[701:])
    refused(path, "")
    path = write(tmp_path, files(), extra=[("gentool_waves/é.txt", b"")])
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xfe"))
    refused(path, "not a sound wheel: 'utf-8' codec")


def test_refuses_a_member_that_is_packed_by_another_method_and_damaged(tmp_path):
    packed = zipfile.ZipInfo("gentool_waves/text.txt")
    packed.compress_type = zipfile.ZIP_LZMA
    path = write(tmp_path, files(), extra=[(packed, bytes(range(256)))])
    data = bytearray(path.read_bytes())
    begin = data.index(b"gentool_waves/text.txt") + len("gentool_waves/text.txt")
    data[begin + 20 : begin + 60] = b"\xff" * 40
    path.write_bytes(data)
    refused(path, "not a sound wheel: Corrupt input data")


def test_metadata_and_records_that_make_no_sense_are_left_to_the_other_checks(tmp_path):
    found = files(**{METADATA_: GOOD.encode() + b"\xff", ENTRIES: ENTRY_OF_EXTENSION})
    found["gentool_waves/plugin.py"] = "from gentool import Record\nRecord('a', 'b', 3)\n"
    wheel = read_wheel(write(tmp_path, found))
    assert wheel.metadata.endswith("Water, in words.\n\ufffd")
    assert [record.name for record in records(wheel)] == ["a"]


ROW = """
schema = 1
[[plugin]]
name = "waves"
distribution = "gentool-waves"
methods = ["waves"]
summary = "Water."
tier = "community"
licence = "MIT"
gentool = ">=0.1,<0.2"
homepage = "https://example.org"
[[plugin.weights]]
name = "default"
file = "weights/waves.safetensors"
bytes = {bytes}
sha256 = "{sha256}"
licence = "MIT"
trained_on = "waves"
origin = "by hand"
"""


def row(path, **changes):
    entry = cards(read_wheel(path))[0].weights[0]
    text = ROW.replace("{bytes}", str(entry.bytes)).replace("{sha256}", entry.sha256)
    for before, after in changes.values():
        assert before in text
        text = text.replace(before, after)
    return registry.parse(text.encode(), "registry.toml")[0]


def test_a_wheel_must_be_what_its_registry_row_says(tmp_path):
    path = write(tmp_path, files())
    checked(path, row(path))
    licence = ('licence = "MIT"\ntrained', 'licence = "CC0"\ntrained')
    refused(path, "weights/waves.safetensors are not those that", row(path, a=licence))
    methods = ('["waves"]', '["waves", "adain"]')
    refused(path, "brings the methods waves, the registry", row(path, a=methods))


def test_the_command_says_it_in_one_line_and_exits_2(tmp_path, capsys):
    path = write(tmp_path, files(), extra=[("../evil.py", b"")])
    for words in (["install", str(path)], ["install", "--dry-run", str(path)]):
        assert invoke(words) == 2
        said = capsys.readouterr().err.splitlines()
        assert said[-1].startswith("gentool: error: gentool_waves-1.2.0")
        assert "nothing was installed" in said[-1]
    assert invoke(["check", str(path)]) == 1
    assert "could land anywhere" in capsys.readouterr().out


def test_cards_may_use_names_sums_and_f_strings():
    from gentool import literal

    text = PLUGIN.replace("{bytes}", "4").replace("{sha256}", "0" * 64)
    text = text.replace('NOTE = "made " + "by hand"', 'WHO: str = "me"\nNOTE = f"by {WHO}"')
    assert literal.cards(text)[0].weights[0].origin == "by me"
    for piece in ("{WHO!r}", "{WHO:>4}", "{WHO=}"):  # what Python makes of them is not "by me"
        with pytest.raises(PluginError, match="is no literal"):
            literal.cards(text.replace("{WHO}", piece))


def test_asking_for_pip_leaves_setuptools_alone():
    """The compiler of torch needs setuptools later in the same process."""
    code = (
        "from gentool.install import pip; pip.managed('install', 'x'); import setuptools;"
        "import distutils; print(distutils.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "_distutils" in done.stdout, done.stderr
