"""`gentool run` on real pictures: names, batches, provenance."""

import io
import json
import os
import shutil
import socket
import stat
import subprocess
import sys

import pytest
from PIL import Image
from skimage import data

import gentool
from gentool.cli.main import invoke
from gentool.weights import sha256


@pytest.fixture
def run(capsys, monkeypatch, tmp_path, pictures):
    """`gentool run adain` on the two pictures, in an empty folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def call(*flags, content=pictures / "content.png", style=pictures / "style.png"):
        line = ["run", "adain", "--content", content, "--style", style, *flags]
        code = invoke([str(word) for word in line])
        out, err = capsys.readouterr()
        return code, out, err

    call.folder = work
    return call


def files(folder):
    return sorted(p.name for p in folder.iterdir())


def size(path):
    with Image.open(path) as image:
        return image.size


def test_default_names_never_replace_a_file(run):
    for _ in range(3):
        code, out, _ = run()
        assert code == 0
    assert out == "content-style-adain-3.png\n"
    assert files(run.folder) == [
        "content-style-adain-2.png",
        "content-style-adain-3.png",
        "content-style-adain.png",
    ]


def test_an_output_file_is_replaced_and_a_folder_is_made(run):
    (run.folder / "o.jpg").write_bytes(b"old")
    assert run("-o", "o.jpg")[0] == 0
    assert size(run.folder / "o.jpg") == (96, 72)
    assert run("-o", "new/")[1].strip().endswith("content-style-adain.png")
    assert files(run.folder / "new") == ["content-style-adain.png"]


def test_every_content_is_painted_in_every_style(run, pictures):
    both = ["--content", pictures / "style.png", "--style", pictures / "content.png"]
    code, out, _ = run(*both, "-o", "all/")
    assert code == 0
    assert len(out.splitlines()) == 4
    assert len(files(run.folder / "all")) == 4


def test_a_folder_with_one_bad_file_goes_on_and_exits_1(run, pictures):
    (pictures / "broken.jpg").write_bytes(b"not a picture")
    (pictures / "notes.txt").write_text("no picture either, and not taken for one")
    code, out, err = run("-o", "all/", content=pictures, style=pictures / "style.png")
    assert code == 1
    assert files(run.folder / "all") == ["content-style-adain.png", "style-style-adain.png"]
    assert "broken.jpg" in err
    assert "1 input failed, 2 results written" in err
    assert "broken" not in out


def test_what_lies_deeper_is_told_of_and_can_be_reached(run, pictures):
    (pictures / "2023").mkdir()
    (pictures / "content.png").rename(pictures / "2023/x.png")
    code, _, err = run("-o", "all/", content=pictures, style=pictures / "style.png")
    assert code == 0
    hint = f"{pictures}: the pictures in it; '{pictures}/**/*' takes what is in its folders, too"
    assert f"gentool: {hint}\n" in err
    assert files(run.folder / "all") == ["style-style-adain.png"]
    code, _, err = run("-o", "deep/", content=f"{pictures}/**/*", style=pictures / "style.png")
    assert (code, "in its folders" in err) == (0, False)
    assert files(run.folder / "deep") == ["style-style-adain.png", "x-style-adain.png"]
    assert run("--quiet", "-o", "quiet/", content=pictures, style=pictures / "style.png")[2] == ""


def test_one_flag_takes_what_the_shell_expands(run, pictures):
    names = [pictures / "content.png", pictures / "style.png"]
    assert invoke(["run", "adain", "--content", *map(str, names), "--style", str(names[1])]) == 0
    assert len(files(run.folder)) == 2


def test_json_tells_what_was_made(run):
    code, out, err = run("--json", "--seed", "5")
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert report["outputs"] == ["content-style-adain.png"]
    assert report["seed"] == 5
    assert report["failures"] == []


def test_provenance_is_read_back_and_names_no_folder(run, pictures, capsys):
    run("--alpha", "0.5", "--seed", "7", "-o", "o.png")
    invoke(["info", "o.png", "--json"])
    made = json.loads(capsys.readouterr().out)["made_with"]
    assert made["options"]["alpha"] == 0.5
    assert made["options"]["content"] == "content.png"
    assert (made["method"], made["action"], made["seed"]) == ("adain", "stylize", 7)
    assert made["weights"]["sha256"] == gentool.load("adain").card.weights[0].sha256
    assert str(pictures) not in json.dumps(made)
    run("--no-metadata", "-o", "p.png")
    invoke(["info", "p.png", "--json"])
    assert json.loads(capsys.readouterr().out)["made_with"] is None


def test_a_config_file_gives_flags_and_typed_ones_win(run, capsys):
    config = run.folder / "c.toml"
    config.write_text('alpha = 0.25\n"style-size" = 64\nseed = 3\noutput = "c.png"\n')
    assert run("--config", config, "--alpha", "0.75")[0] == 0
    invoke(["info", "c.png", "--json"])
    made = json.loads(capsys.readouterr().out)["made_with"]
    assert made["options"]["alpha"] == 0.75
    assert made["options"]["style_size"] == 64
    assert made["seed"] == 3
    config.write_text('seed = "seven"\n')
    assert "--seed: must be a whole number" in run("--config", config)[2]
    config.write_text('quiet = "perhaps"\n')
    assert "--quiet: must be true or false" in run("--config", config)[2]
    config.write_text("alhpa = 1\n")
    code, _, err = run("--config", config)
    assert code == 2
    assert "no option 'alhpa'; did you mean 'alpha'?" in err


def test_an_animated_content_gives_its_first_frame_and_a_note(run, tmp_path):
    frames = [Image.new("RGB", (40, 24), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    code, _, err = run(content=tmp_path / "a.gif")
    assert code == 0
    assert "took the first of 2 frames" in err
    assert run("--quiet", content=tmp_path / "a.gif")[2] == ""


def test_an_output_link_keeps_pointing_where_it_did(run):
    (run.folder / "real.png").write_bytes(b"old")
    (run.folder / "link.png").symlink_to("real.png")
    assert run("-o", "link.png")[0] == 0
    assert (run.folder / "link.png").is_symlink()
    assert size(run.folder / "real.png") == (96, 72)


def test_a_link_that_goes_round_in_a_circle_becomes_the_result(run):
    (run.folder / "a.png").symlink_to("b.png")
    (run.folder / "b.png").symlink_to("a.png")
    assert run("-o", "a.png")[0] == 0
    assert size(run.folder / "a.png") == (96, 72)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none")
def test_a_pipe_that_is_the_output_is_written_into_and_stays(run):
    os.mkfifo("pipe.png")
    end = os.open("pipe.png", os.O_RDWR | os.O_NONBLOCK)
    assert run("-o", "pipe.png")[0] == 0
    data = os.read(end, 2**16)
    os.close(end)
    assert size(io.BytesIO(data)) == (96, 72)
    assert stat.S_ISFIFO(os.stat("pipe.png").st_mode)
    assert files(run.folder) == ["pipe.png"]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="Windows has none")
def test_a_socket_that_is_the_output_stays(run):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        code, _, err = run("-o", "socket.png")
    assert code == 2
    assert "socket.png: cannot write" in err
    assert stat.S_ISSOCK(os.stat("socket.png").st_mode)
    assert files(run.folder) == ["socket.png"]


def test_the_weights_that_are_used_are_not_replaced(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packaged = gentool.load("vae").weights
    (tmp_path / "run").mkdir()
    for name in ("mine.safetensors", "run/weights.safetensors"):
        shutil.copy(packaged, tmp_path / name)
    Image.fromarray(data.coffee()[:64, :64]).save("a.png")
    line = ["run", "vae", "encode", "--image", "a.png", "--weights"]
    for weights, output in (("mine.safetensors",) * 2, ("run", "run/weights.safetensors")):
        assert invoke([*line, weights, "-o", output]) == 2
        assert "is an input; results never replace one" in capsys.readouterr().err
        assert sha256(tmp_path / output) == sha256(packaged)


def test_a_file_whose_name_is_no_text_is_as_good_as_any(run, pictures):
    odd = pictures / os.fsdecode(b"caf\xe9.png")
    (pictures / "content.png").rename(odd)
    code, out, err = run(content=odd)
    assert code == 0, err
    assert out == "caf-style-adain.png\n"
    shown = subprocess.run(
        [sys.executable, "-m", "gentool", "info", odd],
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert "file: caf\\udce9.png" in shown.stdout


def test_provenance_tells_the_precision_of_each_run(pictures):
    method = gentool.load("adain", precision="bf16", seed=0)
    fresh = method.context()
    made = method.stylize(content=pictures / "content.png", style=pictures / "style.png")
    assert made.provenance[0]["precision"] == "bf16"
    assert fresh.compute.used == "fp32"  # that run computed nothing


def test_provenance_names_the_weights_that_were_read(pictures, tmp_path):
    path = tmp_path / "w.safetensors"
    shutil.copy(gentool.load("adain").weights, path)
    method = gentool.load("adain", weights=path, seed=0)
    used = sha256(path)
    context, options = method.context(), {"content": pictures / "content.png"}
    options = method.options(**options, style=pictures / "style.png")
    for artifact in method.stream(None, options, context):
        path.write_bytes(b"a training that goes on has replaced it")
        told = method.provenance(None, options, context, artifact)
        assert told["weights"] == {"file": "w.safetensors", "sha256": used}
