"""What actions yield, as files."""

import importlib.util
import json
import math
import os

import PIL.Image
import pytest
import torch

from gentool import encoding, images
from gentool.artifacts import Animation, Figures, File, Grid, Image
from gentool.cli.main import invoke
from gentool.errors import OutputError
from gentool.output import Output

MADE = {"gentool": "0.1.0", "method": "adain", "seed": 3}


def flat(value, height=8, width=12, channels=3):
    return torch.full((channels, height, width), value)


@pytest.mark.parametrize(
    ("image", "mode"),
    [
        (Image(flat(0.5)), "RGB"),
        (Image(flat(0.5, channels=1)), "L"),
        (Image(flat(0.5), alpha=flat(0.25, channels=1)), "RGBA"),
        (Image(flat(0.5, channels=1), alpha=flat(0.25, channels=1)), "RGBA"),
        (Image(flat(0.5).bfloat16().requires_grad_()), "RGB"),
    ],
)
def test_an_image_as_pil_and_as_a_file(tmp_path, image, mode):
    assert (image.image.mode, image.image.size) == (mode, (12, 8))
    path = image.save(tmp_path / "a.png", MADE)
    assert encoding.read_metadata(path) == MADE
    again = images.read(path)
    assert again.pixels.unique().tolist() == pytest.approx([0.5], abs=1 / 255)
    if mode == "RGBA":
        assert again.alpha.unique().tolist() == pytest.approx([0.25], abs=1 / 255)


def test_values_beyond_0_to_1_are_clipped_not_wrapped():
    tensor = torch.tensor([-0.5, 1.5]).expand(3, 1, 2)
    assert [Image(tensor).image.getpixel((x, 0)) for x in (0, 1)] == [(0,) * 3, (255,) * 3]


def test_a_grid_is_about_square_with_white_between():
    grid = Grid([flat(0.0)] * 5, gap=2)
    sheet = grid.tensor
    assert sheet.shape == (3, 2 * 8 + 2, 3 * 12 + 2 * 2)
    assert sheet[:, :8, :12].max() == 0
    assert sheet[:, 8:10].min() == 1  # the gap
    assert sheet[:, 10:, 28:].min() == 1  # the cell that stays free
    assert grid.image.size == (40, 18)


@pytest.mark.parametrize(("columns", "size"), [(1, (12, 32)), (2, (28, 20)), (3, (44, 8))])
def test_a_grids_columns(columns, size):
    assert Grid([flat(0.0)] * (columns if columns == 3 else 3 if columns == 1 else 4),
                columns=columns).image.size == size  # fmt: skip


def test_smaller_pictures_are_centred_in_a_grid():
    sheet = Grid([flat(0.0, 9, 9), flat(0.0, 3, 5), flat(0.0, 9, 9, channels=1)], columns=3).tensor
    cell = sheet[0, :, 13:22]
    assert cell.eq(0).sum() == 15
    assert cell[3:6, 2:7].max() == 0


def test_an_empty_grid_is_refused(tmp_path):
    with pytest.raises(OutputError, match="at least one picture"):
        Grid([]).save(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".GIF"])
def test_an_animation_keeps_its_frames_and_pace(tmp_path, suffix):
    frames = [flat(v, 16, 16) for v in (0.0, 0.5, 1.0)]
    path = Animation(frames, fps=20).save(tmp_path / f"a{suffix}", MADE)
    with PIL.Image.open(path) as written:
        assert (written.n_frames, written.size, written.info["loop"]) == (3, (16, 16), 0)
        values = []
        for i in range(3):
            written.seek(i)
            values.append(written.convert("RGB").getpixel((8, 8))[0] / 255)
            assert written.info["duration"] == 50
    assert values == pytest.approx([0, 0.5, 1], abs=0.05)
    if suffix == ".webp":
        assert encoding.read_metadata(path) == MADE


@pytest.mark.parametrize(("fps", "delay"), [(60, 20), (45, 20), (30, 30), (100, 20), (10, 100)])
def test_a_gif_keeps_the_pace_as_well_as_its_hundredths_can(tmp_path, fps, delay):
    path = Animation([flat(v, 16, 16) for v in (0.0, 1.0)], fps=fps).save(tmp_path / "a.gif")
    with PIL.Image.open(path) as written:
        assert written.info["duration"] == delay


def test_an_mp4_plays_with_odd_sides_too(tmp_path):
    av = pytest.importorskip("av")
    frames = [flat(v, 33, 47) for v in (0.0, 0.5, 1.0)]
    path = Animation(frames, fps=12.5).save(tmp_path / "a.mp4", MADE)
    with av.open(str(path)) as film:
        assert film.streams.video[0].average_rate == 12.5
        assert json.loads(film.metadata["comment"]) == MADE
        shown = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert [frame.shape for frame in shown] == [(34, 48, 3)] * 3
    assert [frame.mean() / 255 for frame in shown] == pytest.approx([0, 0.5, 1], abs=0.02)
    assert [frame.std() / 255 for frame in shown] == pytest.approx([0, 0, 0], abs=0.01)


def test_info_tells_how_an_mp4_was_made(tmp_path, capsys):
    pytest.importorskip("av")
    path = Animation([flat(i / 4, 32, 16) for i in range(3)]).save(tmp_path / "a.mp4", MADE)
    assert invoke(["info", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["width"], told["height"], told["frames"]) == ("MP4", 16, 32, 3)
    assert told["made_with"] == MADE
    path.write_bytes(b"no video")
    assert invoke(["info", str(path)]) == 2
    assert "a.mp4: not a video that can be read" in capsys.readouterr().err


def test_what_the_encoder_of_an_mp4_refuses_is_one_line(tmp_path, monkeypatch):
    pytest.importorskip("av")
    film = Animation([flat(0.0, 2, 16_386)])
    with pytest.raises(OutputError, match=r"a \.mp4 takes up to 16,384 pixels a side"):
        film.save(tmp_path / "a.mp4")
    monkeypatch.delitem(encoding._LONGEST, ".mp4")
    with pytest.raises(OutputError, match=r"cannot write the animation as \.mp4: "):
        film.save(tmp_path / "a.mp4")
    with pytest.raises(OutputError, match=r"0\.1 to 100 frames a second, not 0\.0004"):
        Animation([flat(0.0)], fps=0.0004).save(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_the_slowest_animation_keeps_its_pace(tmp_path):
    frames = [flat(v, 16, 16) for v in (0.0, 1.0)]
    path = Animation(frames, fps=0.1).save(tmp_path / "a.gif")
    with PIL.Image.open(path) as written:
        assert written.info["duration"] == 10_000
    av = pytest.importorskip("av")
    path = Animation(frames, fps=0.1).save(tmp_path / "a.mp4")
    with av.open(str(path)) as film:
        assert float(film.streams.video[0].average_rate) == 0.1


def test_without_its_package_an_mp4_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(OutputError, match=r"gentool-core\[video\]"):
        Output(str(tmp_path / "a.mp4"), suffixes=(".webp", ".mp4"))


@pytest.mark.parametrize(
    ("animation", "suffix", "reason"),
    [
        (Animation([flat(0.0)] * 2), ".png", r"written as \.webp or \.gif or \.mp4, not '\.png'"),
        (Animation([]), ".gif", "needs frames, all of one size"),
        (Animation([flat(0.0, 4, 4), flat(0.0, 5, 5)]), ".webp", "all of one size"),
        (Animation([flat(0.0)], fps=0), ".webp", "has 0.1 to 100 frames a second, not 0"),
        (Animation([flat(0.0)], fps=5000), ".webp", "0.1 to 100 frames a second, not 5000"),
        (Animation([flat(0.0)], fps=0.001), ".gif", "0.1 to 100 frames a second, not 0.001"),
        (Animation([flat(0.0)], fps=math.nan), ".gif", "0.1 to 100 frames a second, not nan"),
        (Animation([flat(0.0, 1, 20000)] * 2), ".webp", "up to 16,383 pixels a side, and this is"),
        (Animation([flat(0.0, 1, 65536)] * 2), ".gif", "65536x1; make it smaller"),
        (File(b"x", ".vqz"), ".png", r"written as \.vqz, not '\.png'"),
        (Figures({"psnr": 30.0}), ".csv", r"written as \.json, not '\.csv'"),
        (Image(flat(0.0)), ".json", r"gentool writes \.png .* not '\.json'"),
        (Image(flat(0.0)), "", "not ''"),
        (Image(flat(0.0, 1, 20000)), ".webp", "a .webp takes up to 16,383 pixels a side"),
    ],
)
def test_what_an_artifact_cannot_be_is_one_line_and_no_file(tmp_path, animation, suffix, reason):
    with pytest.raises(OutputError, match=reason) as caught:
        animation.save(tmp_path / f"a{suffix}")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".vqz", ".VQZ"])
def test_a_file_is_written_as_it_is(tmp_path, suffix):
    data = bytes(range(256))
    assert File(data, ".vqz").save(tmp_path / f"a{suffix}").read_bytes() == data


def test_figures_are_json_that_every_reader_takes(tmp_path):
    figures = Figures(
        {"psnr": float("inf"), "ssim": 1.0, "n": 3, "name": "Fluß", "x": float("nan")}
    )
    path = figures.save(tmp_path / "a.json", MADE)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    assert json.loads(path.read_text(), parse_constant=refuse) == {
        "psnr": "inf", "ssim": 1.0, "n": 3, "name": "Fluß", "x": "nan", "made_with": MADE,
    }  # fmt: skip
    assert "made_with" not in json.loads(figures.encode(".json"))


def test_saving_replaces_and_a_missing_folder_is_one_line(tmp_path):
    path = tmp_path / "a.png"
    Image(flat(0.0)).save(path)
    Image(flat(1.0)).save(str(path))
    assert images.read(path).pixels.min() == 1
    with pytest.raises(OutputError, match="cannot write: No such file or directory"):
        Image(flat(0.0)).save(tmp_path / "gone" / "a.png")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        Image(flat(0.0)).save(tmp_path / "b.png")


@pytest.mark.parametrize(
    ("artifact", "proposed"),
    [
        (Image(flat(0.0)), "image.png"),
        (Grid([flat(0.0)]), "grid.png"),
        (Animation([flat(0.0)]), "animation.webp"),
        (File(b"x", ".vqz"), "file.vqz"),
        (Figures({"a": 1}), "figures.json"),
    ],
)
def test_every_artifact_can_be_written_under_the_name_it_proposes(tmp_path, artifact, proposed):
    assert f"{artifact.name}{artifact.suffix}" == proposed
    assert artifact.save(tmp_path / proposed).stat().st_size > 0


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (Image, flat(0.0)),
        (Grid, [flat(0.0)]),
        (Animation, [flat(0.0)]),
        (File, b"x"),
        (Figures, {"a": 1}),
    ],
)
def test_every_artifact_can_say_what_it_accompanies_and_was_made_from(tmp_path, kind, content):
    plain = kind(content)
    assert (plain.part, plain.made_from) == ("", {})
    made_from = {"content": "a.jpg"}
    artifact = kind(content, name="photo", made_from=made_from, part="preview")
    assert artifact.made_from == made_from
    saved = Output(f"{tmp_path}/").save(artifact, None)
    assert saved.name == f"photo-preview{artifact.suffix}"


def test_saving_knows_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("USERPROFILE" if os.name == "nt" else "HOME", str(tmp_path))
    assert Image(flat(0.0)).save("~/a.png") == tmp_path / "a.png"
    assert (tmp_path / "a.png").exists()
