"""The VAE does what every method must."""

from gentool.testing import Conformance


class TestVAE(Conformance):
    plugin = "vae"
    training = {"size": 16, "latent": 8, "width": 16}  # noqa: RUF012
