"""The card of the codec. Nothing here may import torch or pydantic."""

from gentool import Action, Card, Training, WeightsFile, hookimpl

CARD = Card(
    name="cnn-ae",
    task="compression",
    summary="Compress pictures with a convolutional autoencoder, and take noise out of them.",
    paper="Ballé et al. 2017, End-to-end Optimized Image Compression, arXiv:1611.01704; Minnen & "
    "Singh 2020, Channel-wise Autoregressive Entropy Models, arXiv:2007.08739; He et al. 2021, "
    "Checkerboard Context Model, arXiv:2103.15306; Cui et al. 2021, Asymmetric Gained Deep Image "
    "Compression, arXiv:2003.02012",
    actions=(
        Action(
            name="compress",
            summary="Compress a picture into a .gta file.",
            options="gentool_cnn_ae.options:CompressOptions",
            function="gentool_cnn_ae.actions:compress",
            suffixes=(".gta",),
        ),
        Action(
            name="decompress",
            summary="Make a picture of a .gta file.",
            options="gentool_cnn_ae.options:DecompressOptions",
            function="gentool_cnn_ae.actions:decompress",
        ),
        Action(
            name="reconstruct",
            summary="Compress and decompress a picture; say how large and how near it is.",
            options="gentool_cnn_ae.options:ReconstructOptions",
            function="gentool_cnn_ae.actions:reconstruct",
        ),
        Action(
            name="denoise",
            summary="Take noise out of a picture.",
            options="gentool_cnn_ae.options:DenoiseOptions",
            function="gentool_cnn_ae.actions:denoise",
        ),
    ),
    model="gentool_cnn_ae.nets:CnnAe",
    weights=(
        WeightsFile(
            name="default",
            file="weights/cnn_ae.safetensors",
            bytes=5_831_256,
            sha256="fe9ad56888db9975c493da9b60d5465b4e945976b5443aead1fea39d0e155fc4",
            licence="MIT; see trained_on for the terms of the data",
            trained_on="1,565 photographs (ImageNet samples, BSDS500, Pixabay, PASCAL VOC and "
            "others); several sources offer their pictures for research only",
            origin="trained by the gentool project from scratch",
            image_size=288,
        ),
    ),
    training=Training(
        options="gentool_cnn_ae.options:TrainOptions",
        trainer="gentool_cnn_ae.trainer:CnnAeTrainer",
        defaults={
            "steps": 200_000,
            "batch_size": 16,
            "lr_schedule": "cosine",
            "lr_final": 0.01,
            "lr_warmup": 100,
            "clip": 1.0,
            "preview_every": 2000,
        },
    ),
)


@hookimpl
def gentool_cards() -> list[Card]:
    return [CARD]
