"""The command line as people use it: output, exit codes, one line for each mistake."""

import importlib.metadata
import io
import json
import os
import struct
import subprocess
import sys
import zlib

import pytest
from packaging.requirements import Requirement
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from gentool import __version__
from gentool.cli import doctor
from gentool.cli.main import invoke
from gentool.cli.talk import Talk, note, printable, table
from gentool.cli.watch import Live


@pytest.fixture
def gentool(capsys, monkeypatch, tmp_path):
    """Run a command line in an empty folder: (exit code, stdout, stderr)."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def call(*arguments):
        code = invoke([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def one_line(result, *parts):
    """Assert that a call failed as a user's mistake: exit 2 and one line that holds ``parts``."""
    code, out, err = result
    assert code == 2, err
    assert out == ""
    assert err.startswith("gentool: error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert str(part) in err


def test_version_and_help(gentool):
    assert gentool("--version")[1] == f"gentool {__version__}\n"
    code, out, _ = gentool("--help")
    assert code == 0
    for name in ("list", "run", "train", "info", "doctor", "schema", "completion"):
        assert f"  {name} " in out


def test_python_dash_m_works():
    done = subprocess.run(
        [sys.executable, "-m", "gentool", "--version"], capture_output=True, text=True, check=True
    )
    assert __version__ in done.stdout


def test_without_arguments_shows_the_help_and_exits_2(gentool):
    code, _, err = gentool()
    assert code == 2
    assert "Commands:" in err


def test_list_is_tab_separated_when_piped(gentool):
    _, out, _ = gentool("list")
    row = next(line for line in out.splitlines() if line.startswith("adain\t"))
    assert row.split("\t")[1:3] == ["method", "ok"]


def test_list_json_has_everything(gentool):
    rows = {(row["kind"], row["name"]): row for row in json.loads(gentool("list", "--json")[1])}
    assert rows["method", "adain"]["actions"] == ["stylize", "interpolate"]
    assert rows["method", "adain"]["weights"] == ["default"]
    assert rows["method", "perceptual"]["actions"] == []
    assert ("extension", "perceptual") in rows


def test_doctor_finds_nothing_wrong_here(gentool, monkeypatch):
    code, out, err = gentool("doctor")
    assert code == 0, out + err
    assert "weights adain/default\tok" in out
    needed = map(Requirement, importlib.metadata.requires("gentool-core"))
    names = {r.name for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})}
    assert {"psutil", "torch"} <= names <= {line.split("\t")[0] for line in out.splitlines()}
    monkeypatch.setattr(doctor, "CORE", "gentool-is-not-there")  # a bare source tree
    assert doctor._required() == []


def test_train_lists_only_what_can_be_trained(gentool):
    listed = {line.split()[0] for line in gentool("train", "--help")[1].splitlines() if line}
    assert "adain" in listed
    assert "gatys" not in listed


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is another error there")
def test_a_reader_that_has_gone_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    strict = ["-W", "error::DeprecationWarning:gentool.cli.main"]
    line = [sys.executable, *strict, "-m", "gentool", "list"]
    done = subprocess.run(line, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_schema_is_json_with_ranges(gentool):
    schema = json.loads(gentool("schema", "adain")[1])
    assert schema["properties"]["alpha"]["maximum"] == 1
    assert schema["required"] == ["content", "style"]
    assert "teacher" in json.loads(gentool("schema", "adain", "train")[1])["properties"]


@pytest.mark.parametrize("line", ["run vae", "run vae sample", "run vae encode", "train vae"])
def test_help_names_what_was_typed(gentool, line):
    assert gentool(*line.split(), "--help")[1].startswith(f"Usage: gentool {line} [OPTIONS]\n")


@pytest.mark.skipif(sys.platform == "win32", reason="the shell's >&- is closed otherwise there")
@pytest.mark.parametrize("closed", ["2>&-", "2>&- >&-"])
def test_nobody_has_to_listen_to_the_talk(pictures, tmp_path, closed):
    line = f"'{sys.executable}' -m gentool run adain --content content.png style.png"
    done = subprocess.run(
        ["sh", "-c", f"{line} --style style.png -o '{tmp_path}/o/' {closed}"],
        cwd=pictures,
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert len(list((tmp_path / "o").iterdir())) == 2


MISTAKES = [
    ("rnu", "there is no command 'rnu'; did you mean 'run'?"),
    ("adain", "did you mean 'gentool run adain'?"),
    ("run adian", "there is no method 'adian'; did you mean 'adain'?"),
    ("run --alpha 1 adain", "no such option"),
    ("run adain stylise", "adain has no action 'stylise'; did you mean 'stylize'?"),
    ("run adain --content C", "--style: is required"),
    (
        "run adain --content C --style S --alpah 1",
        "--alpah: no such option; did you mean '--alpha'",
    ),
    ("run adain --content C --style S --alpha 7", "--alpha: must be between 0 and 1, got 7"),
    ("run adain --content C --style S --alpha nan", "--alpha: must be a number between 0 and 1"),
    ("run adain --content C --style S --alpha x", "got 'x'"),
    ("run adain --content C --style S --content-size 1.5", "whole number"),
    (
        "run adain --content C --style S --style-size 70000",
        "--style-size: must be between 0 and 65536, got 70000",
    ),
    ("run adain --content C --style S --preserve-color luma", "or histogram, got 'luma'"),
    ("run adain --content C --style S --device cuda:9", "no CUDA device; try --device auto"),
    ("run adain --content C --style S --device tpu", "--device: must be auto, cpu, mps"),
    (
        "run adain --content C --style S --precision fp8",
        "--precision: must be auto, fp32, bf16 or fp16, got 'fp8'",
    ),
    ("run adain --content C --style S --threads 0", "--threads: must be between 1 and 1024, got 0"),
    ("run adain --content C --style S --seed -1", "--seed: must be at least 0"),
    ("run adain --content  --style S", "--content: the path is empty"),
    ("run adain --content C --style S --styl-size 4", "did you mean '--style-size'"),
    ("run adain --content C --style S --weights ", "--weights"),
    (
        "run adain --content C --style S --seed x",
        "--seed: must be a whole number at least 0, got 'x'",
    ),
    ("run adain --content C --style S --weights monet", "no weights 'monet'"),
    ("run adain --content C --style S --weights no/such.safetensors", "no such weights file"),
    ("run adain --content C --style S -o no/such/x.png", "there is no folder"),
    ("run adain --content C --style S -o x.gif", "must end in .png"),
    ("run adain --content C --style S -o x", "must end in .png"),
    ("run adain --content C --style S -o C", "is an input"),
    ("run adain --content C --style S --config no.toml", "--config no.toml"),
    ("run adain --content C --style S --config ", "--config: the path is empty"),
    ("new foo ", "folder: the path is empty"),
    ("report ", "run: the path is empty"),
    ("run adain --content C --style S extra", "--style: no such file: extra"),
    ("run adain --content no.png --style S", "--content: no such file: no.png"),
    ("run adain --content C --style *.jpg", "--style: no picture matches *.jpg"),
    ("info nothing", "there is no method 'nothing'"),
    ("info nothing.png", "nothing.png: no such file"),
    ("schema adain paint", "adain has no action 'paint'"),
    ("train adain", "is required"),
    ("train adain stylize", "unexpected 'stylize'"),
]


@pytest.mark.parametrize(("line", "reason"), MISTAKES)
def test_mistakes_are_one_line_and_leave_nothing(gentool, pictures, tmp_path, line, reason):
    words = {"C": pictures / "content.png", "S": pictures / "style.png"}
    before = (pictures / "content.png").read_bytes()
    one_line(gentool(*(words.get(w, w) for w in line.split(" "))), reason)
    assert not list((tmp_path / "work").iterdir())
    assert (pictures / "content.png").read_bytes() == before


def bomb(side=30_000):
    """A PNG whose header promises side x side pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def jpeg():
    import io

    buffer = io.BytesIO()
    Image.effect_noise((200, 200), 60).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


BAD_PICTURES = {
    "empty.png": (b"", "empty (0 bytes)"),
    "text.png": (b"hello, I am a text", "not a picture"),
    "cut.jpg": (jpeg()[:3000], "truncated"),
    "bomb.png": (bomb(), "--allow-large"),
}


@pytest.mark.parametrize("name", BAD_PICTURES)
@pytest.mark.parametrize("role", ["content", "style"])
def test_bad_pictures_are_one_line_and_leave_nothing(gentool, pictures, tmp_path, name, role):
    data, reason = BAD_PICTURES[name]
    (pictures / name).write_bytes(data)
    given = {"content": pictures / "content.png", "style": pictures / "style.png"}
    given[role] = pictures / name
    result = gentool("run", "adain", "--content", given["content"], "--style", given["style"])
    one_line(result, name, reason)
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize("change", ["tampered", "cut", "pickle", "foreign", "text"])
def test_bad_weights_are_one_line(gentool, pictures, tmp_path, change):
    from gentool import plugins, weights

    good = weights.packaged(plugins.card("adain"))[0].read_bytes()
    if change == "tampered":  # a config that does not fit the tensors
        data = good.replace(b'\\"width4\\": 48', b'\\"width4\\": 40')
        assert data != good
    elif change == "cut":
        data = good[:-100]
    elif change == "pickle":
        import torch

        torch.save({"a": torch.zeros(2)}, tmp_path / "bad.safetensors")
        data = (tmp_path / "bad.safetensors").read_bytes()
    elif change == "foreign":
        data = good.replace(b'"method":"adain"', b'"method":"other"')
        assert data != good
    else:
        data = b"hello"
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(data)
    line = ("--content", pictures / "content.png", "--style", pictures / "style.png")
    one_line(gentool("run", "adain", *line, "--weights", bad), "bad.safetensors")


def test_a_tampered_packaged_set_is_refused(pictures, tmp_path, monkeypatch):
    import dataclasses

    from gentool import WeightsError, plugins
    from gentool.runner import Method

    card = plugins.card("adain")
    entry = dataclasses.replace(card.weights[0], sha256="0" * 64)
    method = Method(dataclasses.replace(card, weights=(entry,)))
    with pytest.raises(WeightsError, match="sha256 differs"):
        method.stylize(content=pictures / "content.png", style=pictures / "style.png")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind root")
def test_a_read_only_folder_is_one_line(gentool, pictures, tmp_path):
    (tmp_path / "work").chmod(0o500)
    line = ("--content", pictures / "content.png", "--style", pictures / "style.png")
    one_line(gentool("run", "adain", *line), "cannot write there")


def test_a_full_disk_is_one_line_and_leaves_nothing(gentool, pictures, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    line = ("--content", pictures / "content.png", "--style", pictures / "style.png")
    one_line(gentool("run", "adain", *line), "No space left on device")
    assert not list((tmp_path / "work").iterdir())


def test_a_bug_keeps_its_traceback_and_exits_70(gentool, pictures, monkeypatch):
    import gentool_adain.actions

    monkeypatch.setattr(gentool_adain.actions, "Painting", lambda *_: 1 / 0)
    line = ("--content", pictures / "content.png", "--style", pictures / "style.png")
    code, _, err = gentool("run", "adain", *line)
    assert code == 70
    assert "ZeroDivisionError" in err
    assert "please report it" in err


def test_interrupted_exits_130(gentool, pictures, monkeypatch):
    import gentool_adain.actions

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(gentool_adain.actions, "Painting", interrupt)
    line = ("--content", pictures / "content.png", "--style", pictures / "style.png")
    assert gentool("run", "adain", *line)[0] == 130


def test_debug_shows_the_traceback_of_a_mistake(gentool, pictures):
    code, _, err = gentool("run", "adain", "--content", pictures, "--style", "no.png", "--debug")
    assert code == 2
    assert "Traceback" in err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_table_shows_what_looks_like_markup(tmp_path):
    import pty

    terminal, shown = pty.openpty()
    code = "from gentool.cli.talk import table; table(['a'], [['gentool-x[train]'], ['a [/x] b']])"
    subprocess.run([sys.executable, "-c", code], stdout=shown, check=True)
    os.close(shown)
    seen = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert "gentool-x[train]" in seen
    assert "a [/x] b" in seen


def test_strangers_text_cannot_control_the_terminal():
    hostile = "\x1b]0;owned\x07 \u202etxt.exe\nlicence: MIT"
    assert printable(hostile) == r"\x1b]0;owned\x07 \u202etxt.exe\nlicence: MIT"
    for text in ("Screenshot 3.14\u202fPM", "写真\u3000集", "10\xa0€", "👩\u200d🎨"):
        assert printable(text) == text


HOSTILE = "\x1b]0;owned\x07\n\u202etxt.exe"


def test_strangers_text_in_errors_and_notes_cannot_either(gentool, pictures, tmp_path, capsys):
    header = {"__metadata__": {"format": "gentool-1", "method": HOSTILE, "config": "{}"}}
    raw = json.dumps(header).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(raw)) + raw)
    line = ("--content", pictures / "content.png", "--style", pictures / "style.png")
    _, _, err = gentool("run", "adain", *line, "--weights", path)
    assert r"weights of '\x1b]0;owned\x07 \u202etxt.exe', not of 'adain'" in err
    talk, shown = Talk(), io.StringIO()
    for said in (note, talk.note, talk.fail):
        said(HOSTILE)
    talk._bar = Progress(console=Console(file=shown, force_terminal=True, width=200))
    talk.note(HOSTILE)
    talk.fail(HOSTILE)
    Live(talk._bar.console).note(HOSTILE)
    lines = (capsys.readouterr().err + shown.getvalue()).splitlines()
    assert len(lines) == 6
    assert all(line.endswith(r"\x1b]0;owned\x07\n\u202etxt.exe") for line in lines)


def test_a_piped_table_has_a_row_a_line(capsys):
    table(["a", "b"], [["one\ntwo", "three\tfour"], ["five", ""]])
    assert capsys.readouterr().out == "one two\tthree four\nfive\t\n"
