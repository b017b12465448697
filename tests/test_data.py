"""Where pictures of a training come from: folders, archives, labels, and `gentool data inspect`."""

import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from gentool import TrainingError
from gentool.cli.main import invoke
from gentool.compute import choose
from gentool.training import Pictures, Plan, Setup, held_out, sample_held_out
from gentool.training.data.batch import Draw
from gentool.training.data.inspect import contact_sheet
from gentool.training.data.sources import find

from .samples import write

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "data")


def pack(folder, path):
    """The folder below ``train/`` in an archive of that name, a text file beside it."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*.png")):
                archive.write(file, f"train/{file.relative_to(folder).as_posix()}")
            archive.writestr("train/readme.txt", "no picture")
        return path
    with tarfile.open(path, f"w:{path.suffix[1:] if path.suffix != '.tar' else ''}") as archive:
        archive.add(folder, "train")
        archive.add(__file__, "train/readme.txt")
    return path


@pytest.mark.parametrize("name", ["p.tar", "p.tar.gz", "p.tar.xz", "p.tar.bz2", "p.zip"])
def test_archives_give_what_the_folder_gives(folder, tmp_path, name):
    archive = pack(folder, tmp_path / name)
    plain, packed = find(folder), find(f"{archive}:train/")
    assert packed.names == [f"train/{n}" for n in plain.names]
    for i in (0, 7, 39):
        assert packed.read(i) == plain.read(i)
    assert find(f"{archive}:train/b/").names == [f"train/{n}" for n in plain.names if n[0] == "b"]


def test_archives_with_odd_names_links_and_doubles(folder, tmp_path):
    picture = folder / "a/00.png"
    with tarfile.open(tmp_path / "odd.tar", "w") as archive:
        for name in ("./a/1.png", "../b/2.png", "/c/3.png", "a/._1.png"):
            archive.add(picture, name)
            archive.members[-1].name = name
        link = tarfile.TarInfo("d/4.png")
        link.type, link.linkname = tarfile.LNKTYPE, "./a/1.png"
        archive.addfile(link)
        for name, target in (("d/5.png", "6.png"), ("d/6.png", "../c/3.png"), ("e/7.png", "7.png")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
    odd = find(tmp_path / "odd.tar")
    assert odd.names == ["a/1.png", "b/2.png", "c/3.png", "d/4.png", "d/5.png", "d/6.png"]
    assert all(odd.read(i) == picture.read_bytes() for i in range(6))
    assert find(f"{tmp_path}/odd.tar:./a/").names == ["a/1.png"]


def test_what_systems_leave_beside_pictures_is_passed_over(folder, tmp_path):
    before = find(folder).names
    for name in (".thumbnails", "a/.Trash", "b/@eaDir", "__MACOSX/a"):
        (folder / name).mkdir(parents=True)
        shutil.copy(folder / "a/00.png", folder / name / "00.png")
    assert find(folder).names == before
    archive = pack(folder, tmp_path / "p.zip")
    assert find(f"{archive}:train/").names == [f"train/{name}" for name in before]
    hidden = tmp_path / ".hidden"
    shutil.copytree(folder, hidden)
    assert find(hidden).names == before  # asked for by its name, it is not hidden


@pytest.mark.skipif(os.name == "nt", reason="Windows asks for rights to make links")
def test_linked_folders_are_followed_once(folder, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links/train").symlink_to(folder)
    (folder / "a/round").symlink_to(folder)
    assert len(find(tmp_path / "links").names) == 40


def test_labels_are_the_first_folder_after_the_prefix(folder, tmp_path):
    archive = pack(folder, tmp_path / "p.tar")
    for paths in ([folder], [f"{archive}:train/"]):
        pictures = Pictures(paths, split="all")
        assert pictures.classes == ["a", "b"]
        batch, _ = pictures.batch(Draw([0, 1, 20, 21], 0))
        assert batch.labels.tolist() == [0, 0, 1, 1]
    assert Pictures([archive], split="all").classes == ["train"]
    for name in folder.glob("b/*.png"):  # one class has no picture that is held out
        if held_out(f"b/{name.name}"):
            name.unlink()
    splits = [Pictures([folder], split=split) for split in ("training", "held-out", "all")]
    assert [s.classes for s in splits] == [["a", "b"]] * 3
    assert set(splits[1].labels.tolist()) == {0}
    (folder / "loose.png").write_bytes((folder / "a/00.png").read_bytes())
    loose = Pictures([folder], split="all")
    assert loose.classes == []
    assert set(loose.labels.tolist()) == {-1}


def test_one_picture_in_sixteen_is_kept_for_validation(folder):
    training, validation = Pictures([folder]), Pictures([folder], split="held-out")
    assert len(training) + len(validation) == len(Pictures([folder], split="all")) == 40
    names = [validation.name(i) for i in range(len(validation))]
    assert names
    assert all(map(held_out, names))
    assert not any(held_out(training.name(i)) for i in range(len(training)))


def test_a_sample_of_what_is_kept_is_the_same_every_time_and_may_be_nothing(folder):
    setup = Setup(Plan(data=[str(folder)]), choose("cpu", "fp32"))
    kept = Pictures([folder], flip=False, split="held-out")
    found = sample_held_out(100, setup)
    assert torch.equal(found, kept.sample(len(kept), setup))
    assert torch.equal(found[:1], sample_held_out(1, setup))
    halved = sample_held_out(1, setup, lambda picture: picture[:, ::2, ::2])
    assert torch.equal(halved, found[:1, :, ::2, ::2])
    for i in range(len(kept)):
        (folder / kept.name(i)).unlink()
    assert sample_held_out(100, setup) is None


def test_what_is_damaged_among_the_held_out_is_told_once_and_stops_nothing(folder):
    notes = []
    setup = Setup(Plan(data=[str(folder)]), choose("cpu", "fp32"), note=notes.append)
    kept = Pictures([folder], flip=False, split="held-out")
    assert len(kept) > 1
    (folder / kept.name(0)).write_bytes(b"nothing")
    for _ in range(2):
        assert len(kept.sample(len(kept), setup)) == len(kept)  # the next one stands in
    told = f"skipped {kept.name(0)}: not a picture that Pillow can read"
    assert notes == [told]
    assert len(sample_held_out(100, setup)) == len(kept)
    for i in range(len(kept)):
        (folder / kept.name(i)).write_bytes(b"nothing")
    assert sample_held_out(100, setup) is None
    assert notes[-1].startswith(
        f"nothing to validate on: of what is held out, {len(kept)} pictures in a row cannot be read"
    )


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("nothing.tar", "no such folder or archive"),
        ("dat", "no such folder or archive; did you mean 'data'"),
        ("empty", "no pictures in it"),
        ("text.txt", r"not a folder, nor one of the archives .tar"),
        ("broken.tar", "cannot read it"),
        ("broken.zip", "cannot read it"),
        ("cut.tar.xz", "cannot read it"),
        ("p.tar:trian/", r"no pictures in that part of .*did you mean 'train'\? \(it has train\)"),
        ("p.tar:tra", "no pictures in that part"),
        ("x" * 300, "cannot read it|no such folder"),
        ("data:train/", "a part of a folder is given by its own path"),
    ],
)
def test_data_that_cannot_be_used_is_one_line(folder, tmp_path, data, error):
    (tmp_path / "empty").mkdir()
    for name in ("text.txt", "broken.tar", "broken.zip"):
        (tmp_path / name).write_bytes(b"nothing to see here" * 100)
    pack(folder, tmp_path / "p.tar")
    whole = pack(folder, tmp_path / "whole.tar.xz").read_bytes()
    (tmp_path / "cut.tar.xz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TrainingError, match=error):
        Pictures([f"{tmp_path}/{data}"])


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_path_is_not_the_current_folder(folder, tmp_path, monkeypatch, capsys, empty):
    monkeypatch.chdir(folder)
    with pytest.raises(TrainingError, match="--data: the path is empty"):
        Pictures([empty])
    run = ["train", "vae", "--steps", "1", "-o", str(tmp_path / "run")]
    for line, called in ((["data", "inspect", empty], "PATH"), ([*run, "--data", empty], "--data")):
        assert invoke(line) == 2
        assert capsys.readouterr().err == f"gentool: error: {called}: the path is empty\n"
    assert len(find(folder).names) == 40
    assert not (tmp_path / "run").exists()


def test_no_data_at_all_names_the_flag():
    with pytest.raises(TrainingError, match="--data: is required"):
        Pictures([])


def test_inspect_counts_and_draws_a_sheet(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (30, 20)).save(folder / "a/00.jpg")
    assert invoke(["data", "inspect", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "pictures  41" in out
    assert "from 12x10 to 30x20, median 12x10" in out
    assert "40 PNG, 1 JPEG" in out
    assert "2: 21 a, 20 b" in out
    with Image.open("data-sheet.png") as sheet:
        assert sheet.width > 400
    invoke(["data", "inspect", str(folder)])
    assert Path("data-sheet-2.png").exists()
    monkeypatch.chdir(folder / "a")
    assert invoke(["data", "inspect", ".."]) == 0
    assert "data-sheet.png would lie among the pictures" in capsys.readouterr().err
    assert not Path("data-sheet.png").exists()


def test_a_sheet_shows_pictures_from_first_to_last(tmp_path):
    for i in range(127):
        Image.new("RGB", (4, 4), (2 * i,) * 3).save(tmp_path / f"{i:03}.png")
    sheet = contact_sheet(Pictures([tmp_path], split="all"), bad=["000.png"])
    shown = [round(float(tensor.mean()) * 255) // 2 for tensor in sheet.tensors]
    assert shown == sorted(set(shown))
    assert len(shown) == 64
    assert (shown[0], shown[-1]) == (1, 125)
    assert contact_sheet(Pictures([tmp_path], split="all"), [f"{i:03}.png" for i in range(127)])


@pytest.mark.skipif(os.name == "nt", reason="a colon is no part of a name there")
def test_a_sheet_is_called_after_the_folder_or_archive(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    drive = folder.rename(tmp_path / "C:pictures")
    pack(drive, tmp_path / "p.tar")
    for data, name in {"C:pictures": "C:pictures", "p.tar:train/a": "p"}.items():
        assert invoke(["data", "inspect", data]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"{name}-sheet.png"


@pytest.mark.parametrize(("to", "reason"), [("", "is empty"), ("two/", "two/ is a folder; name")])
def test_inspect_refuses_a_sheet_without_a_name(folder, to, reason, capsys):
    assert invoke(["data", "inspect", str(folder), "-o", to]) == 2
    assert reason in capsys.readouterr().err


def test_inspect_of_a_path_that_the_system_refuses_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert invoke(["data", "inspect", "x" * 300]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("data/a/00.png", "would lie among the pictures; choose another place"),
        ("data/sheet.png", "would lie among the pictures; choose another place"),
        ("no/sheet.png", "there is no folder no"),
    ],
)
def test_inspect_refuses_a_sheet_where_it_must_not_lie(
    folder, tmp_path, monkeypatch, capsys, to, reason
):
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    assert invoke(["data", "inspect", "data", "-o", to]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"gentool: error: -o {to}: {reason}\n")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before


def test_what_is_held_out_shares_a_compressed_archive(folder, tmp_path):
    archive = pack(folder, tmp_path / "p.tar.gz")
    first, second = find(archive), find(archive)
    assert first is second
    pack(write(tmp_path / "other", 10), archive)
    assert len(find(archive).names) == 10


def test_a_bad_picture_is_told_from_another_of_its_name(folder, tmp_path, capsys):
    other = write(tmp_path / "other", 40)
    (other / "a/00.png").write_bytes(b"nothing")
    sheet = tmp_path / "s.png"
    assert invoke(["data", "inspect", str(folder), str(other), "--json", "-o", str(sheet)]) == 1
    assert list(json.loads(capsys.readouterr().out)["bad"]) == [f"{other}: a/00.png"]
    (folder / "a/00.png").write_bytes(b"nothing")
    assert invoke(["data", "inspect", str(folder), str(other), "--no-sheet", "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["bad"]) == 2


def test_paths_are_called_by_their_flag(folder, tmp_path):
    with pytest.raises(TrainingError, match=r"^--style-data nowhere: no such folder"):
        Pictures(["nowhere"], flag="--style-data")
    with pytest.raises(TrainingError, match=r"^nowhere: no such folder"):
        Pictures(["nowhere"], flag="")
    kept = next(f"{i}.png" for i in range(100) if held_out(f"{i}.png"))
    (tmp_path / "one").mkdir()
    (folder / "a/00.png").rename(tmp_path / "one" / kept)
    with pytest.raises(TrainingError, match="no pictures but 1 that validation keeps"):
        Pictures([tmp_path / "one"])


def test_inspect_names_bad_files_and_exits_1(folder, tmp_path, capsys):
    (folder / "b/01.png").write_bytes(b"nothing")
    sheet = tmp_path / "s.jpg"
    assert invoke(["data", "inspect", str(folder), "--json", "-o", str(sheet)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["count"] == 40
    assert found["classes"] == {"a": 20, "b": 20}
    assert list(found["bad"]) == ["b/01.png"]
    assert sheet.exists()
    assert invoke(["data", "inspect", str(tmp_path / "no"), "--no-sheet"]) == 2
    assert "no such folder or archive" in capsys.readouterr().err
