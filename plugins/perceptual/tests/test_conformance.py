"""The losses do what every loss must, on feature maps."""

from typing import ClassVar

import torch

from gentool.testing import Conformance
from gentool_perceptual.losses import ContentLoss, GramLoss, StatisticsLoss


def on_features(loss):
    def sample():
        prediction, target = ({"x": torch.rand(2, 4, 8, 8)} for _ in range(2))
        prediction["x"].requires_grad_()
        return loss(["x"]), prediction, target

    return sample


class TestPerceptual(Conformance):
    plugin = "perceptual"
    losses: ClassVar = {
        "content": on_features(ContentLoss),
        "gram": on_features(GramLoss),
        "style-statistics": on_features(StatisticsLoss),
    }
