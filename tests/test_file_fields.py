"""Options that take files: pictures, folders and patterns, and what provenance keeps of them."""

import json
from pathlib import Path

import PIL.Image
import pytest
import torch

from gentool import Field, ImageFile, ImageFiles, ImageSet, Options, PathList
from gentool.errors import UsageError
from gentool.file_fields import picture_field
from gentool.options import validate


class Paint(Options):
    content: ImageFiles = Field(description="Pictures to paint")
    mask: ImageFile | None = Field(None, description="Where to paint")


class Files(Options):
    data: PathList = Field([Path("a")])
    file: Path | None = None
    sizes: list[int] = Field([64, 128])


class Mixed(Options):
    content: ImageFiles
    style: ImageSet
    masks: ImageSet | None = None


@pytest.fixture
def folder(tmp_path):
    """A folder as people have: pictures, text, a hidden file, and a folder called like one."""
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.fixture
def picture(folder):
    return folder / "b.jpg"


def line(model, prefix, **values):
    with pytest.raises(UsageError) as caught:
        validate(model, values, prefix)
    return str(caught.value)


def expanded(value):
    return validate(Paint, {"content": value}).content


def test_pictures_from_files_lists_folders_and_patterns(folder, picture):
    a = folder / "a.PNG"
    assert expanded(picture) == [picture]
    assert expanded([str(picture), a]) == [picture, a]
    assert expanded((picture,)) == [picture]
    assert expanded(folder) == [a, picture]
    assert expanded(str(folder / "*")) == [a, picture]
    assert expanded(str(folder / "**" / "*.jpg")) == [picture]
    assert expanded([folder, picture]) == [a, picture, picture]
    (folder / "x[1].png").touch()
    assert expanded(str(folder / "x[1].png")) == [folder / "x[1].png"]  # a file, not a pattern


def paths(value):
    return validate(Files, {"data": value}).data


def test_paths_from_patterns_and_the_home_folder(folder, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(folder))
    monkeypatch.chdir(folder)
    everything = [folder / n for n in ("a.PNG", "b.jpg", "empty", "folder.png", "notes.txt")]
    assert paths("~/*") == everything
    assert paths(["~/notes.txt", Path("~")]) == [folder / "notes.txt", folder]
    assert paths("**/*.txt") == [Path("notes.txt")]
    (folder / "x[1].txt").touch()
    assert paths("x[1].txt") == [Path("x[1].txt")]  # a file, not a pattern
    for word in ("vgg19", "art.tar:paint*/", "*.gone"):  # what takes the paths says more
        assert paths(word) == [Path(word)]
    assert line(Files, "--", data=" ") == "--data: the path is empty"
    assert line(Files, "--", data=["x*" * 150]) == f"--data: {'x*' * 150}: File name too long"
    assert line(Files, "--", data=[3]).startswith("--data: ")
    assert line(Files, "--", data=3).startswith("--data: ")


def test_pictures_from_memory():
    tensor, image = torch.rand(3, 4, 4), PIL.Image.new("RGB", (4, 4))
    found = expanded([tensor, image])
    assert found[0] is tensor
    assert found[1] is image
    assert expanded(torch.nn.Parameter(tensor))[0].shape == (3, 4, 4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty", r"no pictures in the folder .*empty$"),
        ("*.webp", r"no picture matches .*\*\.webp"),
        ("b.jpeg", r"no such file: .*b\.jpeg; did you mean 'b\.jpg'\?"),
        ("gone/b.jpg", r"no such file: .*gone/b\.jpg$"),
        ("x" * 300, "File name too long"),
        ("~nobody-of-that-name.png", "no such file: .*~nobody"),
    ],
)
def test_pictures_that_are_not_there(folder, monkeypatch, name, reason):
    monkeypatch.chdir(folder)
    for value in (name, [name]):
        with pytest.raises(UsageError, match="--content: .*" + reason):
            validate(Paint, {"content": value}, "--")


def test_a_folder_of_folders_tells_how_to_reach_into_them(folder):
    (folder / "empty/inner").mkdir()
    with pytest.raises(UsageError, match=r"no pictures in .*empty; '.*empty/\*\*/\*' takes what"):
        validate(Paint, {"content": str(folder / "empty")}, "--")


@pytest.mark.parametrize("value", [[], (), None, {"a": 1}, [3], b"a.png"])
def test_what_is_no_picture(value):
    assert line(Paint, "", content=value).startswith("content: ")


def test_one_picture_is_not_a_folder_or_a_list(folder, picture):
    assert "must be a picture, but" in line(Paint, "--", content=picture, mask=folder)
    assert "got list" in line(Paint, "--", content=picture, mask=[picture])


def test_a_file_whose_name_begins_with_a_tilde_is_found(folder, monkeypatch):
    monkeypatch.chdir(folder)
    Path("~draft.png").touch()
    assert expanded("~draft.png") == [Path("~draft.png")]


@pytest.mark.parametrize("mode", ["json", "python"])
def test_a_dump_names_files_and_never_folders(folder, picture, mode):
    made = validate(Paint, {"content": [folder, torch.rand(3, 2, 2)], "mask": picture})
    values = made.model_dump(mode=mode)
    assert values["content"] == ["a.PNG", "b.jpg", "image"]
    assert values["mask"] == "b.jpg"
    files = validate(Files, {"data": [folder, picture], "file": str(picture)})
    dumped = files.model_dump(mode=mode)
    assert dumped["data"] == [folder.name, "b.jpg"]
    assert dumped["file"] == "b.jpg"
    assert str(folder) not in json.dumps([values, dumped])
    assert validate(Files, {"data": str(folder)}).data == [folder]
    assert validate(Paint, {"content": picture}).model_dump()["mask"] is None


def test_what_makes_one_result_together_is_no_batch(picture):
    two = [picture, picture]
    assert not Mixed(content=picture, style=two, masks=two).several_results()
    assert Mixed(content=two, style=picture).several_results()
    found = {name: picture_field(f) for name, f in Mixed.model_fields.items()}
    assert {name: (f.many, f.together) for name, f in found.items()} == {
        "content": (True, False),
        "style": (True, True),
        "masks": (True, True),
    }
    assert picture_field(Files.model_fields["sizes"]) is None
