"""The card of the VAE. Nothing here may import torch or pydantic."""

from gentool import Action, Card, Training, WeightsFile, hookimpl

CARD = Card(
    name="vae",
    task="image generation",
    summary="Sample, reconstruct, interpolate, encode and edit small pictures.",
    paper="Kingma & Welling 2014, Auto-Encoding Variational Bayes, arXiv:1312.6114",
    actions=(
        Action(
            name="sample",
            summary="Make new pictures.",
            options="gentool_vae.options:SampleOptions",
            function="gentool_vae.actions:sample",
        ),
        Action(
            name="reconstruct",
            summary="Encode pictures and decode them again, side by side, with PSNR and SSIM.",
            options="gentool_vae.options:ReconstructOptions",
            function="gentool_vae.actions:reconstruct",
        ),
        Action(
            name="interpolate",
            summary="Go from one picture to another: a row or an animation.",
            options="gentool_vae.options:InterpolateOptions",
            function="gentool_vae.actions:interpolate",
            suffixes=(".webp", ".gif", ".mp4", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"),
        ),
        Action(
            name="encode",
            summary="Write the latents of pictures to a safetensors file.",
            options="gentool_vae.options:EncodeOptions",
            function="gentool_vae.actions:encode_file",
            suffixes=(".safetensors",),
        ),
        Action(
            name="decode",
            summary="Make pictures of the latents in a file.",
            options="gentool_vae.options:DecodeOptions",
            function="gentool_vae.actions:decode_file",
        ),
        Action(
            name="attribute",
            summary="Change pictures by what sets two folders of pictures apart.",
            options="gentool_vae.options:AttributeOptions",
            function="gentool_vae.actions:attribute",
        ),
    ),
    model="gentool_vae.nets:VAE",
    weights=(
        WeightsFile(
            name="cifar10",
            file="weights/cifar10.safetensors",
            bytes=2_284_508,
            sha256="6e76f0147474d9b33743ddfac8ca4d97c834ef51961c7c8e800a62479c2d96fd",
            licence="MIT; see trained_on for the terms of the data",
            trained_on="the 50,000 training pictures of CIFAR-10 (Krizhevsky 2009) as JPEG files "
            "of quality 75, one in sixteen kept out; published for research, the rights of the "
            "photographs are unknown",
            origin="trained by the gentool project from scratch; relu1_1, relu2_1 and relu3_1 of "
            "gentool-perceptual, a distillation of VGG-19 (Simonyan & Zisserman 2014, CC BY 4.0), "
            "as the loss of the details",
            image_size=32,
        ),
        WeightsFile(
            name="clothing96",
            file="weights/clothing96.safetensors",
            bytes=2_112_236,
            sha256="7a3eca50657981f65bec031254cb47817fb8e7f079311e33056f3e403f6e975f",
            licence="MIT; the data is CC0 1.0",
            trained_on="the 3,068 training photographs of Grigorev's clothing dataset (small), CC0 "
            "1.0, reduced to 64x64, one in sixteen kept out",
            origin="trained by the gentool project from scratch; relu1_1, relu2_1 and relu3_1 of "
            "gentool-perceptual, a distillation of VGG-19 (Simonyan & Zisserman 2014, CC BY 4.0), "
            "as the loss of the details",
            image_size=64,
        ),
    ),
    training=Training(
        options="gentool_vae.options:TrainOptions",
        trainer="gentool_vae.trainer:VAETrainer",
        defaults={
            "steps": 40_000,
            "batch_size": 128,
            "lr_schedule": "cosine",
            "lr_final": 0.02,
            "lr_warmup": 100,
            "clip": 1.0,
        },
    ),
)


@hookimpl
def gentool_cards() -> list[Card]:
    return [CARD]
