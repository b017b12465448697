"""gentool info: what a file is, by its own bytes, and how gentool made it."""

import json
import os

import pytest
import torch

from gentool import artifacts, weights
from gentool.cli.main import invoke

from .tiny import TinyModel


@pytest.fixture
def info(capsys):
    """Facts about a file, as JSON."""

    def call(path):
        assert invoke(["info", str(path), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return call


def test_a_weights_file_does_not_say_what_was_found_of_it(info, tmp_path):
    path = tmp_path / "W.SAFETENSORS"
    said = {"sha256": "0" * 64, "bytes": "1", "file": "other", "parameters": "9", "data": "mine"}
    weights.save(path, TinyModel(), "tiny", **said)
    found = info(path)
    assert (found["file"], found["bytes"]) == (path.name, path.stat().st_size)
    assert found["sha256"] == weights.sha256(path)
    assert (found["parameters"], found["data"]) == (2, "mine")


def test_a_recipe_is_told_flag_by_flag(info, tmp_path, capsys):
    for recipe, found in (('{"steps": 5, "vae: beta": null}', {"steps": 5, "vae: beta": None}),
                          ("by hand", "by hand")):  # fmt: skip
        weights.save(tmp_path / "w.safetensors", TinyModel(), "tiny", recipe=recipe)
        assert info(tmp_path / "w.safetensors")["recipe"] == found
    weights.save(tmp_path / "w.safetensors", TinyModel(), "tiny", recipe='{"steps": 5}')
    assert invoke(["info", str(tmp_path / "w.safetensors")]) == 0
    assert "recipe:\n  steps: 5\n" in capsys.readouterr().out


def test_a_method_tells_what_its_weights_know(info):
    (first, second) = info("gan")["weights"]
    assert "airplane" in first["config"]["classes"]
    assert "dress" in second["config"]["classes"]


def test_figures_tell_how_they_were_made(info, tmp_path):
    path = tmp_path / "r-figures.json"
    made = {"gentool": "0.1.0", "method": "vae"}
    path.write_bytes(artifacts.Figures({"psnr": 31.5}).encode(".json", made))
    assert info(path) == {
        "file": path.name,
        "format": "JSON",
        "figures": {"psnr": 31.5},
        "made_with": made,
    }


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.json", b"{", "cannot read the figures"),
        ("a.json", b"[1]", "holds no figures by name"),
        ("a.gta", b"GTA", "; .gta files are made by gentool run cnn-ae compress"),
        ("a.xyz", b"?", "none of the pictures, animations, figures and weights that info knows"),
        ("a.png", b"?", "not a picture that Pillow can read"),
    ],
)
def test_what_info_cannot_read_is_one_line(capsys, tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    assert invoke(["info", str(tmp_path / name)]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_picture_may_be_called_anything(info, tmp_path):
    artifacts.Image(torch.zeros(3, 4, 5)).save(tmp_path / "a.png")
    os.rename(tmp_path / "a.png", tmp_path / "a.dat")
    assert info(tmp_path / "a.dat")["width"] == 5


def test_an_empty_name_is_no_file(capsys):
    assert invoke(["info", ""]) == 2
    assert "the name is empty" in capsys.readouterr().err
