"""``gentool evaluate NAME --pairs DIR``: any method that has a ``stylize`` action."""

from __future__ import annotations

import html
import inspect
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

import gentool
from gentool import GentoolError, Method, OutputError, PluginError, UsageError
from gentool.artifacts import File
from gentool.compute import out_of_memory_explained
from gentool.config import read_config
from gentool.images import SUFFIXES, visible
from gentool.progress import Notes

if TYPE_CHECKING:
    from gentool_adain.distances import Distances

FIGURES = ("content", "style", "gram", "ssim")
Pair: TypeAlias = tuple[str, Path, Path]  # name, content, style
Measured: TypeAlias = tuple[str, dict[str, float]]  # a pair's name and figures


@click.command(name="evaluate")
@click.argument("name")
@click.option(
    "--pairs",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of content/ and style/.",
)
@click.option(
    "--features",
    multiple=True,
    default=("perceptual",),
    help="A feature network's name or safetensors file; given again for each further one "
    "(default: perceptual).",
)
@click.option("--weights", help="A packaged set's name, a file, or a training run's folder.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
@click.option("--config", help="TOML file of stylize's flags, as `gentool run --config` takes.")
@click.option("--keep", type=click.Path(path_type=Path), help="Write the pictures to this folder.")
@click.option("--plot", type=click.Path(path_type=Path), help="Write the figures as an SVG.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    name: str,
    pairs: Path,
    features: tuple[str, ...],
    weights: str | None,
    seed: int,
    config: str | None,
    keep: Path | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Measure how near method NAME comes to content and style.

    DIR holds two folders, content and style, whose pictures pair up by name. Distances are relative
    and in the features' eyes: lower is nearer; an SSIM of 1 is the content unchanged. Figures of
    different feature networks cannot be compared.
    """
    method = gentool.load(name, weights=weights, seed=seed)
    if "stylize" not in {action.name for action in method.card.actions}:
        raise UsageError(f"{name} does not stylize; evaluate measures style transfer")
    found = sorted(pair(pairs))
    options = _options(method, config, found)
    _check_outputs([stem for stem, *_ in found], plot, keep)
    measured = evaluate(method, found, features, keep, options, _fail, _note)
    _make(keep)
    width = max(len(row) for row in (*(stem for stem, *_ in found), "median"))
    if not as_json:
        click.echo(f"{'pair':{width}}  " + "  ".join(f"{figure:>8}" for figure in FIGURES))
    seen = sys.stdout.isatty() and not as_json  # rows tell as much as a bar
    hidden = seen or not sys.stderr.isatty()
    table = {}
    with click.progressbar(
        measured, label="evaluate", length=len(found), file=sys.stderr, hidden=hidden
    ) as bar:
        for row, figures in bar:
            table[row] = figures
            if not as_json:  # a slow method's are worth seeing as they come
                _echo(row, figures, width)
    summary = summarise(table) if table else {}
    if as_json:
        click.echo(json.dumps({"pairs": table, **summary}, indent=2))
    else:
        for row, figures in summary.items():
            _echo(row, figures, width)
    if plot and table:
        File(drawn(table, name).encode(), ".svg").save(plot)
    return int(len(table) < len(found))  # 1: some failed, as of gentool run


def _note(text: str) -> None:
    click.echo(f"gentool: {text}", err=True)


def _fail(text: str) -> None:
    _note(f"failed: {text}")


def _echo(row: str, figures: dict[str, float], width: int) -> None:
    click.echo(f"{row:{width}}  " + "  ".join(f"{figures[f]:8.4f}" for f in FIGURES))


def _options(method: Method, config: str | None, pairs: list[Pair]) -> dict[str, Any]:
    """Options of stylize from a TOML file, without the pictures; checked with the first pair's."""
    if config is None:
        return {}
    names = inspect.signature(method.stylize).parameters
    options = read_config(config, [name for name in names if name not in ("content", "style")])
    _, content, style = pairs[0]
    method.options("stylize", content=content, style=style, **options)
    return options


def _check_outputs(stems: list[str], plot: Path | None, keep: Path | None) -> None:
    """Refuse, before the work, what could not be written after it."""
    if plot and plot.suffix.lower() != ".svg":
        raise UsageError(f"--plot {plot}: must end in .svg")
    if plot and not plot.parent.is_dir():
        raise UsageError(f"--plot: there is no folder {plot.parent}")
    if plot and plot.exists():
        raise OutputError(f"--plot: {plot} exists; choose another name")
    if keep:
        for file in (keep / f"{stem}.png" for stem in stems):
            if file.exists():
                raise OutputError(f"--keep: {file} exists; choose another folder")


def _make(keep: Path | None) -> None:
    """Make the folder of the pictures, once nothing else can be refused."""
    if keep:
        try:
            keep.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise OutputError(f"--keep {keep}: cannot make the folder: {e.strerror}") from e


def pair(folder: Path) -> Iterator[Pair]:
    """Name, content and style of every pair in a folder.

    Raises:
        UsageError: there is none, a content has no style, or two have one name.
    """
    sides = []
    for side in ("content", "style"):
        if not (folder / side).is_dir():
            raise UsageError(f"--pairs: there is no folder {folder / side}")
        files = (p for p in (folder / side).iterdir() if p.suffix.lower() in SUFFIXES)
        found: dict[str, Path] = {}
        for file in sorted(files):
            if found.setdefault(file.stem, file) != file:
                names = f"{found[file.stem].name} and {file.name}"
                raise UsageError(f"--pairs: {side} has {names}, which pair up alike")
        sides.append(found)
    contents, styles = sides
    if alone := sorted(contents.keys() ^ styles.keys()):
        raise UsageError(f"--pairs: {alone[0]} has only one of content and style")
    if not contents:
        raise UsageError(f"--pairs: no pictures in {folder / 'content'}")
    yield from ((stem, contents[stem], styles[stem]) for stem in contents)


def evaluate(
    method: Method,
    pairs: list[Pair],
    features: tuple[str, ...] | list[str],
    keep: Path | None = None,
    options: Mapping[str, Any] | None = None,
    report: Callable[[str], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> Iterator[Measured]:
    """Name and figures of each pair, of the 8-bit picture that would be saved.

    The networks are loaded before the first is asked for.

    Args:
        method: what stylizes.
        pairs: name, content and style of each.
        features: networks that judge, by name or file.
        keep: folder for the pictures.
        options: of ``stylize``, beside the pictures.
        report: told what is wrong with a pair, which is then passed over; without it, that is an
            error.
        note: told what takes its time, such as a download.

    Raises:
        PluginError: gentool-perceptual is not installed.
        WeightsError: a network cannot be loaded.
        GentoolError: without ``report``, whatever is wrong with a pair.
    """
    try:
        from gentool_adain.distances import Distances
    except ModuleNotFoundError as e:
        raise PluginError(
            f"evaluate needs {e.name}, which comes with gentool-perceptual; install that plugin too"
        ) from e
    distances = Distances(features, note and Notes(note))
    _ = method.model  # its weights may be wrong, too
    return _measured(method, pairs, distances, keep, options or {}, report)


def _measured(
    method: Method,
    pairs: list[Pair],
    distances: Distances,
    keep: Path | None,
    options: Mapping[str, Any],
    report: Callable[[str], None] | None,
) -> Iterator[Measured]:
    context = method.context()
    for name, content, style in pairs:
        try:
            result = method.run("stylize", content=content, style=style, **options)
            if keep:
                result.save(keep / f"{name}.png")
            known = [visible(context.read(path)) for path in (content, style)]
            output = (result.tensor * 255).round() / 255
            with out_of_memory_explained("make the pictures of --pairs smaller"):
                figures = distances(output, known[0], known[1])
        except GentoolError as e:
            if report is None:
                raise
            report(str(e))
            continue
        yield name, figures


def summarise(table: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and median of each figure."""
    kinds: dict[str, Any] = {"mean": statistics.fmean, "median": statistics.median}
    return {
        kind: {figure: of([row[figure] for row in table.values()]) for figure in FIGURES}
        for kind, of in kinds.items()
    }


def drawn(table: dict[str, dict[str, float]], title: str) -> str:
    """An SVG of the pairs, content distance across and style distance up."""
    side, margin = 360, 48
    most = {f: max(row[f] for row in table.values()) * 1.1 or 1.0 for f in ("content", "style")}

    def place(row: dict[str, float]) -> tuple[float, float]:
        x, y = (row[f] / most[f] * side for f in ("content", "style"))
        return margin + x, margin + side - y

    dots = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#26c" opacity="0.7">'
        f"<title>{html.escape(name)}</title></circle>"
        for name, (x, y) in ((name, place(row)) for name, row in table.items())
    ]
    bottom = margin + side
    texts = [
        (margin, margin - 16, "start", f"{title}: mean and pairs, nearer the corner is better"),
        (margin + side / 2, bottom + 32, "middle", "content distance"),
        (margin + side, bottom + 16, "end", f"{most['content']:.3g}"),
        (margin, bottom + 16, "start", "0"),
        (margin + 6, margin + 12, "start", f"style distance, up to {most['style']:.3g}"),
    ]
    x, y = place(summarise(table)["mean"])
    whole = side + 2 * margin
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {whole}" '
        'font-family="sans-serif" font-size="12">'
    )
    return "\n".join(
        [
            head,
            f'<rect width="{whole}" height="{whole}" fill="white"/>',
            f'<path d="M{margin} {margin}V{bottom}H{margin + side}" stroke="black" fill="none"/>',
            *dots,
            f'<path d="M{x - 8:.1f} {y:.1f}h16m-8 -8v16" stroke="#c22" stroke-width="3"/>',
            *(f'<text x="{a}" y="{b}" text-anchor="{c}">{d}</text>' for a, b, c, d in texts),
            "</svg>\n",
        ]
    )
