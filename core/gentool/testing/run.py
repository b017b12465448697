"""Every check in order, and running them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gentool.distributions import METHODS
from gentool.environment import EntryPoint
from gentool.errors import GentoolError
from gentool.testing import command, dynamic, imports, offers, static, training, wheel
from gentool.testing.subject import Finding, Skip, Subject, Untried, find

Check = Callable[[Subject], Iterable[Finding]]

ALL: tuple[Check, ...] = (
    static.card_is_valid_and_complete,
    static.requirement_on_core_can_be_met,
    static.no_hook_is_a_wrapper,
    imports.plugin_and_options_import_nothing_slow,
    static.every_reference_resolves,
    wheel.wheel_holds_card_weights_and_licence,
)
OF_METHODS: tuple[Check, ...] = (
    static.options_are_documented_and_their_defaults_valid,
    command.help_is_shown,
    command.a_bad_value_is_one_line_and_exit_code_2,
    dynamic.packaged_weights_match_and_load_strictly,
    dynamic.saving_and_loading_is_bit_exact,
    dynamic.actions_run_on_small_and_odd_pictures,
    dynamic.a_batch_equals_its_items,
    dynamic.the_same_seed_gives_the_same_result,
    training.two_steps_reach_every_parameter,
)
OF_EXTENSIONS: tuple[Check, ...] = (
    offers.records_are_complete,
    offers.losses_give_named_terms_with_a_gradient,
    offers.metrics_give_named_figures,
    offers.commands_show_their_help,
)


def checks(entry: EntryPoint) -> tuple[Check, ...]:
    """The checks that concern a method, or an extension."""
    return ALL + (OF_METHODS if entry.group == METHODS else OF_EXTENSIONS)


@dataclass(frozen=True)
class Result:
    """What one check found.

    Attributes:
        plugin: name of the entry point.
        check: name of the check, in words.
        status: ``ok``, ``failed`` or ``skipped``.
        details: findings, what could not be tried, and why it was skipped.
    """

    plugin: str
    check: str
    status: str
    details: tuple[str, ...] = ()


def check(name: str) -> Iterator[Result]:
    """Check an installed plugin, by its name or its distribution's.

    Raises:
        UsageError: there is no such plugin.
    """
    for entry in find(name):
        subject = Subject(entry)
        for one in checks(entry):
            yield run(one, subject)


def run(one: Check, subject: Subject) -> Result:
    """Run one check; a plugin that breaks the check itself fails it, and what it found stays."""
    status, details = "ok", list[str]()
    try:
        for finding in one(subject):
            details.append(str(finding))
            if not isinstance(finding, Untried):
                status = "failed"
    except Skip as e:
        details.append(str(e))
        status = "skipped" if status == "ok" else status
    except GentoolError as e:
        details.append(f"{e}; correct the plugin")
        status = "failed"
    except (Exception, SystemExit) as e:  # foreign code raises anything
        where = traceback.extract_tb(e.__traceback__)[-1]
        text = f"{type(e).__name__}: {e}; correct {where.filename}, line {where.lineno}"
        details.append(" ".join(text.split()))
        status = "failed"
    return Result(subject.entry.name, one.__name__.replace("_", " "), status, tuple(details))
