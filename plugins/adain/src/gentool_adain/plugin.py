"""The card of AdaIN. Nothing here may import torch or pydantic."""

from gentool import Action, Card, Training, WeightsFile, hookimpl

CARD = Card(
    name="adain",
    task="style transfer",
    summary="Paint one picture in the style of another, any style, in one pass.",
    paper="Huang & Belongie 2017, Arbitrary Style Transfer in Real-time with Adaptive Instance "
    "Normalization, arXiv:1703.06868",
    actions=(
        Action(
            name="stylize",
            summary="Paint the content in the style of another picture.",
            options="gentool_adain.options:StylizeOptions",
            function="gentool_adain.actions:stylize",
        ),
        Action(
            name="interpolate",
            summary="Go from style to style on one content: a sheet or an animation.",
            options="gentool_adain.options:InterpolateOptions",
            function="gentool_adain.actions:interpolate",
            suffixes=(".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".mp4"),
        ),
    ),
    model="gentool_adain.nets:AdaIN",
    weights=(
        WeightsFile(
            name="default",
            file="weights/adain.safetensors",
            bytes=3_977_736,
            sha256="d9fce2f54fe480ed3027b9f02171a5d5d8e64543c69aadd953850087083dc3f6",
            licence="MIT; see trained_on for the terms of the data",
            trained_on="1,565 photographs (ImageNet samples, BSDS500, Pixabay, PASCAL VOC and "
            "others) and 1,594 works of art by artists who died in 1955 or earlier (mostly WikiArt "
            "reproductions; KaoKore faces, CC BY-SA 4.0); several sources offer their pictures for "
            "research only",
            origin="trained by the gentool project from scratch; features from VGG-19 (Simonyan & "
            "Zisserman 2014, CC BY 4.0) and its distillation by Wang et al. 2020 (MIT) as losses",
            image_size=512,
        ),
    ),
    training=Training(
        options="gentool_adain.options:TrainOptions",
        trainer="gentool_adain.trainer:AdaINTrainer",
        defaults={
            "steps": 30_000,
            "batch_size": 8,
            "lr_schedule": "cosine",
            "lr_final": 0.02,
            "lr_warmup": 100,
            "clip": 5.0,
        },
    ),
)


@hookimpl
def gentool_cards() -> list[Card]:
    return [CARD]
