"""The compact feature network: how near to its teacher, and how much faster than VGG-19.

python benchmarks/perceptual.py --teacher vgg19.safetensors vgg19_distilled.safetensors
    --data photos.tar paintings.tar [--pictures 100]

distance  of features and Gram matrices on held-out pictures (128 px crops), over the teacher's
time      forward and backward with five Gram matrices at 512 x 384, over a full-width VGG-19 to
          relu5_1 (random weights) in the same process, fp32, one thread, CPU seconds
"""

import argparse

import torch
from gatys import FullWidth
from measure import cpu

from gentool.compute import choose
from gentool.training import Pictures, Plan, ScaleCrop, Setup
from gentool_perceptual.compact import LAYERS
from gentool_perceptual.features import Features
from gentool_perceptual.losses import gram
from gentool_perceptual.trainer import LONG_SIDES


def relative(found, wanted):
    return ((found - wanted).flatten(1).square().sum(1) / wanted.flatten(1).square().sum(1)).mean()


def errors(net, teacher, pictures):
    """By layer, the relative squared error of features and of Gram matrices."""
    sums = {name: [0.0, 0.0] for name in LAYERS}
    with torch.no_grad():
        for part in pictures.split(10):
            found, wanted = net(part), teacher(part)
            for name in LAYERS:
                share = len(part) / len(pictures)
                sums[name][0] += share * relative(found[name], wanted[name]).item()
                sums[name][1] += share * relative(gram(found[name]), gram(wanted[name])).item()
    return sums


def held_out(data, count):
    """Crops (N,3,128,128) of pictures that were never trained on."""
    pictures = Pictures(data, ScaleCrop(128, LONG_SIDES), split="held-out", flip=False)
    return pictures.sample(count, Setup(Plan(), choose("cpu", "fp32")))


def seconds(net):
    image = torch.rand(1, 3, 384, 512).contiguous(memory_format=torch.channels_last)

    def both_ways():
        leaf = image.clone().requires_grad_()
        loss = sum(gram(f).square().mean() for f in net(leaf).values())
        torch.autograd.grad(loss, leaf)

    return cpu(both_ways, times=3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", nargs="+", required=True)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--pictures", type=int, default=100)
    a = parser.parse_args()
    torch.set_num_threads(1)
    net = Features.load(layers=LAYERS)
    print("layer      features   Gram")
    found = errors(net, Features.load(a.teacher, LAYERS), held_out(a.data, a.pictures))
    for name, (features, grams) in found.items():
        print(f"{name}    {features:.4f}     {grams:.4f}")
    mine, full = seconds(net), seconds(FullWidth())
    print(f"forward and backward: {mine:.2f} s, VGG-19 {full:.2f} s, ratio {mine / full:.3f}")


if __name__ == "__main__":
    main()
