"""Import one plugin and call one of its hooks, so that a broken one breaks nothing else."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pluggy

from gentool import __version__, distributions, hookspecs
from gentool.cards import Card, Record, to_stderr
from gentool.distributions import CORE
from gentool.environment import EntryPoint
from gentool.errors import PluginError, did_you_mean

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

    @property
    def trouble(self) -> str:
        """Cause and fix in one line; empty if there is nothing wrong."""
        return "; ".join(text for text in (self.cause, self.fix) if text)

    def explain(self) -> str:
        """The failure in one line."""
        text = f"plugin '{self.name}' ({self.distribution} {self.version}) is {self.status}"
        return f"{text}: {self.trouble}" if self.trouble else text


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


def call(module: object, hook: str, **kwargs: Any) -> list[Any]:
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


def returned(module: object, hook: str) -> list[Any]:
    """What one hook of one plugin gives, which may come from a generator, in one list."""
    with to_stderr():
        return [item for result in call(module, hook) for item in result]


def load(entry: EntryPoint) -> tuple[Plugin, object | None]:
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
        return replace(plugin, status="broken", cause=told(e), fix=fix, error=e), None
    if slow := sorted(heavy & set(sys.modules)):
        plugin = replace(
            plugin,
            status="slow",
            cause=f"{entry.value} imports {' and '.join(slow)}",
            fix="its author should import it inside actions.py",
        )
    return plugin, module


def told(error: BaseException) -> str:
    """An error of foreign code in one line."""
    reason = " ".join(str(error).split())  # pluggy says what is wrong on its third line
    return f"{type(error).__name__}: {reason[:300]}" if reason else type(error).__name__


def broken(plugin: Plugin, cause: str, error: BaseException | None = None) -> Plugin:
    fix = f"report it to the authors of {plugin.distribution}"
    return replace(plugin, status="broken", cause=cause, fix=fix, error=error)
