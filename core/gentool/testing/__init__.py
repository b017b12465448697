"""The conformance kit: what every plugin must do, as ``gentool check`` and as tests.

A plugin's test file needs three lines::

    from gentool.testing import Conformance

    class TestWaves(Conformance):
        plugin = "waves"

Each check becomes a test. Values that the kit cannot guess are given by the
first of a field's ``examples``, or in the class: see :class:`Conformance`.
"""

from __future__ import annotations

from gentool.testing.conformance import Conformance
from gentool.testing.run import Result, check
from gentool.testing.subject import Finding, Subject

__all__ = ["Conformance", "Finding", "Result", "Subject", "check"]
