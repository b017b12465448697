"""``gentool compare REFERENCE PICTURE...``."""

from __future__ import annotations

import json

import click

from gentool import UsageError, metrics
from gentool.images import read


@click.command()
@click.argument("reference", type=click.Path(exists=True))
@click.argument("pictures", nargs=-1, required=True, type=click.Path(exists=True))
@click.option("--metric", "names", multiple=True, default=["gmsd"], help="Metric by name; several.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(
    reference: str, pictures: tuple[str, ...], names: tuple[str, ...], as_json: bool
) -> None:
    """Compare PICTURES with a REFERENCE of their size, by any metric that is installed."""
    measures = [metrics.get(name)() for name in names]
    target = read(reference).pixels[None]
    found = {}
    for name in pictures:
        prediction = read(name).pixels[None]
        if prediction.shape != target.shape:
            size = f"{prediction.shape[3]} x {prediction.shape[2]}"
            raise UsageError(
                f"{name}: is {size}, {reference} is {target.shape[3]} x {target.shape[2]}"
            )
        results = [measure(prediction, target) for measure in measures]
        found[name] = {key: value for figures in results for key, value in figures.items()}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, figures in found.items():
        click.echo(f"{name}  " + "  ".join(f"{key} {value:.4f}" for key, value in figures.items()))
