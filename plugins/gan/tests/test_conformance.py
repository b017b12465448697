"""The GAN does what every method must."""

from gentool.testing import Conformance


class TestGAN(Conformance):
    plugin = "gan"
    training = staticmethod(lambda _: {"width": 4, "discriminator_width": 4})
