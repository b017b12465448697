"""Find plugins: the methods that are installed, their cards and trainers.

Two entry-point groups: ``gentool.methods``, where the entry's name is the method's name, and
``gentool.extensions`` for losses, metrics, commands and observers (:mod:`gentool.extensions`).
Nothing is imported to learn a plugin's name, distribution, version and compatibility; those come
from package metadata.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gentool import distributions
from gentool.cards import Card, resolve
from gentool.distributions import METHODS
from gentool.environment import EntryPoint
from gentool.errors import PluginError
from gentool.loading import FOREIGN, Plugin, broken, load, returned, told


def _method(entry: EntryPoint) -> Plugin:
    """Load one entry of the group of methods and find its card."""
    plugin, module = load(entry)
    if module is None:
        return plugin
    try:
        cards = returned(module, "gentool_cards")
    except FOREIGN as e:
        return broken(plugin, f"gentool_cards() raised {told(e)}", e)
    for card in cards:
        if isinstance(card, Card) and card.name == entry.name:
            return replace(plugin, card=card)
    return broken(plugin, f"gentool_cards() returns no card named '{entry.name}'")


def _only(entry: EntryPoint, entries: Iterable[EntryPoint]) -> Plugin:
    """The method of an entry, which no other one of ``entries`` may have the name of."""
    namesakes = [other for other in entries if other.name == entry.name]
    if len(namesakes) == 1:
        return _method(entry)
    distribution, version = distributions.name_version(entry)
    names = sorted({distributions.name_version(e)[0] for e in namesakes})
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
    return [_only(entry, entries) for entry in entries]


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
    mine = next((entry for entry in entries if entry.name == name), None)
    if mine is None:
        from gentool import registry
        from gentool.errors import UsageError

        if variable := distributions.switched_off_method(name):
            raise UsageError(f"method '{name}' is switched off by {variable}; change or unset it")
        raise UsageError(registry.explain_missing(name, [entry.name for entry in entries]))
    plugin = _only(mine, entries)
    if plugin.card is None or not plugin.usable:
        raise PluginError(plugin.explain()) from plugin.error
    return plugin.card


def provider(name: str) -> tuple[str, str]:
    """Distribution and version that provide a method."""
    for entry in distributions.entry_points(METHODS):
        if entry.name == name:
            return distributions.name_version(entry)
    return "unknown", "?"


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
            return broken(plugin, str(e), e)
        except FOREIGN as e:
            return broken(plugin, f"importing {reference} raised {told(e)}", e)
    if card and card.training:
        try:
            trainer(card)
        except PluginError as e:  # what it does without training still works
            return replace(plugin, cause=str(e), error=e)
        except FOREIGN as e:
            return broken(plugin, f"importing its training raised {told(e)}", e)
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
        from gentool.install.changes import with_extra

        fix = with_extra(provider(card.name)[0], "train")
        raise PluginError(f"{card.name} cannot be trained here: {e}; {fix}") from e
