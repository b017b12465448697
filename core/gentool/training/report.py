"""One HTML page about a training: curves, previews over time, settings and hardware."""

from __future__ import annotations

import base64
import contextlib
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from gentool.errors import PluginError, TrainingError
from gentool.training import runs

PREVIEWS = 24  # in the page, evenly spread over the training
PREVIEW_SIDE = 1024
POINTS = 2000  # in a curve; more cannot be seen


def report(run: Path) -> str:
    """The page, complete in itself.

    Raises:
        TrainingError: the folder holds no training.
        PluginError: matplotlib is not installed.
    """
    records, validations = _read(run)
    sessions = runs.sessions(run)
    last = sessions[-1] if sessions else {}
    series = _series(records, validations)
    curves = [_curve(name, points) for name, points in series.items() if points]
    template = resources.files("gentool.training").joinpath("report.html").read_text("utf-8")
    return Template(template).substitute(
        title=html.escape(f"{last.get('method', 'training')}: {run.name}"),
        summary=html.escape(_summary(records, last)),
        curves="\n".join(f"<figure>{curve}</figure>" for curve in curves),
        previews=_previews(run),
        settings=_table({**last.get("plan", {}), **last.get("options", {})}),
        machine=_table(last.get("machine", {})),
        history="".join(
            f"<li>{html.escape(s.get('begun', ''))} <code>gentool "
            f"{html.escape(' '.join(s.get('command', [])))}</code></li>"
            for s in sessions
        ),
    )


def _read(run: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    try:
        text = (run / runs.METRICS).read_text(encoding="utf-8", errors="replace")
    except OSError as e:
        raise TrainingError(f"{run}: holds no training (no {runs.METRICS})") from e
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:  # a training that goes on, or was killed, in the middle of a line
            continue
    if not lines:
        raise TrainingError(f"{run}: nothing was logged yet; see --log-every")
    found = [line for line in lines if isinstance(line, dict)]
    return [d for d in found if "terms" in d], [d for d in found if "validation" in d]


def _series(
    records: Sequence[Mapping[str, Any]], validations: Sequence[Mapping[str, Any]]
) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for prefix, lines, key in (("", records, "terms"), ("validation: ", validations, "validation")):
        for line in lines:
            for name, value in line[key].items():
                if value is not None and math.isfinite(value):
                    found.setdefault(prefix + name, []).append((line["step"], value))
    for name in ("per_second", "rate"):
        found[{"per_second": "pictures a second", "rate": "learning rate, share"}[name]] = [
            (record["step"], record[name]) for record in records
        ]
    return found


def _curve(name: str, points: Sequence[tuple[int, float]]) -> str:
    try:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ModuleNotFoundError as e:
        raise PluginError(
            f"the report needs {e.name}, which is not installed; pip install 'gentool-core[train]'"
        ) from e
    figure = Figure(figsize=(4.6, 2.6), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    shown = min(len(points), POINTS)  # evenly chosen, the first and the last always
    points = [points[k * (len(points) - 1) // max(1, shown - 1)] for k in range(shown)]
    steps, values = zip(*points, strict=True)
    axes.plot(steps, values, linewidth=1.2, marker="." if len(points) < 20 else "")
    if min(values) > 0 and max(values) > 20 * min(values):
        axes.set_yscale("log")
    axes.set_title(name, fontsize=10)
    axes.set_xlabel("step", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    svg = out.getvalue()
    return svg[svg.index("<svg") :]


def _previews(run: Path) -> str:
    found = [*runs.previews(run).items()]
    step = max(1, -(-len(found) // PREVIEWS))
    shown = []
    for after, files in found[::-step][::-1]:  # the last one always
        picture = _first_picture(files)
        if picture:
            shown.append(
                f'<img alt="after step {after}" data-step="{after}" '
                f'src="data:image/webp;base64,{picture}">'
            )
    return "\n".join(shown)


def _first_picture(files: Sequence[Path]) -> str | None:
    """The first that Pillow reads, of an animation its first frame: a preview may be figures."""
    import PIL.Image

    for file in files:
        with contextlib.suppress(PIL.UnidentifiedImageError):
            return _small(file)
    return None


def _small(file: Path) -> str:
    import PIL.Image

    with PIL.Image.open(file) as image:
        image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        out = io.BytesIO()
        image.save(out, "WEBP", quality=85)
    return base64.b64encode(out.getvalue()).decode()


def _summary(records: Sequence[Mapping[str, Any]], last: Mapping[str, Any]) -> str:
    if not records:
        return ""
    end = records[-1]
    machine = last.get("machine", {})
    return (
        f"{end['step']:,} steps, {end['epoch']:.4g} passes over the data; "
        f"{end['per_second']:.4g} pictures a second on {machine.get('device', 'an unknown device')}"
    )


def _table(values: Mapping[str, Any]) -> str:
    rows = (
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(_plain(value))}</td></tr>"
        for name, value in values.items()
    )
    return f"<table>{''.join(rows)}</table>"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
