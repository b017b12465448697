"""What `gentool run vae` does, with tiny networks, and what it refuses."""

import json

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

import gentool
from gentool import GentoolError, UsageError, WeightsError
from gentool.cli.main import invoke
from gentool.images import to_size


@pytest.fixture
def vae(file):
    return gentool.load("vae", weights=file, device="cpu", precision="fp32", seed=3)


def run(file, *words):
    weights = ["--weights", str(file), "--device", "cpu", "--precision", "fp32", "--seed", "1"]
    return invoke(["run", "vae", *map(str, words), *weights])


def test_sample_number_k_does_not_depend_on_the_others(vae):
    many = [image.tensor for image in vae.sample(n=6, layout="each")]
    assert many[0].shape == (3, 16, 16)
    assert (many[0] - many[1]).abs().max() > 0.01
    alone = vae.sample(n=1, first=4, layout="each").tensor
    assert torch.allclose(many[4], alone, atol=1e-5)
    names = [image.name for image in vae.sample(n=2, first=7, layout="each")]
    assert names == ["sample-00007", "sample-00008"]


def test_more_samples_than_fit_into_one_batch_are_the_same(vae, monkeypatch):
    together = [image.tensor for image in vae.sample(n=5, layout="each")]
    monkeypatch.setattr("gentool_vae.actions.TOGETHER", 2)
    monkeypatch.setattr("gentool_vae.pictures.TOGETHER", 1)
    apart = [image.tensor for image in vae.sample(n=5, layout="each")]
    assert torch.allclose(torch.stack(together), torch.stack(apart), atol=1e-5)


def test_detail_is_added_by_its_share(vae):
    blurred, half, sharp = (
        vae.sample(n=1, detail=share, layout="each").tensor for share in (0, 0.5, 1)
    )
    inside = (sharp > 0) & (sharp < 1) & (blurred > 0) & (blurred < 1)
    assert torch.allclose(half[inside], ((blurred + sharp) / 2)[inside], atol=1e-5)
    assert (sharp - blurred).abs().max() > 0.01


def test_pictures_are_enlarged_in_every_layout(vae, photos):
    (small,), (large,) = vae.sample(n=1, layout="each"), vae.sample(n=1, layout="each", upscale=3)
    assert large.tensor.shape == (3, 48, 48)
    assert (F.avg_pool2d(large.tensor, 3) - small.tensor).abs().mean() < 0.05
    assert vae.sample(n=4, upscale=2).tensor.shape == (3, 68, 68)
    ends = {"start": photos / "dark/8.png", "end": photos / "light/9.png"}
    (film,) = vae.interpolate(**ends, steps=3, layout="animation", upscale=2)
    assert {frame.shape for frame in film.frames} == {(3, 32, 32)}


def test_a_sheet_that_no_file_holds_is_refused_before_it_is_drawn(vae):
    with pytest.raises(GentoolError, match=r"^--n: 100,000 pictures of 64x64 .* takes 43,690;"):
        vae.sample(n=100_000, upscale=4)


def test_reconstruct_puts_in_and_out_side_by_side_with_figures(file, photos, tmp_path, capsys):
    assert run(file, "reconstruct", "--image", photos / "dark/8.png", "-o", tmp_path / "r.png") == 0
    with Image.open(tmp_path / "r.png") as sheet:
        assert sheet.size == (3 * 16 + 2 * 4, 16)
    figures = json.loads((tmp_path / "r-figures.json").read_text())
    assert figures["psnr"] > figures["psnr_detail"] > 0
    assert -1 <= figures["ssim"] <= 1
    assert figures["bits_per_dimension"] > 0
    said = capsys.readouterr().err
    assert "brought from 40x30 to 16x16" in said
    assert f"PSNR {figures['psnr']:.2f} dB" in said


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16", "P", "1"])
def test_the_middle_square_of_every_kind_of_picture_is_reconstructed(
    vae, tmp_path, odd_picture, mode
):
    image, seen = odd_picture(mode, 50, 20)
    image.save(tmp_path / "odd.png")
    grid, _ = vae.reconstruct(image=tmp_path / "odd.png")
    assert [t.shape for t in grid.tensors] == [(3, 16, 16)] * 3
    wanted = to_size(seen[:, 15:35], (16, 16))
    assert (grid.tensors[0] - wanted).abs().max() < 0.51 / 255  # as bytes


def test_what_is_transparent_becomes_white(vae):
    picture = torch.cat([torch.zeros(3, 16, 16), torch.zeros(1, 16, 16)])
    grid, _ = vae.reconstruct(image=picture)
    assert bool((grid.tensors[0] == 1).all())


def test_what_became_of_a_set_is_told_once(file, tmp_path, capsys):
    (tmp_path / "set").mkdir()
    for k in range(3):
        Image.new("RGBA", (16, 16 + k), (9, 9, 9, 9)).save(tmp_path / f"set/{k}.png")
    assert run(file, "encode", "--image", tmp_path / "set", "-o", tmp_path / "l.safetensors") == 0
    said = capsys.readouterr().err
    assert said.count("2 of 3 pictures were brought to 16x16") == said.count("brought") == 1
    assert said.count("what is transparent in 3 of 3 pictures") == said.count("transparent") == 1


def test_one_bad_picture_does_not_stop_the_others(file, photos, tmp_path):
    (photos / "dark/8.png").write_bytes(b"no picture")
    assert run(file, "reconstruct", "--image", photos / "dark", "-o", f"{tmp_path}/out/") == 1
    assert len(list((tmp_path / "out").glob("*.png"))) == 11


def test_one_bad_picture_of_a_set_is_left_out(file, photos, tmp_path, capsys):
    (photos / "dark/8.png").write_bytes(b"no picture")
    latents = tmp_path / "l.safetensors"
    assert run(file, "encode", "--image", photos / "dark", "-o", latents) == 1
    assert "8.png" in capsys.readouterr().err
    assert json.loads(gentool_header(latents).metadata["about"])["names"].count("8") == 0
    assert load_file(latents)["mean"].shape == (11, 6)
    sets = ["--having", photos / "light", "--lacking", photos / "dark"]
    line = ["attribute", "--image", photos / "light/8.png", *sets, "-o", tmp_path / "row.png"]
    assert run(file, *line) == 1
    assert (tmp_path / "row.png").exists()
    for bad in (photos / "dark").iterdir():
        bad.write_bytes(b"no picture")
    assert run(file, *line) == 2
    assert "--lacking: none of its 12 pictures can be read" in capsys.readouterr().err
    assert run(file, "encode", "--image", photos / "dark", "-o", tmp_path / "no.safetensors") == 1
    assert not (tmp_path / "no.safetensors").exists()


def test_interpolation_begins_and_ends_with_the_reconstructions(vae, photos):
    ends = [photos / "dark/8.png", photos / "light/9.png"]
    (row,) = vae.interpolate(start=ends[0], end=ends[1], steps=5, detail=0)
    for frame, end in ((row.tensors[0], ends[0]), (row.tensors[-1], ends[1])):
        assert torch.allclose(frame, vae.reconstruct(image=end)[0].tensors[1], atol=1e-5)
    (film,) = vae.interpolate(start=ends[0], end=ends[1], steps=5, layout="animation")
    assert len(film.frames) == 8  # there and back, no end shown twice


def test_encode_and_decode_give_the_reconstruction(file, vae, photos, tmp_path):
    latents = tmp_path / "l.safetensors"
    assert run(file, "encode", "--image", photos / "dark", "-o", latents) == 0
    assert load_file(latents)["mean"].shape == (12, 6)
    made = vae.decode(latents=[latents], layout="each", detail=0)
    assert [image.name for image in made][:2] == ["10", "11"]
    wanted = vae.reconstruct(image=photos / "dark/9.png")[0].tensors[1]
    assert torch.allclose(made[-1].tensor, wanted, atol=1e-5)


def test_one_picture_a_file_of_latents_goes_into_the_file_that_is_named(file, photos, tmp_path):
    latents, layout = tmp_path / "l.safetensors", ["--layout", "each", "-o", tmp_path / "o.png"]
    assert run(file, "encode", "--image", photos / "dark/8.png", "-o", latents) == 0
    assert run(file, "decode", "--latents", latents, *layout) == 0
    assert [path.name for path in tmp_path.glob("o*")] == ["o.png"]
    assert run(file, "encode", "--image", photos / "dark", "-o", latents) == 0
    assert run(file, "decode", "--latents", latents, *layout) == 0
    assert len([*tmp_path.glob("o*.png")]) == 12  # numbered, where there are more


def test_latents_written_before_and_by_other_programs_are_read(vae, photos, tmp_path):
    good = vae.encode(image=photos / "dark/8.png")[0].save(tmp_path / "l.safetensors")
    wanted = vae.decode(latents=[good], layout="each", detail=0).tensor
    tensors = load_file(good)
    assert set(tensors) == {"mean", "log_variance"}
    about = json.loads(gentool_header(good).metadata["about"])
    before = {"latents": json.dumps({"format": "gentool-vae-latents-1", **about})}
    save_file(tensors, tmp_path / "before.safetensors", before)
    save_file({"mean": tensors["mean"]}, tmp_path / "other.safetensors")
    for name, called in (("before", "8"), ("other", "00000")):
        (made,) = vae.decode(latents=[tmp_path / f"{name}.safetensors"], layout="each", detail=0)
        assert made.name == called
        assert torch.equal(made.tensor, wanted)
    about["model"] = "0123"
    save_file(tensors, tmp_path / "before.safetensors", {"latents": json.dumps(about)})
    with pytest.raises(WeightsError, match=r"^--latents .*: made with other weights"):
        vae.decode(latents=[tmp_path / "before.safetensors"])


def test_latents_that_are_too_large_make_no_picture(vae, tmp_path):
    save_file({"mean": torch.full((1, 6), 3e38)}, tmp_path / "huge.safetensors")
    for detail in (0, 1):
        with pytest.raises(GentoolError, match="not finite: those of --weights or --latents"):
            vae.decode(latents=[tmp_path / "huge.safetensors"], detail=detail)


@pytest.mark.parametrize(
    ("part", "action"), [("decoder.mean", "sample"), ("encoder.head", "encode")]
)
def test_weights_that_are_no_numbers_make_neither_pictures_nor_latents(file, model, part, action):
    from gentool import weights

    model.get_submodule(part).bias.data.fill_(torch.nan)
    weights.save(file, model, "vae")
    options = {"image": torch.rand(3, 16, 16)} if action == "encode" else {"n": 1}
    with pytest.raises(GentoolError, match="not finite"):
        gentool.load("vae", weights=file, device="cpu", seed=0).run(action, **options)


def test_attribute_moves_along_the_difference_of_two_sets(vae, photos):
    sets = {"having": photos / "light", "lacking": photos / "dark"}
    (row,) = vae.attribute(image=photos / "dark/8.png", **sets, steps=5, strength=2, detail=0)
    assert len(row.tensors) == 5
    middle = vae.reconstruct(image=photos / "dark/8.png")[0].tensors[1]
    assert torch.allclose(row.tensors[2], middle, atol=1e-5)
    (back,) = vae.attribute(
        image=photos / "dark/8.png", having=sets["lacking"], lacking=sets["having"], steps=5,
        strength=2, detail=0,
    )  # fmt: skip
    for there, again in zip(row.tensors, reversed(back.tensors), strict=True):
        assert torch.allclose(there, again, atol=1e-5)


def test_an_untrained_posterior_is_another_models(vae, model, photos, tmp_path):
    from gentool import weights

    vae.encode(image=photos / "dark/8.png")[0].save(tmp_path / "l.safetensors")
    with torch.no_grad():
        model.decoder.mean.weight.add_(0.1)
    weights.save(tmp_path / "other.safetensors", model, "vae")
    with pytest.raises(WeightsError, match="made with other weights"):
        gentool.load("vae", weights=tmp_path / "other.safetensors").decode(
            latents=[tmp_path / "l.safetensors"]
        )


def test_files_that_are_no_latents_are_refused_in_one_line(vae, file, photos, tmp_path):
    with pytest.raises(WeightsError, match="no latents in it; `gentool run vae encode` writes"):
        vae.decode(latents=[file])
    good = vae.encode(image=photos / "dark/8.png")[0].save(tmp_path / "l.safetensors")
    metadata = gentool_header(good).metadata
    cases = {
        "1 of 7 numbers each": {"mean": torch.zeros(1, 7), "log_variance": torch.zeros(1, 7)},
        "no latents in it": {"log_variance": torch.zeros(1, 6)},
        "not finite": {
            "mean": torch.full((1, 6), torch.nan).to(torch.float8_e4m3fn),
            "log_variance": torch.zeros(1, 6),
        },
        "not floating-point": {
            "mean": torch.zeros(1, 6, dtype=torch.complex64),
            "log_variance": torch.zeros(1, 6),
        },
    }
    for said, tensors in cases.items():
        save_file(tensors, tmp_path / "bad.safetensors", metadata)
        with pytest.raises(WeightsError, match=said):
            vae.decode(latents=[tmp_path / "bad.safetensors"])
    (tmp_path / "cut.safetensors").write_bytes(good.read_bytes()[:-8])
    with pytest.raises(WeightsError, match="cut short"):
        vae.decode(latents=[tmp_path / "cut.safetensors"])


def gentool_header(path):
    from gentool.weights import read_header

    return read_header(path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--n", "0"], "--n: must be between 1 and 100000, got 0"),
        (["--detail", "2"], "--detail: must be between 0 and 1, got 2"),
        (["decode", "--latents", "none.safetensors"], "--latents none.safetensors: no such file"),
        (["decode", "--latents", "empty"], "--latents empty: is a folder; give the latents file"),
        (["decode", "--latents", "a" * 300], f"--latents {'a' * 300}: "),
        (
            ["attribute", "--image", "a.png", "--having", "empty", "--lacking", "a.png"],
            "no pictures",
        ),
        (["interpolate", "--start", "a.png"], "--end: is required"),
        (
            ["interpolate", "--start", "a.png", "--end", "a.png", "--fps", "0.05"],
            "--fps: must be between 0.1 and 100, got 0.05",
        ),
        (["encode", "--image", "a.png", "-o", "a.npz"], "must end in .safetensors"),
    ],
)
def test_mistakes_are_one_line(file, photos, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.png").write_bytes((photos / "dark/8.png").read_bytes())
    before = sorted(tmp_path.rglob("*"))
    assert run(file, *words) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert said in errors[-1]
    assert sorted(tmp_path.rglob("*")) == before


def test_two_files_of_latents_are_refused(vae, tmp_path):
    with pytest.raises(UsageError, match="takes one file, got 2"):
        vae.decode(latents=[tmp_path / "a", tmp_path / "b"])
