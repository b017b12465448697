"""Gatys does what every method must."""

from typing import ClassVar

from gentool.testing import Conformance


class TestGatys(Conformance):
    plugin = "gatys"
    options: ClassVar = {"stylize": {"steps": 3, "init": "content", "content_size": 64}}
