"""The loss curve as a picture; needs matplotlib, which the extra ``plot`` installs."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping, Sequence

from gentool import UsageError


def check() -> None:
    """Refuse to plot without matplotlib, before the work rather than after it.

    Raises:
        UsageError: it is not installed.
    """
    try:
        importlib.import_module("matplotlib")
    except ImportError as e:
        raise UsageError(
            "--plot: matplotlib is not installed; pip install 'gentool-gatys[plot]'"
        ) from e


def curve(terms: Sequence[Mapping[str, float]], name: str) -> bytes:
    """Every weighted term over the evaluations, logarithmic, as SVG titled ``name``."""
    from matplotlib.figure import Figure  # not pyplot, which keeps a window and global state

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="evaluation", ylabel="weighted loss", yscale="log")
    for term in terms[0] if terms else ():
        axes.plot([t[term] for t in terms], label=term, lw=2 if term == "total" else 1.2)
    axes.grid(alpha=0.3)
    axes.legend()
    buffer = io.BytesIO()
    # beside the drawing: its font lacks other scripts, and a file's name may hold what is no text
    title = name.encode(errors="replace").decode()
    figure.savefig(buffer, format="svg", metadata={"Title": title})
    return buffer.getvalue()
