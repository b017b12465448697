"""How a training looks: lines, a live table, and the page of `gentool report`."""

import io
import json
import math
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from gentool import PluginError, TrainingError
from gentool.artifacts import Animation, Figures
from gentool.cli.main import invoke
from gentool.cli.watch import Lines, Live, display
from gentool.training import Record
from gentool.training.report import PREVIEWS, report

from . import tiny

HERE = Path(__file__).parent

RECORD = Record(50, 0.5, 0.1, 640.0, 0.2, 3 << 30, 1.0, {"loss": 0.25, "content": 1.5})


def test_a_terms_name_is_no_markup():
    screen = Console(file=io.StringIO(), width=100)
    live = Live(screen)
    live.record(replace(RECORD, terms={"psnr [dB]": 30.0, "x[/b]": 1.0}))
    screen.print(live._drawn())
    assert "psnr [dB]" in screen.file.getvalue()
    assert "x[/b]" in screen.file.getvalue()


def test_lines_tell_terms_speed_memory_and_time_left(capsys):
    lines = Lines()
    lines.begin(0, 200)
    lines.step(50, 0.25, 75.0)
    lines.record(RECORD)
    err = capsys.readouterr().err
    assert err.startswith("step 50/200  loss 0.25  content 1.5  640 pictures/s, 3.00 GiB, 20% of")
    assert err.endswith("0:01:15 left\n")
    quiet = display(quiet=True)
    quiet.record(RECORD)
    assert capsys.readouterr().err == ""


def test_the_live_table_shows_the_last_figures_and_the_first():
    out = io.StringIO()
    live = Live(Console(file=out, force_terminal=True, width=100))
    live.begin(0, 200)
    live.record(RECORD)
    live.step(100, 0.5, 60.0)
    live.record(Record(100, 1.0, 0.1, 640.0, 0.0, 3 << 30, 1.0, {"loss": 0.125}))
    live.note("validation went well")
    live.end()
    text = out.getvalue()
    for part in ("0.125", "0.25", "step 100/200", "50%", "0:01:00 left", "validation went well"):
        assert part in text


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = tmp_path_factory.mktemp("finished") / "run"
    tiny.train(run, tiny.TinyTrainer(scores=[2.0] * 9), steps=40, preview_every=1, log_every=5)
    return run


def test_a_report_holds_curves_previews_and_settings(finished, capsys):
    assert invoke(["report", str(finished)]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == finished / "report.html"
    page = path.read_text()
    for name in ("loss", "gradient", "validation: score", "pictures a second"):
        assert f"<!-- {name} -->" in page
    assert page.count('data-step="') == 20  # every second of forty
    assert 'data-step="40"' in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)  # complete in itself
    assert PREVIEWS >= 20


def test_a_report_of_a_training_that_goes_on_ignores_the_line_being_written(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    with (run / "metrics.jsonl").open("a") as f:
        f.write('{"step": 45, "ter')
    (run / "run.json").write_text(
        json.dumps(
            {
                "sessions": [
                    {
                        "begun": "2026-01-01",
                        "command": ["train", "<b>"],
                        "method": "tiny",
                        "plan": {"steps": 40},
                        "options": {"rate": "<script>"},
                        "machine": {"device": "CPU"},
                    }
                ]
            }
        )
    )
    page = report(run)
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;" in page
    assert "40 steps, " in page


def test_a_long_curve_is_drawn_to_its_end(tmp_path):
    terms = [{"loss": 1.0}] * 3999 + [{"loss": 1000.0}]  # on a scale to 10^3, if it is drawn
    lines = [
        json.dumps({"step": i + 1, "epoch": i, "terms": t, "per_second": 1.0, "rate": 1.0})
        for i, t in enumerate(terms)
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert r"10^{3}" in report(tmp_path)


@pytest.mark.parametrize("scores", [[math.nan, 2.0, 3.0], [math.inf] * 3])
def test_a_report_leaves_out_scores_that_are_no_numbers(tmp_path, scores):
    tiny.train(tmp_path, tiny.TinyTrainer(scores=[*scores]), steps=15)
    page = report(tmp_path)
    assert ("<!-- validation: score -->" in page) is (2.0 in scores)


def test_a_report_shows_the_first_picture_of_a_preview_whatever_its_suffix(tmp_path):
    class Varied(tiny.TinyTrainer):
        def preview(self):
            wave = Animation([torch.rand(3, 8, 8) for _ in range(3)], fps=4)
            return [Figures({"distance": 1.0}), wave]

    tiny.train(tmp_path, Varied(), steps=4, preview_every=2, log_every=1)
    assert {p.name for p in (tmp_path / "previews").iterdir()} == {
        *("0000002.json", "0000002-1.webp", "0000004.json", "0000004-1.webp")
    }
    (tmp_path / "previews/notes-2.png").write_bytes(b"someone's own")
    page = report(tmp_path)
    assert page.count('data-step="') == 2
    assert 'data-step="4" src="data:image/webp;base64,' in page


def test_a_folder_without_a_training_is_one_line(tmp_path, capsys):
    assert invoke(["report", str(tmp_path)]) == 2
    assert "holds no training" in capsys.readouterr().err
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(TrainingError, match="nothing was logged yet"):
        report(tmp_path)


def test_without_matplotlib_a_report_says_what_to_install(finished, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(PluginError, match=r"pip install 'gentool-core\[train\]'"):
        report(finished)


def test_transforms_are_there_whether_or_not_torchvision_fits_torch():
    """In a fresh process: the import must not depend on what other tests imported."""
    code = """
    from gentool import vision
    v2 = vision.transforms()
    import torch, torchvision
    assert v2 is torchvision.transforms.v2
    assert v2.Resize(4)(torch.zeros(3, 8, 8, dtype=torch.uint8)).shape == (3, 4, 4)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_without_torchvision_training_says_what_to_install():
    code = """
    import sys
    sys.modules["torchvision"] = None
    from gentool import vision
    try:
        vision.transforms()
    except Exception as e:
        print(type(e).__name__, e)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True
    )
    assert ran.stdout.startswith("PluginError training needs torchvision, which is not installed")
    assert "pip install 'gentool-core[train]'" in ran.stdout
