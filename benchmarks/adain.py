"""AdaIN: compute against VGG-19, the whole command, a folder, memory at 4096 x 4096, quality.

    python benchmarks/adain.py [--only compute|command|folder|memory|tiles]
    python benchmarks/adain.py --only quality --pairs DIR --teacher FILE...

compute  content and style encode plus decode at 512 x 512, one thread, CPU seconds, over a plain
         VGG-19 forward to relu3_4 (fp32, NCHW; random weights: they do
         not change the time) in the same process
command  one picture at 512 as a whole process, over `python -c "import torch"`
folder   50 pictures at 512 in one process, over 50 times the compute of one
memory   peak resident memory of one 4096 x 4096 picture, over that of `import torch`
tiles    a 2048 x 2048 picture in tiles of 512 and 1024 and in one piece: time, greatest difference
quality  content and style distance over pairs of pictures: DIR/content and DIR/style, by name
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import ROOT, cpu, script, wall

SIZE = 512


def compute():
    import torch
    import torch.nn.functional as F

    import gentool
    from gentool_adain.statistics import Style

    torch.set_num_threads(1)
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 256]
    convs = [torch.randn(o, i, 3, 3) * 0.05 for i, o in itertools.pairwise(widths)]

    def vgg(x):
        for i, weight in enumerate(convs):
            x = F.max_pool2d(x, 2) if i in (2, 4) else x
            x = F.relu(F.conv2d(x, weight, torch.zeros(len(weight)), padding=1))
        return x

    picture = torch.rand(1, 3, SIZE, SIZE)
    with torch.inference_mode():
        reference = cpu(lambda: vgg(picture), times=3)
        print(f"VGG-19 to relu3_4 at {SIZE}, one thread: {reference * 1e3:.0f} ms CPU")
        for precision in ("fp32", "auto"):
            method = gentool.load("adain", precision=precision, threads=1)
            net, chosen = method.model, method.compute
            x = picture.contiguous(memory_format=torch.channels_last)

            def paint(net=net, chosen=chosen, x=x):
                with chosen.autocast():
                    target = Style.of(net.encoder(x))
                    features = net.encoder(x)
                    own = Style.of(features)
                    net.decode(features, own, target, net.noise(features))

            taken = cpu(paint)
            print(
                f"adain {precision} ({chosen.precision}): {taken * 1e3:.0f} ms CPU, "
                f"ratio {taken / reference:.4f}"
            )


def samples(folder, count, size=SIZE):
    from PIL import Image

    for name in ("landscape", "pattern"):
        with Image.open(ROOT / f"examples/{name}.jpg") as image:
            resized = image.resize((size, size))
            for i in range(count if name == "landscape" else 1):
                resized.save(Path(folder) / f"{name}{i}.png")


def line(folder, contents):
    return [*script(), "run", "adain", "--content", *contents, "--style",
            f"{folder}/pattern0.png", "-o", f"{folder}/out/", "--quiet"]  # fmt: skip


def command():
    bare = wall([sys.executable, "-c", "import torch"], times=5)
    with tempfile.TemporaryDirectory() as folder:
        samples(folder, 1)
        taken = wall(line(folder, [f"{folder}/landscape0.png"]), times=5)
    print(f"import torch {bare:.2f} s; run adain at {SIZE} {taken:.2f} s, {taken / bare:.2f} x")


def folder():
    import torch

    import gentool
    from gentool.cli.main import invoke
    from gentool_adain.features import encode_style
    from gentool_adain.painting import Painting

    with tempfile.TemporaryDirectory() as folder:
        samples(folder, 50)
        method = gentool.load("adain", seed=0)
        picture = torch.rand(3, SIZE, SIZE)
        options = method.options("stylize", content=picture, style=picture)
        context = method.context()
        with torch.inference_mode():
            style = encode_style(method.model, picture, context, options.tile)
            one = []
            for _ in range(20):
                start = time.perf_counter()
                Painting(method.model, picture, context, options).paint(style)
                one.append(time.perf_counter() - start)
        invoke(line(folder, [f"{folder}/landscape0.png"])[1:])  # imports are not counted
        start = time.perf_counter()
        invoke(line(folder, sorted(map(str, Path(folder).glob("landscape*.png"))))[1:])
        taken = time.perf_counter() - start
        usual = statistics.median(one)
        print(
            f"one {usual * 1e3:.0f} ms compute; 50 pictures {taken:.2f} s from file to file, "
            f"{taken / (50 * usual):.2f} x"
        )


def memory():
    code = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    run = "import sys; from gentool.cli.main import invoke; invoke(sys.argv[1:]);" + code

    def peak(source, *arguments):
        done = subprocess.run(
            [sys.executable, "-c", source, *arguments], capture_output=True, text=True, check=True
        )
        return int(done.stdout.split()[-1]) / 2**20

    bare = peak("import torch;" + code)
    with tempfile.TemporaryDirectory() as folder:
        samples(folder, 1, 4096)
        most = peak(run, *line(folder, [f"{folder}/landscape0.png"])[1:])
    print(f"import torch {bare:.2f} GiB; 4096 x 4096 {most - bare:.2f} GiB over it")


def tiles():
    import torch

    import gentool

    torch.manual_seed(0)
    picture = torch.nn.functional.interpolate(
        torch.rand(1, 3, 256, 256), (2048, 2048), mode="bicubic"
    )[0].clamp_(0, 1)
    method = gentool.load("adain", seed=0, precision="fp32")
    results = []
    for side in (2048, 1024, 512):
        taken = []
        for _ in range(3):
            start = time.perf_counter()
            painted = method.stylize(content=picture, style=picture[:, :512, :512], tile=side)
            taken.append(time.perf_counter() - start)
        results.append(painted.tensor)
        off = (painted.tensor - results[0]).abs().max() * 255
        print(f"2048 x 2048, tile {side}: {min(taken):.2f} s, within {off:.4f}/255 of one piece")


def quality(pairs, teacher):
    import gentool
    from gentool_adain.evaluate import evaluate, pair, summarise

    table = dict(evaluate(gentool.load("adain", seed=0), sorted(pair(pairs)), teacher))
    for kind, figures in summarise(table).items():
        print(
            f"{len(table)} pairs, {kind}: " + ", ".join(f"{k} {v:.4f}" for k, v in figures.items())
        )


def main():
    parts = {f.__name__: f for f in (compute, command, folder, memory, tiles)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=[*parts, "quality"])
    parser.add_argument("--pairs", type=Path, help="for quality: folder of content/ and style/")
    parser.add_argument("--teacher", nargs="+", help="for quality: feature networks' files")
    asked = parser.parse_args()
    if asked.only == "quality":
        if not asked.pairs or not asked.teacher:
            parser.error("quality needs --pairs and --teacher")
        quality(asked.pairs, asked.teacher)
        return
    for name, part in parts.items():
        if asked.only in (None, name):
            part()


if __name__ == "__main__":
    main()
