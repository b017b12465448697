"""Find plugins, load them one by one, and keep a broken one from breaking anything else.

Two entry-point groups: ``gentool.methods``, where the entry's name is the method's name, and
``gentool.extensions`` for losses, metrics, commands and observers. Nothing is imported to learn
a plugin's name, distribution, version and compatibility; those come from package metadata.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pluggy

from gentool import __version__, distributions, hookspecs
from gentool.cards import Card, Record, not_texts, resolve, to_stderr
from gentool.distributions import CORE, EXTENSIONS, METHODS
from gentool.environment import EntryPoint
from gentool.errors import PluginError, did_you_mean
from gentool.progress import silent

KINDS = ("losses", "metrics", "commands")
# a plugin is foreign code: its sys.exit() must not end the program either
FOREIGN = (Exception, SystemExit, GeneratorExit)


@dataclass(frozen=True, eq=False)
class Plugin:
    """One entry point and what became of it.

    Attributes:
        name: the entry point's name; in the group of methods also the method's.
        distribution, version: who installed it.
        status: ``ok``, ``broken``, ``incompatible``, ``duplicate`` or ``slow`` (works, but
            imports torch or pydantic before it is asked to).
        cause, fix: one line each where the status is not ``ok``.
        card: the method's card, if it could be read.
        offers: of an extension, ``{"losses": [...], "metrics": [...], "commands": [...]}``; kinds
            that it has none of are left out.
    """

    name: str
    distribution: str
    version: str
    status: str = "ok"
    cause: str = ""
    fix: str = ""
    card: Card | None = None
    error: BaseException | None = None
    offers: Mapping[str, list[Record]] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        return self.status in ("ok", "slow")

    def explain(self) -> str:
        """The failure in one line."""
        text = f"plugin '{self.name}' ({self.distribution} {self.version}) is {self.status}"
        return f"{text}: {self.cause}; {self.fix}" if self.cause else text


@functools.cache
def manager() -> pluggy.PluginManager:
    """The process's hook registry, with no plugin loaded yet."""
    pm = pluggy.PluginManager("gentool")
    pm.add_hookspecs(hookspecs)
    return pm


def _register(entry: EntryPoint) -> object:
    """Import an entry point's module and register its hooks, once."""
    module = entry.load()
    pm = manager()
    if not pm.is_registered(module):
        for name in dir(module):
            implementation = getattr(module, name)
            options = getattr(implementation, "gentool_impl", None)
            if options is None:
                continue
            if name not in vars(hookspecs):
                raise PluginError(f"there is no hook '{name}'{did_you_mean(name, _hook_names())}")
        try:
            pm.register(module)
        except Exception:
            if pm.is_registered(module):  # pluggy before 1.7 checks last
                pm.unregister(module)
            raise
    return module


def _hook_names() -> list[str]:
    return [name for name in vars(hookspecs) if name.startswith("gentool_")]


def _call(module: object, hook: str, **kwargs: Any) -> list[Any]:
    """One hook of one plugin, so that another's failure cannot reach it.

    ``GENTOOL_TRACE=1`` tells on stderr which hooks were called and how long each took.
    """
    pm = manager()
    others = [p for p in pm.get_plugins() if p is not module]
    start = time.perf_counter()
    try:
        results: list[Any] = pm.subset_hook_caller(hook, others)(**kwargs)
        return results
    finally:
        if os.environ.get("GENTOOL_TRACE", "0") != "0" and hasattr(module, hook):
            taken = (time.perf_counter() - start) * 1e3
            name = getattr(module, "__name__", module)
            print(f"gentool: {name}.{hook}() took {taken:.2f} ms", file=sys.stderr)  # noqa: T201


def _returned(module: object, hook: str) -> list[Any]:
    """What one hook of one plugin gives, which may come from a generator, in one list."""
    with to_stderr():
        return [item for result in _call(module, hook) for item in result]


def _load(entry: EntryPoint) -> tuple[Plugin, object | None]:
    """Import one entry point in its own try."""
    distribution, version = distributions.name_version(entry)
    plugin = Plugin(entry.name, distribution, version)
    if wanted := distributions.mismatch(entry):
        return replace(
            plugin,
            status="incompatible",
            cause=f"it requires {wanted}, this is {CORE} {__version__}",
            fix=f"gentool install a newer {distribution}, or gentool uninstall {distribution}",
        ), None
    heavy = {"torch", "pydantic"} - set(sys.modules)
    try:
        with to_stderr():
            module = _register(entry)
    except FOREIGN as e:
        fix = f"gentool install a newer {distribution}, or gentool uninstall {distribution}"
        return replace(plugin, status="broken", cause=_told(e), fix=fix, error=e), None
    if slow := sorted(heavy & set(sys.modules)):
        plugin = replace(
            plugin,
            status="slow",
            cause=f"{entry.value} imports {' and '.join(slow)}",
            fix="its author should import it inside actions.py",
        )
    return plugin, module


def _told(error: BaseException) -> str:
    """An error of foreign code in one line."""
    reason = " ".join(str(error).split())  # pluggy says what is wrong on its third line
    return f"{type(error).__name__}: {reason[:300]}" if reason else type(error).__name__


def _broken(plugin: Plugin, cause: str, error: BaseException | None = None) -> Plugin:
    fix = f"report it to the authors of {plugin.distribution}"
    return replace(plugin, status="broken", cause=cause, fix=fix, error=error)


def _method(entry: EntryPoint) -> Plugin:
    """Load one entry of the group of methods and find its card."""
    plugin, module = _load(entry)
    if module is None:
        return plugin
    try:
        cards = _returned(module, "gentool_cards")
    except FOREIGN as e:
        return _broken(plugin, f"gentool_cards() raised {_told(e)}", e)
    for card in cards:
        if isinstance(card, Card) and card.name == entry.name:
            return replace(plugin, card=card)
    return _broken(plugin, f"gentool_cards() returns no card named '{entry.name}'")


def _duplicates(
    entries: list[EntryPoint],
) -> dict[str, list[EntryPoint]]:
    by_name: dict[str, list[EntryPoint]] = {}
    for entry in entries:
        by_name.setdefault(entry.name, []).append(entry)
    return {name: found for name, found in by_name.items() if len(found) > 1}


def _duplicate(entry: EntryPoint, all_: list[Any]) -> Plugin:
    distribution, version = distributions.name_version(entry)
    names = sorted({distributions.name_version(e)[0] for e in all_})
    return Plugin(
        entry.name,
        distribution,
        version,
        status="duplicate",
        cause=f"'{entry.name}' is provided by {' and '.join(names)}",
        fix=f"gentool uninstall all but one of {', '.join(names)}",
    )


def methods() -> list[Plugin]:
    """Every installed method, usable or not, sorted by name."""
    entries = distributions.entry_points(METHODS)
    doubled = _duplicates(entries)
    return [
        _duplicate(entry, doubled[entry.name]) if entry.name in doubled else _method(entry)
        for entry in entries
    ]


def method_names() -> list[str]:
    """Names of the installed methods; imports none of them."""
    return sorted({entry.name for entry in distributions.entry_points(METHODS)})


def card(name: str) -> Card:
    """The card of one method; loads only the plugin that provides it.

    Raises:
        PluginError: the plugin is broken, incompatible or duplicate.
        UsageError: there is no such method; the text tells one that is known but not
            installed from one that is unknown.
    """
    entries = distributions.entry_points(METHODS)
    mine = [entry for entry in entries if entry.name == name]
    if not mine:
        from gentool import registry
        from gentool.errors import UsageError

        if variable := distributions.switched_off_method(name):
            raise UsageError(f"method '{name}' is switched off by {variable}; change or unset it")
        raise UsageError(registry.explain_missing(name, [entry.name for entry in entries]))
    plugin = _duplicate(mine[0], mine) if len(mine) > 1 else _method(mine[0])
    if plugin.card is None or not plugin.usable:
        raise PluginError(plugin.explain()) from plugin.error
    return plugin.card


def provider(name: str) -> tuple[str, str]:
    """Distribution and version that provide a method."""
    for entry in distributions.entry_points(METHODS):
        if entry.name == name:
            return distributions.name_version(entry)
    return "unknown", "?"


@functools.cache
def _extensions() -> tuple[tuple[Plugin, object | None], ...]:
    return tuple(_load(entry) for entry in distributions.entry_points(EXTENSIONS))


def _modules() -> Iterable[tuple[Plugin, object]]:
    """Every extension that works; a module that two entry points name counts once."""
    found: dict[int, tuple[Plugin, object]] = {}
    for plugin, module in _extensions():
        if module is not None:
            found.setdefault(id(module), (plugin, module))
    return found.values()


def extensions() -> list[Plugin]:
    """Every installed extension, usable or not, sorted by name."""
    return [_offering(plugin, module) for plugin, module in _extensions()]


def _offering(plugin: Plugin, module: object | None) -> Plugin:
    """An extension with what it offers; one of whose hooks fails is broken."""
    if module is None:
        return plugin
    try:
        found = {kind: _records(module, f"gentool_{kind}") for kind in KINDS}
    except PluginError as e:
        return _broken(plugin, str(e), e)
    return replace(plugin, offers={kind: rs for kind, rs in found.items() if rs})


def _records(module: object, hook: str) -> list[Record]:
    """What one extension offers through one hook.

    Raises:
        PluginError: the hook raised, or returns something else than records.
    """
    try:
        found = _returned(module, hook)
    except FOREIGN as e:
        raise PluginError(f"{hook}() raised {_told(e)}") from e
    for record in found:
        if not isinstance(record, Record):
            raise PluginError(f"{hook}() returns a {type(record).__name__} among its records")
        for name in not_texts(record):
            raise PluginError(f"{hook}() returns a record whose {name} is no text")
    return found


def records(hook: str, report: Callable[[str], None] = silent) -> dict[str, Record]:
    """What all extensions offer through one hook, by name.

    Names that two plugins offer are left out, as :func:`doubles` tells.

    Args:
        hook: ``gentool_losses``, ``gentool_metrics`` or ``gentool_commands``.
        report: told, in one line each, of plugins that failed.
    """
    found = _offers(hook, report)
    return {name: offers[0][0] for name, offers in sorted(found.items()) if len(offers) == 1}


def doubles(hook: str) -> dict[str, str]:
    """Names that two plugins offer through one hook, and an error text that names both."""
    return {
        name: f"'{name}' is provided by {' and '.join(d for _, d in offers)}; "
        "gentool uninstall all but one of them"
        for name, offers in _offers(hook, silent).items()
        if len(offers) > 1
    }


def _offers(hook: str, report: Callable[[str], None]) -> dict[str, list[tuple[Record, str]]]:
    """Every record by name, with the distributions that offer it."""
    found: dict[str, list[tuple[Record, str]]] = {}
    for plugin, module in _extensions():
        if module is None:
            report(plugin.explain())
    for plugin, module in _modules():
        try:
            mine = _records(module, hook)
        except PluginError as e:
            report(f"plugin '{plugin.name}' ({plugin.distribution}): {e}")
            continue
        for record in mine:
            found.setdefault(record.name, []).append((record, plugin.distribution))
    return found


def notify(hook: str, report: Callable[[str], None], **kwargs: Any) -> None:
    """Tell every observer; one that raises is reported and the others are still told."""
    for plugin, module in _modules():
        try:
            with to_stderr():
                _call(module, hook, **kwargs)
        except FOREIGN as e:
            report(f"plugin '{plugin.name}' ({plugin.distribution}): {hook}() raised {e!r}")


def check(plugin: Plugin) -> Plugin:
    """Import everything a plugin refers to; a failure becomes the plugin's status."""
    if not plugin.usable:
        return plugin
    card = plugin.card
    if card:
        references = [card.model, *(r for a in card.actions for r in (a.options, a.function))]
    else:
        references = [record.reference for rs in plugin.offers.values() for record in rs]
    for reference in references:
        try:
            resolve(reference)
        except PluginError as e:
            return _broken(plugin, str(e), e)
        except FOREIGN as e:
            return _broken(plugin, f"importing {reference} raised {_told(e)}", e)
    if card and card.training:
        try:
            trainer(card)
        except PluginError as e:  # what it does without training still works
            return replace(plugin, cause=str(e), error=e)
        except FOREIGN as e:
            return _broken(plugin, f"importing its training raised {_told(e)}", e)
    return plugin


def trainer(card: Card) -> Any:
    """The Trainer class of a method.

    Raises:
        PluginError: the method has none, or something that training needs is not installed.
    """
    if card.training is None:
        raise PluginError(f"{card.name} cannot be trained")
    try:
        resolve(card.training.options)
        return resolve(card.training.trainer)
    except PluginError as e:
        from gentool.install.changes import source

        fix = f"gentool install '{source(provider(card.name)[0])}[train]'"
        raise PluginError(f"{card.name} cannot be trained here: {e}; {fix}") from e
