"""The actions as people call them."""

import json
import os
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import gentool
from gentool.cli.main import invoke
from gentool.similarity import psnr


@pytest.fixture(scope="module")
def method():
    return gentool.load("cnn-ae", seed=0, device="cpu")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(data.coffee()[100:228, 200:360]).save(path)
    return path


def opened(path):
    with Image.open(path) as image:
        return image.copy()


def pixels(path):
    return torch.from_numpy(np.array(opened(path).convert("RGB"))).permute(2, 0, 1) / 255


def run(*words):
    return invoke(["run", "cnn-ae", *map(str, words)])


def test_there_and_back(photo, tmp_path, capsys):
    assert run("compress", "--input", photo, "-o", tmp_path / "a.gta", "--quality", 6) == 0
    assert "bits a pixel" in capsys.readouterr().err
    assert run("decompress", "--input", tmp_path / "a.gta", "-o", tmp_path / "b.png") == 0
    assert psnr(pixels(tmp_path / "b.png")[None], pixels(photo)[None]) > 25
    assert (tmp_path / "a.gta").stat().st_size < photo.stat().st_size / 4


def test_what_does_not_pay_is_told(tmp_path, photo, capsys):
    board = np.indices((96, 96)).sum(0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "board.png")
    assert run("compress", "--input", tmp_path / "board.png", photo, "-o", f"{tmp_path}/o/") == 0
    told = {line.split(":")[0]: line for line in capsys.readouterr().err.splitlines()}
    size = (tmp_path / "board.png").stat().st_size
    assert told["board.png"].endswith(
        f": not smaller than the file itself, {size:,} bytes; keep that"
    )
    assert told["photo.png"].endswith("bits a pixel")


def test_the_default_action_names_its_results(photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("--input", photo) == 0
    assert run("decompress", "--input", "photo-cnn-ae.gta") == 0
    assert opened("photo-cnn-ae.png").size == (160, 128)
    assert run("--input", photo) == 0  # another of that name
    assert run("decompress", "--input", "photo-cnn-ae-2.gta") == 0
    assert sorted(p.name for p in tmp_path.glob("*.png") if p != photo) == [
        "photo-cnn-ae-2.png",
        "photo-cnn-ae.png",
    ]


def test_reconstruct_tells_size_and_distance(photo, tmp_path, method):
    assert run("reconstruct", "--input", photo, "-o", tmp_path / "back.png") == 0
    figures = json.loads((tmp_path / "back-figures.json").read_text())
    wanted = psnr(pixels(tmp_path / "back.png")[None], pixels(photo)[None]).item()
    assert figures["psnr"] == pytest.approx(wanted, abs=1e-4)
    assert 0.5 < figures["ssim"] < 1
    (file,) = method.run("compress", input=[photo])
    assert figures["bytes"] == len(file.data)
    assert figures["bits_per_pixel"] == pytest.approx(8 * len(file.data) / (160 * 128))


@pytest.mark.parametrize("told", [True, False])
def test_denoise_is_nearer_than_the_noisy_picture(photo, method, told):
    clean = pixels(photo)
    generator = torch.Generator().manual_seed(0)
    noisy = (clean + 50 / 255 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
    more = {"sigma": 50.0} if told else {}
    cleaned = method.denoise(input=[noisy], **more).tensor
    assert psnr(cleaned[None], clean[None]) > psnr(noisy[None], clean[None]) + 4


def test_transparency_grey_and_16_bits(tmp_path, capsys):
    rgba = np.dstack([data.coffee()[:60, :70], np.arange(4200).reshape(60, 70) % 256]).astype("u1")
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    Image.fromarray(data.camera()[::8, ::8]).save(tmp_path / "grey.png")
    Image.fromarray(data.camera()[::8, ::8].astype("u2") * 256 + 7).save(tmp_path / "wide.png")
    names = ("rgba", "grey", "wide")
    inputs = [tmp_path / f"{name}.png" for name in names]
    assert run("compress", "--input", *inputs, "-o", f"{tmp_path}/gta/") == 0
    assert "wide.png: more than 8 bits a colour, 8 are kept" in capsys.readouterr().err
    assert run("decompress", "--input", tmp_path / "gta", "-o", f"{tmp_path}/back/") == 0
    back = {name: opened(tmp_path / f"back/{name}-cnn-ae.png") for name in names}
    assert back["rgba"].mode == "RGBA"
    assert np.array_equal(np.array(back["rgba"])[..., 3], rgba[..., 3])
    assert {back["grey"].mode, back["wide"].mode} == {"L"}


def test_colours_that_nobody_sees_cost_nothing(method):
    rgba = np.dstack([data.coffee()[:128, :128], np.full((128, 128), 255, np.uint8)])
    rgba[:, 64:, 3] = 0
    sizes = []
    for hidden in (255, np.random.default_rng(0).integers(0, 256, (128, 64, 3))):
        rgba[:, 64:, :3] = hidden
        (found,) = method.run("compress", input=[Image.fromarray(rgba)])
        sizes.append(len(found.data))
    assert sizes[0] == sizes[1]


BAD = {
    "compress --input P --quality 9": "--quality: must be between 1 and 8, got 9",
    "compress --input P --quality 0": "--quality: must be between 1 and 8, got 0",
    "compress --input P -o x.png": "must end in .gta",
    "compress --input T": "not a picture",
    "decompress --input P": "photo.png: no .gta file",
    "decompress --input changed.gta no.gta": "--input: no such file: no.gta",
    f"decompress --input {'x' * 300}": "File name too long",
    "decompress --input E": "no .gta files in the folder",
    "decompress --input T": "cut.gta: damaged or truncated",
    "decompress --input X -o x.png": "changed.gta: damaged or truncated",
    "denoise --input P --sigma -1": "--sigma: must be between 0 and 100",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_one_line(line, photo, tmp_path, capsys, monkeypatch, method):
    monkeypatch.chdir(tmp_path)
    (file,) = method.run("compress", input=[photo])
    (tmp_path / "cut.gta").write_bytes(file.data[:-100])
    changed = bytearray(file.data)
    changed[200] ^= 4
    (tmp_path / "changed.gta").write_bytes(bytes(changed))
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.iterdir())
    places = {"P": photo, "T": "cut.gta", "E": "empty", "X": "changed.gta"}
    assert run(*(places.get(word, word) for word in line.split())) == 2
    told = capsys.readouterr().err
    assert BAD[line] in told
    assert told.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_one_bad_file_of_several_spares_the_rest(photo, tmp_path, capsys):
    assert run("compress", "--input", photo, "-o", tmp_path / "a.gta") == 0
    (tmp_path / "b.gta").write_bytes(b"GTA")
    both = [tmp_path / "a.gta", tmp_path / "b.gta"]
    assert run("decompress", "--input", *both, "-o", f"{tmp_path}/back/") == 1
    assert "b.gta: truncated" in capsys.readouterr().err
    assert len([*(tmp_path / "back").iterdir()]) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_files_that_are_read_only_once_are_not_looked_into(photo, tmp_path, method):
    (file,) = method.compress(input=photo)
    pipes = [tmp_path / f"{i}.gta" for i in range(2)]
    for pipe in pipes:
        os.mkfifo(pipe)
        threading.Thread(target=pipe.write_bytes, args=[file.data], daemon=True).start()
    assert len(method.decompress(input=pipes)) == 2


def test_several_at_once_are_what_each_is_alone(tmp_path, method):
    photos = [data.coffee()[y : y + 96, 50 : 150 + y] for y in (10, 60, 110)]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    together = method.compress(input=photos)
    torch.set_num_threads(1)
    alone = [method.compress(input=photo)[0] for photo in photos]
    assert [file.data for file in together] == [file.data for file in alone]
    files = [tmp_path / f"{i}.gta" for i in range(3)]
    for path, file in zip(files, alone, strict=True):
        path.write_bytes(file.data)
    torch.set_num_threads(2)
    back = method.decompress(input=files)
    torch.set_num_threads(threads)
    for path, picture in zip(files, back, strict=True):
        assert torch.equal(picture.tensor, method.decompress(input=path).tensor)
