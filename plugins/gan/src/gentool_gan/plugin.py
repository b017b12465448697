"""The card of the GAN. Nothing here may import torch or pydantic."""

from gentool import Action, Card, Training, hookimpl

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
