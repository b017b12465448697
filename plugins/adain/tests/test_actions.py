"""The options that bring styles together, and going from style to style."""

import json

import pytest
import torch
from PIL import Image
from skimage import data

import gentool
from gentool import GentoolError, UsageError, weights
from gentool.cli.main import invoke
from gentool_adain.actions import between
from gentool_adain.nets import AdaIN, Config
from gentool_adain.statistics import Style

TINY = Config(width2=4, width4=8, width8=8, code=4, blocks8=1, blocks4=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pictures and weights of a tiny network, in which styles do something."""
    folder = tmp_path_factory.mktemp("styles")
    Image.fromarray(data.chelsea()).resize((80, 60)).save(folder / "content.png")
    Image.fromarray(data.coffee()).resize((48, 40)).save(folder / "a.png")
    Image.fromarray(data.astronaut()).resize((40, 40)).save(folder / "b.png")
    mask = Image.new("L", (20, 15))
    mask.paste(255, (0, 0, 10, 15))
    mask.save(folder / "left.png")
    mask.point(lambda v: 255 - v).save(folder / "right.png")
    torch.manual_seed(0)
    net = AdaIN(TINY)
    with torch.no_grad():
        net.decoder.rgb.weight.mul_(10)
        for name, parameter in net.named_parameters():
            if "scale" in name:
                parameter.normal_(std=0.3)
    weights.save(folder / "tiny.safetensors", net, "adain")
    return folder


@pytest.fixture(scope="module")
def tiny(files):
    return gentool.load("adain", weights=files / "tiny.safetensors", seed=0, precision="fp32")


@pytest.fixture
def pictures(files):
    content, a, b, left, right = (
        files / f"{name}.png" for name in ("content", "a", "b", "left", "right")
    )
    return {"content": content, "style": [a, b]}, [left, right]


def test_weights_blend_styles(tiny, pictures):
    both, _ = pictures
    one, other = (r.tensor for r in tiny.stylize(**both))
    blend = tiny.stylize(**both, style_weights=[9, 1])
    assert blend[0].name == "content-a+b"
    assert torch.allclose(tiny.stylize(**both, style_weights=[5, 0]).tensor, one, atol=1e-5)
    assert torch.allclose(tiny.stylize(**both, style_weights=[0, 0.1]).tensor, other, atol=1e-5)
    nearer = (blend.tensor - one).abs().mean() < (blend.tensor - other).abs().mean()
    assert nearer


def test_masks_place_styles(tiny, pictures):
    both, masks = pictures
    content = gentool.load("adain").context().read(both["content"]).pixels
    placed = tiny.stylize(**both, mask=masks).tensor
    half = tiny.stylize(content=both["content"], style=both["style"][0], mask=masks[0]).tensor
    assert torch.equal(half[:, :, 45:], content[:, :, 45:])
    assert not torch.allclose(half[:, :, :35], content[:, :, :35], atol=0.05)
    assert not torch.allclose(placed[:, :, 45:], content[:, :, 45:], atol=0.05)


def test_tiles_do_not_show_in_the_action(tiny, pictures):
    both, masks = pictures
    whole = tiny.stylize(**both, mask=masks, preserve_color="luminance").tensor
    tiled = tiny.stylize(**both, mask=masks, preserve_color="luminance", tile=64).tensor
    assert (whole - tiled).abs().max() < 1e-4


@pytest.mark.parametrize("count", [2, 3, 4])
def test_interpolate_lays_styles_out(tiny, pictures, count):
    (a, b), content = pictures[0]["style"], pictures[0]["content"]
    styles = [a, b, a, b][:count]
    sheet = tiny.interpolate(content=content, style=styles, steps=3, content_size=64)[0]
    rows = {2: 1, 3: 2, 4: 3}[count]
    assert len(sheet.tensors) == 3 * rows
    assert sheet.columns == 3
    alone = tiny.stylize(content=content, style=a, content_size=64).tensor
    assert torch.allclose(sheet.tensors[0], alone, atol=1e-5)


def test_a_sheet_that_no_file_holds_is_refused_before_it_is_painted(tiny, pictures):
    (a, b), content = pictures[0]["style"], pictures[0]["content"]
    with pytest.raises(GentoolError, match=r"^--steps and --content-size: 4,096 pictures of"):
        tiny.interpolate(content=content, style=[a, b, a, b], steps=64, content_size=2000)


@pytest.mark.parametrize("fps", [0.05, 101])
def test_frame_rates_that_no_animation_has_are_refused_before_it_is_painted(tiny, pictures, fps):
    with pytest.raises(UsageError, match=f"fps: must be between 0.1 and 100, got {fps}"):
        tiny.interpolate(**pictures[0], layout="animation", fps=fps)


def test_what_is_transparent_is_white_between_styles(tiny, pictures):
    styles = pictures[0]["style"]
    content = torch.rand(4, 24, 32)
    content[3, :, 16:] = 0
    (sheet,) = tiny.interpolate(content=content, style=styles, steps=2, content_size=64)
    for frame in sheet.tensors:
        assert (frame[:, :, 40:] == 1).all()
        assert frame[:, :, :24].mean() < 0.9


def test_interpolate_animates_and_ends_where_it_began(tiny, pictures, tmp_path):
    (a, b), content = pictures[0]["style"], pictures[0]["content"]
    result = tiny.interpolate(
        content=content, style=[a, b], steps=4, layout="animation", content_size=32, fps=5
    )
    assert len(result[0].frames) == 8
    with Image.open(result.save(tmp_path / "styles.gif")) as film:
        assert film.n_frames == 8
        assert film.info["duration"] == 200


def test_between_four_styles_is_bilinear():
    styles = [Style(*(torch.full((1, 2), float(v)) for _ in range(4))) for v in (0, 4, 8, 12)]
    rows = between(styles, 3)
    assert [[s.mean4[0, 0].item() for s in row] for row in rows] == [
        [0, 2, 4],
        [4, 6, 8],
        [8, 10, 12],
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"style_weights": [1, 2, 3]}, "^style_weights: one for each style, got 3 for 2"),
        ({"style_weights": [0, 0]}, "^style_weights: one at least must be above 0"),
        ({"style_weights": [1, -1]}, "style_weights: must be at least 0, got -1"),
        ({"mask": ["left.png"]}, "^mask: one for each style, got 1 for 2"),
        ({"mask": ["left.png", "gone.png"]}, "mask: no such file"),
        ({"tile": 8}, "tile: must be between 64 and 65536, got 8"),
    ],
)
def test_what_does_not_fit_together_is_refused(tiny, pictures, files, options, reason):
    if "mask" in options:
        options = {"mask": [files / name for name in options["mask"]]}
    with pytest.raises(UsageError, match=reason):
        tiny.stylize(**pictures[0], **options)


def test_a_style_missing_from_a_blend_stops_it(tiny, pictures, files):
    (files / "broken.png").write_bytes(b"no picture")
    styles = [pictures[0]["style"][0], files / "broken.png"]
    with pytest.raises(GentoolError, match=r"broken\.png"):
        tiny.stylize(content=pictures[0]["content"], style=styles, style_weights=[1, 1])


def test_from_the_command_line(files, pictures, tmp_path, capsys):
    names = [str(files / f"{n}.png") for n in ("content", "a", "b")]
    line = ["--content", names[0], "--style", *names[1:]]
    more = ["--weights", str(files / "tiny.safetensors"), "--seed", "1"]
    out = tmp_path / "blend.png"
    assert (
        invoke(["run", "adain", *line, "--style-weights", "0.7", "0.3", "-o", str(out), *more]) == 0
    )
    capsys.readouterr()
    assert invoke(["info", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["made_with"]["options"]["style"] == ["a.png", "b.png"]
    assert invoke(["run", "adain", "interpolate", *line, "-o", f"{tmp_path}/", *more]) == 0
    assert (tmp_path / "content-styles-adain.png").exists()
    assert invoke(["run", "adain", "interpolate", *line[:-1]]) == 2
    assert "--style: two or more" in capsys.readouterr().err
    for layout, name in (("grid", "walk.mp4"), ("animation", "walk.png")):
        flags = ["--layout", layout, "-o", str(tmp_path / name)]
        assert invoke(["run", "adain", "interpolate", *line, *flags]) == 2
        assert "must end in" in capsys.readouterr().err  # before anything is painted


def test_colors_that_nobody_sees_change_nothing(tiny):
    torch.manual_seed(0)
    content, style, alpha = torch.rand(3, 64, 80), torch.rand(3, 64, 80), torch.ones(1, 64, 80)
    alpha[:, :20, :20] = 0
    made = []
    for hidden in (0.0, 1.0, 0.3):
        cut = [torch.cat([torch.where(alpha == 0, hidden, p), alpha]) for p in (content, style)]
        made.append(tiny.stylize(content=cut[0], style=cut[1]).tensor)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])
