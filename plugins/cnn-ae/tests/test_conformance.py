"""The codec does what every method must."""

from gentool.testing import Conformance


class TestCnnAe(Conformance):
    plugin = "cnn-ae"
    training = {"crop_size": 64}  # noqa: RUF012 - declared as a class variable there
