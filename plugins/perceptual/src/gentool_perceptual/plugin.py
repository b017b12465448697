"""The card of the compact network, and the losses and metrics offered by name.

Nothing here may import torch or pydantic.
"""

from gentool import Card, Record, Training, WeightsFile, hookimpl

CARD = Card(
    name="perceptual",
    task="perceptual losses and metrics",
    summary="Content and style losses on a compact feature network that stands in for VGG-19.",
    paper="Gatys, Ecker & Bethge 2016, Image Style Transfer Using Convolutional Neural Networks, "
    "CVPR 2016; VGG-19: Simonyan & Zisserman 2014, arXiv:1409.1556",
    actions=(),
    model="gentool_perceptual.compact:Compact",
    weights=(
        WeightsFile(
            name="default",
            file="weights/perceptual.safetensors",
            bytes=2_081_914,
            sha256="671a847ce496319b0360bd51a60cf33230762e78ba7cbfccf3fc888993385bd0",
            licence="CC BY 4.0, as its teacher VGG-19; see trained_on for the terms of the data",
            trained_on="1,565 photographs (ImageNet samples, BSDS500, Pixabay, PASCAL VOC and "
            "others) and 1,594 works of art by artists who died in 1955 or earlier (mostly WikiArt "
            "reproductions; KaoKore faces, CC BY-SA 4.0); several sources offer their pictures for "
            "research only",
            origin="trained by the gentool project to reproduce VGG-19 (Simonyan & Zisserman 2014, "
            "CC BY 4.0) to relu3_1 and its distillation by Wang et al. 2020 (MIT, (c) 2020 Huan "
            "Wang) at relu4_1 and relu5_1",
        ),
    ),
    training=Training(
        options="gentool_perceptual.options:TrainOptions",
        trainer="gentool_perceptual.trainer:DistillationTrainer",
        defaults={
            "steps": 4000,
            "batch_size": 8,
            "lr_schedule": "cosine",
            "lr_final": 0.02,
            "lr_warmup": 60,
            "clip": 1.0,
            "ema": 0.995,
        },
    ),
)


@hookimpl
def gentool_cards() -> list[Card]:
    return [CARD]


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
        Record(
            "sliced-wasserstein",
            "Sliced Wasserstein distance of feature distributions.",
            f"{where}:SlicedWassersteinLoss",
        ),
        Record("perceptual", "Distance of pictures in features.", f"{where}:PerceptualLoss"),
        Record("l1", "Mean absolute difference of pictures.", f"{where}:L1Loss"),
        Record("l2", "Mean squared difference of pictures.", f"{where}:L2Loss"),
        Record("total-variation", "Roughness of a picture.", f"{where}:TotalVariationLoss"),
    ]


@hookimpl
def gentool_metrics() -> list[Record]:
    where = "gentool_perceptual.metrics"
    return [
        Record("content-distance", "How far features moved.", f"{where}:ContentDistance"),
        Record("style-distance", "How far feature statistics are.", f"{where}:StyleDistance"),
        Record(
            "perceptual-distance",
            "Distance of unit features, all layers.",
            f"{where}:PerceptualDistance",
        ),
        Record("frechet", "Frechet distance of two sets of pictures.", f"{where}:FrechetDistance"),
        Record("precision-recall", "Precision and recall of a set.", f"{where}:PrecisionRecall"),
    ]
