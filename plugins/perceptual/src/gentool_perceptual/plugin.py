"""The losses this plugin offers by name. Nothing here may import torch or pydantic."""

from gentool import Record, hookimpl


@hookimpl
def gentool_losses() -> list[Record]:
    where = "gentool_perceptual.losses"
    return [
        Record("content", "Relative distance of feature maps.", f"{where}:ContentLoss"),
        Record("gram", "Relative distance of Gram matrices.", f"{where}:GramLoss"),
        Record(
            "style-statistics",
            "Relative distance of channel means and deviations.",
            f"{where}:StatisticsLoss",
        ),
    ]
