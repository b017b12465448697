"""What becomes of results: names, companions, readers that go away, disks that fill up."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import gentool
from gentool import OutputError, UsageError, artifacts, encoding
from gentool.cli.main import invoke
from gentool.cli.run import _as_json
from gentool.output import Output, _stem


def files(folder):
    return sorted(p.name for p in folder.iterdir())


def test_what_an_output_may_end_in_is_what_can_be_encoded():
    from gentool.cards import PICTURE_SUFFIXES

    for suffix in PICTURE_SUFFIXES:
        assert encoding.encode(Image.new("RGB", (4, 4)), suffix)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_results_reach_a_pipe_while_the_terminal_shows_a_bar(pictures, tmp_path):
    import pty

    terminal, shown = pty.openpty()
    line = ["run", "adain", "--content", pictures, "--style", pictures / "style.png", "-o", "all/"]
    done = subprocess.run(
        [sys.executable, "-m", "gentool", *line],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=shown,
        env=os.environ | {"TERM": "xterm"},
        check=True,
    )
    os.close(shown)
    seen = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert len(done.stdout.splitlines()) == 2
    assert "stylize" in seen
    assert "2/2" in seen


def test_a_name_is_cut_by_bytes():
    assert len(_stem("\u98ce" * 200).encode()) <= 180
    assert _stem("a/b:c") == "a_b_c"


def test_a_folder_on_a_drive_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda _: False)  # not even Z:/
    with pytest.raises(OutputError, match="new: cannot write there: No such file"):
        Output(f"{tmp_path}/new/")


def test_an_input_whose_name_no_system_takes_is_not_the_output(tmp_path):
    (tmp_path / "o.png").write_text("of a run before")
    assert Output(str(tmp_path / "o.png"), [tmp_path / ("a" * 300)]).file == tmp_path / "o.png"


def figures(name):
    return artifacts.Figures({"psnr": 1.0}, name=name, part="figures")


def test_each_result_keeps_its_own_companions(tmp_path):
    output = Output(str(tmp_path / "out") + os.sep)
    picture = artifacts.Image(torch.zeros(3, 4, 4), name="photo")
    for _ in range(2):
        output.save(figures("photo"), None)
        output.save(picture, None)
        output.save(figures("photo"), None)
        output.save(figures("photo"), None)  # replaces that of the same result
    assert files(tmp_path / "out") == [
        "photo-2.png", "photo-figures-2.json", "photo-figures-3.json", "photo-figures.json",
        "photo.png",
    ]  # fmt: skip


def test_a_companion_has_the_number_of_its_result(tmp_path):
    (tmp_path / "photo.png").write_text("of another run, without companions")
    output = Output(str(tmp_path))
    output.save(artifacts.Image(torch.zeros(3, 4, 4), name="photo"), None)
    output.save(figures("photo"), None)
    assert files(tmp_path) == ["photo-2-figures.json", "photo-2.png", "photo.png"]


def test_what_comes_before_its_result_is_not_called_like_the_one_before(tmp_path):
    preview = artifacts.Image(torch.zeros(3, 4, 4), name="photo", part="preview")
    for _ in range(2):
        output = Output(str(tmp_path))
        for _ in range(2):
            output.save(preview, None)
            output.save(artifacts.Image(torch.zeros(3, 4, 4), name="photo"), None)
            output.save(figures("photo"), None)
    numbers = ("", "-2", "-3", "-4")
    assert set(files(tmp_path)) == {
        *(f"photo{n}.png" for n in numbers),
        *(f"photo{n}-figures.json" for n in numbers),
        *(f"photo-preview{n}.png" for n in numbers),
    }


def test_a_strangers_file_is_no_companion_of_a_later_result(tmp_path):
    (tmp_path / "o.png").write_text("of a run before")
    (tmp_path / "o-2-figures.json").write_text("notes")
    output = Output(str(tmp_path / "o.png"))
    for _ in range(2):
        output.save(artifacts.Image(torch.zeros(3, 4, 4), name="photo"), None)
    output.save(figures("photo"), None)
    assert (tmp_path / "o-2-figures.json").read_text() == "notes"
    assert "o-2-figures-2.json" in files(tmp_path)


def test_an_output_file_is_replaced_with_its_companions(tmp_path):
    for _ in range(2):
        output = Output(str(tmp_path / "o.png"))
        output.save(artifacts.Image(torch.zeros(3, 4, 4), name="photo"), None)
        output.save(figures("photo"), None)
    assert files(tmp_path) == ["o-figures.json", "o.png"]


def test_a_new_output_file_replaces_nothing_that_happens_to_be_called_like_its_companion(tmp_path):
    (tmp_path / "o-figures.json").write_text("notes")
    output = Output(str(tmp_path / "o.png"))
    output.save(figures("photo"), None)
    output.save(artifacts.Image(torch.zeros(3, 4, 4), name="photo"), None)
    assert files(tmp_path) == ["o-figures-2.json", "o-figures.json", "o.png"]
    assert (tmp_path / "o-figures.json").read_text() == "notes"


def test_an_input_is_no_companion_to_replace(tmp_path):
    first = tmp_path / "o-figures.json"
    first.write_text("an input")
    output = Output(str(tmp_path / "o.png"), [first])
    for _ in range(2):
        output.save(figures("photo"), None)
    assert first.read_text() == "an input"
    assert files(tmp_path) == ["o-figures-2.json", "o-figures.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is another error there")
def test_a_reader_that_has_gone_stops_no_batch(pictures, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    line = [sys.executable, "-m", "gentool", "run", "adain", "--content", pictures, "--style"]
    line += [pictures / "style.png", "--output", f"{tmp_path}/out/", "--seed", "0"]
    done = subprocess.run(line, stdout=writer, stderr=writer, check=False)
    os.close(writer)
    assert done.returncode == 0
    assert len(files(tmp_path / "out")) == len(files(pictures))


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is another error there")
def test_a_batch_that_failed_in_part_says_so_though_nobody_reads_it(pictures, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    reader, writer = os.pipe()
    os.close(reader)
    line = [sys.executable, "-m", "gentool", "run", "adain", "--style", pictures / "style.png"]
    line += ["--content", tmp_path / "bad.png", pictures / "content.png", "-o", f"{tmp_path}/out/"]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=writer, check=False)
    os.close(writer)
    assert done.returncode == 1
    assert len(files(tmp_path / "out")) == 1


def test_json_tells_of_what_was_made_before_an_error(capsys):
    context = gentool.load("adain", seed=3, device="cpu").context()
    with pytest.raises(KeyboardInterrupt), _as_json([Path("a.png")], context):
        raise KeyboardInterrupt
    assert json.loads(capsys.readouterr().out)["outputs"] == ["a.png"]
    with pytest.raises(UsageError), _as_json([], context):
        raise UsageError("nothing was made")
    assert capsys.readouterr().out == ""


LIMITED = """
import resource, sys
from gentool.cli.main import invoke
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
sys.exit(invoke(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_result_that_cannot_be_written_does_not_end_the_batch(pictures, tmp_path):
    large = torch.rand(3, 300, 300).mul(255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(large).save(pictures / "a-large.png")
    contents = [pictures / "a-large.png", pictures / "content.png"]
    line = ["run", "adain", "--content", *contents, "--style", pictures / "style.png", "-o", "all/"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *line],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert files(tmp_path / "all") == ["content-style-adain.png"]
    assert "a-large-style-adain.png: cannot write" in done.stderr
    assert "1 input failed, 1 result written" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_companions_of_results_that_cannot_be_written_are_not_written_either(pictures, tmp_path):
    large = torch.rand(3, 400, 400).mul(255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(large).save(pictures / "large.png")
    inputs = [pictures / "large.png", pictures / "content.png"]
    line = ["run", "cnn-ae", "reconstruct", "--input", *inputs, "--format", "bmp", "-o", "all/"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *line, "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    wanted = ["content-cnn-ae-figures.json", "content-cnn-ae.bmp"]
    assert files(tmp_path / "all") == wanted
    assert "1 input failed, 1 result written" in done.stderr
    report = json.loads(done.stdout)
    assert sorted(Path(path).name for path in report["outputs"]) == wanted
    assert [failure["input"] for failure in report["failures"]] == ["large.png"]


def test_only_what_comes_behind_a_result_is_alone_without_it(tmp_path):
    output = Output(str(tmp_path) + os.sep)
    picture = artifacts.Image(torch.zeros(3, 4, 4), name="photo")
    wrong = artifacts.Image(torch.zeros(3, 4, 4), torch.ones(1, 2, 2), name="photo")
    preview = artifacts.Image(torch.zeros(3, 4, 4), name="photo", part="preview")
    output.save(preview, None)
    with pytest.raises(OutputError, match=r"\(3, 4, 4\) cannot have an alpha \(1, 2, 2\)"):
        output.save(wrong, None)
    assert output.alone(figures("photo"))
    assert not output.alone(preview)  # of the next result of that name
    output.save(preview, None)
    output.save(picture, None)
    assert not output.alone(figures("photo"))


@pytest.mark.skipif(sys.platform == "win32", reason="the shell's >&- is closed otherwise there")
def test_without_an_output_nothing_is_printed_and_all_is_made(pictures, tmp_path):
    line = f"'{sys.executable}' -m gentool run adain --content content.png --style style.png "
    done = subprocess.run(
        ["sh", "-c", f"{line} -o '{tmp_path}/o.png' >&-"],
        cwd=pictures,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.png").exists()


def test_a_folder_of_results_may_have_a_format_of_its_own(pictures, tmp_path, capsys):
    line = ["run", "adain", "--content", str(pictures), "--style", str(pictures / "style.png")]
    assert invoke([*line, "--format", "JPG", "-o", f"{tmp_path}/out/"]) == 0
    made = [*(tmp_path / "out").iterdir()]
    assert len(made) == 2
    for path in made:
        with Image.open(path) as image:
            assert (path.suffix, image.format) == (".jpg", "JPEG")


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("jpgg", r"--format jpgg: must be png or jpg .*did you mean 'jpg'"),
        ("gif", "--format gif: must be png or jpg"),
    ],
)
def test_a_format_that_cannot_be_is_refused_before_the_work(
    pictures, tmp_path, monkeypatch, capsys, word, reason
):
    monkeypatch.chdir(tmp_path)
    style = str(pictures / "style.png")
    line = ["run", "adain", "--content", style, "--style", style, "--format", word]
    assert invoke(line) == 2
    assert re.search(reason, capsys.readouterr().err)
    assert not [*tmp_path.glob("*adain*")]


def test_companions_keep_their_format(tmp_path):
    output = Output(f"{tmp_path}/", label="-x", chosen="webp")
    output.save(artifacts.Image(torch.rand(3, 8, 8), name="a"), None)
    output.save(artifacts.Figures({"psnr": 1.0}, "a", part="figures"), None)
    output.save(artifacts.Figures({"psnr": 1.0}, "all"), None)  # no picture
    assert files(tmp_path) == ["a-x-figures.json", "a-x.webp", "all-x.json"]


def test_a_file_that_is_named_keeps_its_format(tmp_path):
    output = Output(f"{tmp_path}/b.png", chosen="jpg")  # of a --config, say
    output.save(artifacts.Image(torch.rand(3, 8, 8), name="a"), None)
    assert files(tmp_path) == ["b.png"]
