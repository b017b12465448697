"""Put the result of a training run into a plugin: weights file, size and hash in its card.

    python tools/package_weights.py adain runs/adain [--set default]

Stores float16, copies the card's licence, data and origin into the file, and rewrites ``bytes``
and ``sha256`` in ``plugin.py``, so that no figure is typed by hand.
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib import resources
from pathlib import Path

from gentool import GentoolError, PluginError, UsageError, plugins, weights
from gentool.cards import Card, WeightsFile, resolve
from gentool.errors import did_you_mean


def package(method: str, source: Path, set_name: str | None) -> Path:
    """Write the packaged file and mend the card; returns the file."""
    card = plugins.card(method)
    entry = _entry(card, set_name)
    package_dir = Path(str(resources.files(card.package)))
    plugin = package_dir / "plugin.py"
    text = plugin.read_text(encoding="utf-8")
    pattern = rf'file="{re.escape(entry.file)}".*?bytes=[\d_]+.*?sha256=[^\n]+'
    place = re.search(pattern, text, re.DOTALL)
    if place is None:
        raise PluginError(f'{plugin}: has no file="{entry.file}" with bytes and sha256 behind it')
    source = weights.file_of(source)
    model = weights.load(resolve(card.model), source, method)
    recipe = weights.read_header(source).metadata.get("recipe", "{}")
    target = package_dir / entry.file
    target.parent.mkdir(exist_ok=True)
    weights.save(
        target,
        model,
        method,
        half=True,
        licence=entry.licence,
        trained_on=entry.trained_on,
        origin=entry.origin,
        recipe=recipe,
    )
    head, tail = text[: place.start()], text[place.start() :]
    tail = re.sub(r"bytes=[\d_]+", f"bytes={target.stat().st_size:_}", tail, count=1)
    tail = re.sub(r"sha256=[^\n]+", f'sha256="{weights.sha256(target)}",', tail, count=1)
    plugin.write_text(head + tail, encoding="utf-8")
    return target


def _entry(card: Card, name: str | None) -> WeightsFile:
    known = {w.name: w for w in card.weights}
    if not known or (name and name not in known):
        listed = ", ".join(known) or "none"
        raise UsageError(
            f"{card.name} has no weights set '{name or 'default'}'"
            f"{did_you_mean(name or '', known)} (its card has {listed})"
        )
    return known[name] if name else card.weights[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("method")
    parser.add_argument("source", type=Path, help="training run or weights file")
    parser.add_argument("--set", dest="set_name", help="which weights set of the card")
    arguments = parser.parse_args()
    try:
        print(package(arguments.method, arguments.source, arguments.set_name))
    except GentoolError as e:
        sys.exit(f"error: {e}")


if __name__ == "__main__":
    main()
