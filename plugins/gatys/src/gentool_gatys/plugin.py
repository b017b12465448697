"""The card of Gatys' method. Nothing here may import torch or pydantic."""

from gentool import Action, Card, hookimpl

CARD = Card(
    name="gatys",
    task="style transfer",
    summary="Paint one picture in the style of others by optimisation: slow, and the closest.",
    paper="Gatys, Ecker & Bethge 2016, Image Style Transfer Using Convolutional Neural Networks, "
    "CVPR 2016",
    actions=(
        Action(
            name="stylize",
            summary="Paint the content in the style of one or several pictures.",
            options="gentool_gatys.options:StylizeOptions",
            function="gentool_gatys.actions:stylize",
        ),
    ),
    model="gentool_gatys.actions:Gatys",
)


@hookimpl
def gentool_cards() -> list[Card]:
    return [CARD]
