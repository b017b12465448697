"""The example plugins, from their wheels: a loss, a metric, a command; an observer."""

import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def examples(site, wheels):
    for name in ("compare", "diary"):
        with zipfile.ZipFile(wheels[name]) as wheel:
            wheel.extractall(site.folder)
    return site


def test_the_command_compares_pictures_by_a_metric(examples, pictures):
    original = Image.open(pictures / "content.png")
    for radius in (1, 3):
        original.filter(ImageFilter.GaussianBlur(radius)).save(pictures / f"blur{radius}.png")
    names = [str(pictures / name) for name in ("content.png", "blur1.png", "blur3.png")]
    done = examples.gentool("compare", "--json", names[0], *names)
    assert done.returncode == 0, done.stderr
    same, blurred, more = (figures["gmsd"] for figures in json.loads(done.stdout).values())
    assert same == 0
    assert 0.01 < blurred < more
    lines = examples.gentool("compare", *names[:2]).stdout
    assert lines == f"{names[1]}  gmsd {blurred:.4f}\n"
    unknown = examples.gentool("compare", "--metric", "gmsb", *names[:2])
    assert unknown.returncode == 2
    assert "did you mean 'gmsd'?" in unknown.stderr
    original.resize((10, 10)).save(pictures / "small.png")
    done = examples.gentool("compare", names[0], str(pictures / "small.png"))
    assert done.returncode == 2
    assert "small.png: is 10 x 10" in done.stderr
    assert "compare\textension\tok" in examples.gentool("list").stdout


def test_the_example_conforms(examples):
    rows = json.loads(examples.gentool("check", "compare", "--json").stdout)
    assert {row["status"] for row in rows} == {"ok"}
    rows = json.loads(examples.gentool("check", "diary", "--json").stdout)
    assert "failed" not in {row["status"] for row in rows}


def test_the_diary_has_runs_and_training_steps_in_order(examples, pictures, tmp_path):
    diary = tmp_path / "diary.jsonl"
    line = (
        "run",
        "adain",
        "--content",
        pictures / "content.png",
        "--style",
        pictures / "style.png",
    )
    done = examples.gentool(*map(str, line), "-o", tmp_path / "out.png", GENTOOL_DIARY=str(diary))
    assert done.returncode == 0, done.stderr
    begun, made = map(json.loads, diary.read_text().splitlines())
    assert begun["what"] == "run"
    assert begun["options"]["content"] == ["content.png"]  # names, never folders
    assert (made["what"], made["name"]) == ("made", "content-style")
    assert made["seconds"] > 0
    code = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests")!r})
from pathlib import Path
import tiny
tiny.train(Path({str(tmp_path / "run")!r}), steps=4, log_every=2)
"""
    done = examples.python("-c", code, GENTOOL_DIARY=str(diary))
    assert done.returncode == 0, done.stderr
    steps = [json.loads(text) for text in diary.read_text().splitlines()[2:]]
    assert [(s["what"], s["method"], s["step"]) for s in steps] == [
        ("step", "tiny", 2),
        ("step", "tiny", 4),
    ]
    assert steps[0]["error"] > 0
