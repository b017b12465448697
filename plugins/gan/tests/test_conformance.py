"""The GAN does what every method must."""

from gentool.testing import Conformance


class TestGAN(Conformance):
    plugin = "gan"
    training = staticmethod(lambda _: {"widths": [16, 8, 8, 4], "discriminator_width": 4})
