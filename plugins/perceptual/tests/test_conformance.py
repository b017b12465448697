"""The perceptual plugin does what every plugin must."""

from gentool.testing import Conformance

from .conftest import thin_teacher


def small_training(folder):
    return {"teacher": [thin_teacher(folder)], "crop_size": 64, "pool": 0}


class TestPerceptual(Conformance):
    plugin = "perceptual"
    training = staticmethod(small_training)
