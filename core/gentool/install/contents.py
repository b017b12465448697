"""Does a wheel hold what its cards and its registry row promise? Told without running it."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from gentool import __version__, distributions, literal
from gentool.cards import Card, Record, WeightsFile
from gentool.distributions import CORE, EXTENSIONS, METHODS
from gentool.environment import normal
from gentool.errors import GentoolError, InstallError
from gentool.install.archive import Wheel
from gentool.registry.rows import Row
from gentool.weights import FILE, FORMAT, read_header, sha256

# in lower case, as disks of macOS and Windows compare names
RESERVED = {"__main__", "gentool", "sitecustomize", "usercustomize"} | {
    name.lower() for name in sys.stdlib_module_names
}


def verify(wheel: Wheel, row: Row | None = None) -> list[Card]:
    """Compare a wheel with the installed core, its cards, and its registry row if it has one.

    Returns:
        Its cards, read from the source text.

    Raises:
        InstallError: one line saying what does not fit.
    """
    try:
        _core(wheel)
        _modules(wheel)
        found = cards(wheel)
        checked = {_weights(wheel, card, entry) for card in found for entry in card.weights}
        _headers(wheel, wheel.files.keys() - checked)
        if row:
            _promise(wheel, found, row)
    except GentoolError as e:
        text = str(e).removeprefix(f"{wheel.path.name}: ")
        raise InstallError(f"{wheel.path.name}: {text}; nothing was installed") from e
    return found


def cards(wheel: Wheel) -> list[Card]:
    """The cards of its methods.

    Raises:
        GentoolError: a module is missing, or its cards cannot be read or are not complete.
    """
    found: dict[str, Card] = {}
    for name, module in wheel.entries.get(METHODS, {}).items():
        file, text = _module(wheel, module)
        card = next((c for c in literal.cards(text, file) if c.name == name), None)
        if card is None:
            raise InstallError(f"{file} has no card named '{name}'")
        references = [card.model, *(r for a in card.actions for r in (a.options, a.function))]
        references += [card.training.options, card.training.trainer] if card.training else []
        _references(wheel, references)
        found[name] = card
    return list(found.values())


def records(wheel: Wheel) -> list[Record]:
    """The losses, metrics and commands that its extensions write as literals.

    Raises:
        GentoolError: a module is missing, or its records cannot be read.
    """
    found: list[Record] = []
    for module in wheel.entries.get(EXTENSIONS, {}).values():
        file, text = _module(wheel, module)
        found += literal.records(text, file)
    _references(wheel, [str(record.reference) for record in found])
    return found


def _module(wheel: Wheel, module: str) -> tuple[str, str]:
    found = wheel.source(module.partition(":")[0].strip())
    if found is None:
        raise InstallError(f"its entry point names {module}, which is not in it")
    return found


def _references(wheel: Wheel, references: list[str]) -> None:
    """Modules of its own packages that are named must be there; others come with requirements."""
    tops = {name.partition("/")[0] for name in wheel.files}
    for reference in references:
        module = reference.partition(":")[0]
        compiled = f"{module.replace('.', '/')}."
        there = wheel.source(module) or any(name.startswith(compiled) for name in wheel.files)
        if module.partition(".")[0] in tops and not there:
            raise InstallError(f"it names {reference}, but has no module {module}")


def _core(wheel: Wheel) -> None:
    wanted = distributions.core_requirements(wheel.requires)
    if not wanted:
        raise InstallError(f"does not say which versions of {CORE} it works with")
    for line in wanted:
        if not distributions.meets(__version__, line):
            raise InstallError(f"requires {line}, this is {CORE} {__version__}")


def _modules(wheel: Wheel) -> None:
    """A plugin brings modules of its own and takes no other's name."""
    tops = {name.partition("/")[0] for name in wheel.files}
    owners: dict[str, set[str]] = {}
    for module, names in packages_distributions().items():
        owners.setdefault(module.lower(), set()).update(map(normal, names))
    for top in sorted(tops):
        module = top.partition(".")[0]
        if top.endswith(".dist-info"):
            continue
        if module.lower() in RESERVED:
            raise InstallError(f"brings a module named '{module}', which is not its own")
        if others := owners.get(module.lower(), set()) - {normal(wheel.name)}:
            raise InstallError(f"brings '{module}', which belongs to {min(others)}")


def _weights(wheel: Wheel, card: Card, entry: WeightsFile) -> str:
    """Compare a weights file with what its card says, and return its name in the wheel."""
    name = f"{card.package}/{entry.file}"
    size = wheel.files.get(name)
    if size is None:
        raise InstallError(f"lacks {name}, which the card of '{card.name}' names")
    if not (entry.licence and entry.trained_on and entry.origin):
        raise InstallError(f"the card of '{card.name}' gives no licence, data or origin of {name}")
    with _extracted(wheel, name) as path:
        if size != entry.bytes or sha256(path) != entry.sha256:
            raise InstallError(f"{name} is not what the card of '{card.name}' says (hash differs)")
        metadata = read_header(path).metadata
    if metadata.get("format") != FORMAT or metadata.get("method") != card.name:
        raise InstallError(f"{name} holds no gentool weights of '{card.name}'")
    return name


def _headers(wheel: Wheel, names: Iterable[str]) -> None:
    for name in sorted(names):
        if name.endswith(".safetensors"):
            with _extracted(wheel, name) as path:
                read_header(path)


@contextlib.contextmanager
def _extracted(wheel: Wheel, name: str) -> Iterator[Path]:
    """One file of a wheel on disk for a moment; errors speak of it by its name in the wheel."""
    with tempfile.TemporaryDirectory(prefix="gentool-") as folder:
        path = Path(folder) / FILE
        wheel.extract(name, path)
        try:
            yield path
        except GentoolError as e:
            raise InstallError(str(e).replace(str(path), name)) from e


def _promise(wheel: Wheel, cards: list[Card], row: Row) -> None:
    """The registry row and the wheel say the same."""
    where = f"the registry {row.registry}"
    if row.published and (normal(wheel.name), wheel.version) != (
        normal(row.distribution),
        row.published.version,
    ):
        raise InstallError(f"is {wheel.name} {wheel.version}, not what {where} says")
    methods = set(wheel.entries.get(METHODS, {}))
    if methods != set(row.methods):
        raise InstallError(
            f"brings the methods {', '.join(sorted(methods)) or 'none'}, "
            f"{where} says {', '.join(row.methods) or 'none'}"
        )
    held = {(w.name, w.file, w.bytes, w.sha256, w.licence) for c in cards for w in c.weights}
    told = {(w.name, w.file, w.bytes, w.sha256, w.licence) for w in row.weights}
    if held != told:
        name = min(entry[1] for entry in held ^ told)
        raise InstallError(f"its weights {name} are not those that {where} lists")
