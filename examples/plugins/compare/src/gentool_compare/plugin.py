"""What this plugin offers. Nothing here imports torch: references are imported when used."""

from gentool import Record, hookimpl


@hookimpl
def gentool_losses() -> list[Record]:
    reference = "gentool_compare.losses:GradientDifference"
    return [Record("gradient-difference", "Difference of the pictures' edges.", reference)]


@hookimpl
def gentool_metrics() -> list[Record]:
    reference = "gentool_compare.metrics:Gmsd"
    return [Record("gmsd", "Gradient magnitude similarity deviation.", reference)]


@hookimpl
def gentool_commands() -> list[Record]:
    return [Record("compare", "Compare pictures with a reference.", "gentool_compare.cli:compare")]
