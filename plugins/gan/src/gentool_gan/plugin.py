"""The card of the GAN. Nothing here may import torch or pydantic."""

from gentool import Action, Card, Training, WeightsFile, hookimpl

CARD = Card(
    name="gan",
    task="image synthesis",
    summary="Make new pictures like those of a folder, by class or without.",
    paper="Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661; generator "
    "after Brock et al. 2018, arXiv:1809.11096, discriminator after Miyato & Koyama 2018, "
    "arXiv:1802.05637; preset dcgan: Radford et al. 2015, arXiv:1511.06434",
    actions=(
        Action(
            name="sample",
            summary="Draw new pictures.",
            options="gentool_gan.options:SampleOptions",
            function="gentool_gan.actions:sample",
        ),
        Action(
            name="interpolate",
            summary="Walk through latent space: an animation that ends where it began.",
            options="gentool_gan.options:InterpolateOptions",
            function="gentool_gan.actions:interpolate",
            suffixes=(".webp", ".gif", ".mp4"),
        ),
        Action(
            name="project",
            summary="Find the latent of a picture.",
            options="gentool_gan.options:ProjectOptions",
            function="gentool_gan.project:project",
        ),
    ),
    model="gentool_gan.nets:GAN",
    weights=(
        WeightsFile(
            name="cifar10",
            file="weights/cifar10.safetensors",
            bytes=2_008_534,
            sha256="58ad59be5525f0ed2914b9a5d2a254c2b334d8e691fe38498bcee47b1d769d6f",
            licence="MIT; see trained_on for the terms of the data",
            trained_on="CIFAR-10's 50,000 training pictures (Krizhevsky 2009) in a JPEG copy; "
            "collected from the web and published for research, rights of the photographs unknown",
            origin="trained by the gentool project from scratch; relu2_1 and relu3_1 of "
            "gentool-perceptual, a distillation of VGG-19 (Simonyan & Zisserman 2014, CC BY 4.0), "
            "in the discriminator",
            image_size=32,
        ),
        WeightsFile(
            name="clothing96",
            file="weights/clothing96.safetensors",
            bytes=3_661_022,
            sha256="13c10b0d93927f02524b98b725f7f6c5f8345ca44458f6d51129f343235871e8",
            licence="MIT; the data is CC0 1.0",
            trained_on="3,068 photographs of clothes, the training part of Grigorev's clothing "
            "dataset (small), CC0 1.0, reduced to 64x64",
            origin="trained by the gentool project from scratch; relu2_1 and relu3_1 of "
            "gentool-perceptual, a distillation of VGG-19 (Simonyan & Zisserman 2014, CC BY 4.0), "
            "in the discriminator",
            image_size=64,
        ),
    ),
    training=Training(
        options="gentool_gan.options:TrainOptions",
        trainer="gentool_gan.trainer:GANTrainer",
        defaults={
            "steps": 60_000,
            "batch_size": 256,
            "lr_schedule": "linear",
            "ema": 0.9995,
            "checkpoint_every": 2_000,
            "preview_every": 2_000,
        },
    ),
)


@hookimpl
def gentool_cards() -> list[Card]:
    return [CARD]
