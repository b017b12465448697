"""Every packaged network on its bars, beside others and the baselines: one table, one page.

    python benchmarks/weights.py [--only NAME ...] [--also NAME LABEL=PATH ...]... [-o out/weights]
        --pairs DIR [--peer DIR] --teacher FILE...      adain, perceptual, gatys
        --photos PACK...                                perceptual
        --judge SCRIPT [-n N] [--seeds N]               gan, vae, of either set:
        --cifar ARCHIVE [--classifier RUN]                  gan, vae
        --clothing ARCHIVE                                  gan-clothing, vae-clothing
        --lossless PACK ... [--pictures N]              cnn-ae
        [--table docs/weights.md]

--also gives further weights to measure: a new run before it is packaged, the weights before, a
baseline (`gan dcgan=runs/dcgan`, `vae plain=runs/plain`). What was measured is kept in
OUTPUT/figures.json, so that one network can be measured again; OUTPUT/index.html shows pictures.

adain       content and style distance to pairs (DIR/content, DIR/style by name), exact and
            distilled teacher; --peer holds another method's pictures for the same pairs
perceptual  relative error of features and Gram matrices against the teachers, held-out pictures
gan, vae    Frechet distance, precision and recall by the judge (benchmarks/judge.py), mean of
            seeds; the second judge is benchmarks/classifier.py: Frechet distance in its features,
            and the share of samples taken for their class where there are classes. Archives have
            train/ and test/
vae         PSNR of reconstructions and bound in bits a value, test pictures (benchmarks/vae.py)
cnn-ae      bits against JPEG, WebP and AVIF for the same PSNR (benchmarks/cnn_ae.py)
gatys       time to the standard recipe's loss (benchmarks/gatys.py), with the teachers and with the
            packaged features
"""

import argparse
import functools
import json
import math
import statistics
from pathlib import Path

import torch
from measure import ROOT
from weights_table import FLOOR, as_page, as_table

# samples a seed, and seeds, unless -n and --seeds say otherwise; the GAN's bar asks for these
SAMPLES = {"gan": (10_000, 3), "vae": (5_000, 1), "gan-clothing": (3_000, 1)}
SAMPLES["vae-clothing"] = SAMPLES["gan-clothing"]


def adain(a, sets):
    import gentool
    from gentool.images import read
    from gentool_adain.distances import Distances
    from gentool_adain.evaluate import evaluate, pair, summarise

    pairs, tables = sorted(pair(a.pairs)), {}
    for label, path in sets.items():
        method, folder = gentool.load("adain", weights=path, seed=0), a.output / "adain" / label
        folder.mkdir(exist_ok=True)
        tables[label] = dict(evaluate(method, pairs, a.teacher, folder))
    if a.peer:
        distances = Distances(a.teacher)
        shown = {name: next(a.peer.glob(f"{name}.*")) for name, *_ in pairs}
        tables["peer"] = {
            name: distances(*(read(p).pixels for p in (shown[name], content, style)))
            for name, content, style in pairs
        }
    rows = {}
    for label, table in tables.items():
        found = summarise(table)
        rows[label] = found["mean"] | {"median content": found["median"]["content"]}
        if "peer" in tables and label != "peer":
            for figure in ("style", "content"):
                wins = sum(table[n][figure] < tables["peer"][n][figure] for n in table)
                rows[label][f"nearer than peer in {figure}"] = wins
    return f"{len(pairs)} pairs", rows


def perceptual(a, sets):
    from perceptual import LAYERS, errors, held_out

    from gentool_perceptual.features import Features

    pictures, teacher = held_out(a.photos, 100), Features.load(a.teacher, LAYERS)
    rows = {}
    for label, path in sets.items():
        net = Features.load(("perceptual" if path is None else path,), LAYERS)
        found = errors(net, teacher, pictures)
        rows[label] = {
            f"{layer}{kind}": value
            for layer, values in found.items()
            for kind, value in zip(("", " Gram"), values, strict=True)
        }
    return f"{len(pictures)} crops of 128 pixels", rows


def gan(a, sets):
    return _gan(a, sets, "gan", a.cifar)


def gan_clothing(a, sets):
    return _gan(a, _named(sets, "clothing96"), "gan-clothing", a.clothing)


def _gan(a, sets, name, archive):
    import gan as benchmark
    import numpy as np

    from gentool.artifacts import Grid

    files, right, shown = {}, {}, {}
    for label, path in sets.items():
        shown[label] = _shown_to(path)
        for seed in range(a.seeds):
            made, labels = benchmark.pictures(benchmark.load(path, seed), a.n)
            target = a.output / name / f"{label}-{seed}.npy"
            np.save(target, made.mul(255).round().byte().permute(0, 2, 3, 1).numpy())
            files[f"{label}/{seed}"] = target
            if not seed:
                Grid([*made[:64]], columns=8).save(target.with_name(f"{label}.png"))
            if labels is not None:
                right[f"{label}/{seed}"] = labels
    about, rows = _judged(a, sets, files, right, archive)
    return about, {label: shown.get(label, {}) | row for label, row in rows.items()}


def _shown_to(path):
    """How many real pictures a GAN was shown in its last training, by the recipe in its weights."""
    from gentool import weights
    from gentool_gan.plugin import CARD

    recipe = json.loads(weights.read_header(weights.find(CARD, path)).metadata.get("recipe", "{}"))
    counts = [recipe.get(name) for name in ("steps", "batch_size", "accumulate", "devices")]
    return {} if None in counts else {"pictures shown": math.prod(counts)}


def vae(a, sets):
    return _vae(a, sets, "vae", a.cifar)


def vae_clothing(a, sets):
    return _vae(a, _named(sets, "clothing96"), "vae-clothing", a.clothing)


def _vae(a, sets, name, archive):
    import vae as benchmark
    from plain_vae import PlainVAE

    from gentool import weights
    from gentool.compute import choose
    from gentool.context import Context
    from gentool.training import Plan, Setup
    from gentool_vae.nets import VAE
    from gentool_vae.plugin import CARD

    compute = choose("cpu", "fp32")
    setup, figures, files = Setup(Plan(), compute), {}, {}

    @functools.cache
    def pictures(part, size, count):
        return benchmark.load_pictures(f"{archive}:{part}/", size, count, setup)

    for label, path in sets.items():
        source = weights.find(CARD, path)
        plain = weights.read_header(source).metadata["method"] == "plain-vae"
        net = weights.load(PlainVAE if plain else VAE, source)
        size = 32 if plain else net.config.size
        test, train = pictures("test", size, a.n), pictures("train", size, 10**9)
        seeds = []
        for seed in range(a.seeds):
            torch.manual_seed(seed)
            samples, found = benchmark.measure(net, a.n, test, train, Context(compute, seed))
            files[f"{label}/{seed}"] = benchmark.keep(
                samples, train, a.output / name / f"{label}-{seed}"
            )
            seeds.append(found)
        figures[label] = _means(seeds)
    about, rows = _judged(a, sets, files, {}, archive)
    return about, {label: row | figures.get(label, {}) for label, row in rows.items()}


def _named(sets, name):
    """The packaged set of that name where no file is given."""
    return {label: path or name for label, path in sets.items()}


def _means(seeds):
    return {key: statistics.fmean(seed[key] for seed in seeds) for key in seeds[0]}


def _judged(a, sets, files, labels, archive):
    """Mean figures of each set's seeds, by both judges; ``labels`` of those that know classes."""
    from judge import judge

    found = judge(a.judge, f"{archive}:train/", files, a.n)
    rows = {FLOOR: found.pop("floor")}
    second = _classified(a, files, labels) if a.classifier and archive == a.cifar else {}
    for label in sets:
        seeds = [found[f"{label}/{s}"] | second.get(f"{label}/{s}", {}) for s in range(a.seeds)]
        rows[label] = _means(seeds)
    if "test" in second:
        rows["test pictures"] = second["test"]
    seeds = f"{a.seeds} seeds" if a.seeds > 1 else "seed 0"
    return f"{a.n:,} samples a seed, {seeds}, against {Path(archive).name}:train/", rows


def _classified(a, files, labels):
    import numpy as np
    from classifier import Classifier
    from vae import file_of, load_pictures

    from gentool import weights
    from gentool.compute import choose
    from gentool.feature_sets import frechet
    from gentool.training import Fit, Pictures, Plan, Setup

    net = weights.load(Classifier, file_of(a.classifier)).eval()
    setup = Setup(Plan(), choose("cpu", "fp32"))
    real = net.see(load_pictures(f"{a.cifar}:train/", 32, a.n, setup))[0]
    rows = {}
    for label, file in files.items():
        pictures = torch.from_numpy(np.load(file)).permute(0, 3, 1, 2).float() / 255
        features, taken_for = net.see(pictures)
        rows[label] = {"second judge's fd": frechet(features, real)}
        if label in labels:
            rows[label]["taken for their class"] = _share(taken_for == labels[label])
    test = Pictures([f"{a.cifar}:test/"], prepare=Fit(32), split="all", flip=False)
    batch = test.sample_batch(len(test), setup)
    features, taken_for = net.see(batch.pictures)
    right = _share(taken_for == batch.labels)
    rows["test"] = {"second judge's fd": frechet(features, real), "taken for their class": right}
    return rows


def _share(found):
    return float(found.double().mean())


def cnn_ae(a, sets):
    import cnn_ae as benchmark

    kept = a.output / "cnn-ae" / "others.json"
    points = benchmark.curves(a.lossless, a.pictures, sets, kept)
    rows = {}
    for codec in points:
        rows[codec] = {}
        for against in benchmark.PILLOW:
            known = benchmark.savings(points, codec, against)
            if codec != against and known:
                rows[codec][f"% of bits against {against}"] = statistics.fmean(known)
    return f"{len(points['JPEG 4:2:0'])} lossless pictures, mean BD-rate at 0.15 to 1 bit", rows


def gatys(a, _):
    import gatys as benchmark

    rows = {}
    for label, features in (("teachers", None), ("packaged", ["perceptual"])):
        words = ["--teacher", *map(str, a.teacher), "-o", str(a.output / "gatys" / label)]
        words += ["--features", *features] if features else []
        words += ["--known-loss", *map(str, a.known_loss)] if a.known_loss else []
        shares = benchmark.compare(benchmark.parser().parse_args(words))
        rows[label] = {
            f"share of time, {name}": "not reached" if share is None else share
            for name, share in shares.items()
        }
    return "landscape and mosaic of examples/, 512 pixels", rows


MEASURES = {  # and what each needs to be told
    "adain": (adain, ["pairs", "teacher"]),
    "perceptual": (perceptual, ["teacher", "photos"]),
    "gan": (gan, ["cifar", "judge"]),
    "gan-clothing": (gan_clothing, ["clothing", "judge"]),
    "vae": (vae, ["cifar", "judge"]),
    "vae-clothing": (vae_clothing, ["clothing", "judge"]),
    "cnn-ae": (cnn_ae, ["lossless"]),
    "gatys": (gatys, ["teacher"]),
}


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(MEASURES), default=list(MEASURES))
    parser.add_argument("--also", nargs="+", action="append", default=[])
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--teacher", nargs="+")
    parser.add_argument("--photos", nargs="+")
    parser.add_argument("--cifar")
    parser.add_argument("--clothing")
    parser.add_argument("--judge", type=Path)
    parser.add_argument("--classifier", type=Path)
    parser.add_argument("--lossless", nargs="+", metavar="PACK")
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--known-loss", type=float, nargs="+")
    parser.add_argument("-n", type=int)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--table", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "out/weights")
    a = parser.parse_args()
    for name in a.only:  # hours before it would be missed
        for needed in MEASURES[name][1]:
            if not getattr(a, needed):
                parser.error(f"{name} needs --{needed}")
    return a


def _sized(a, name):
    """The arguments, with the number of samples and seeds for that network."""
    n, seeds = SAMPLES.get(name, (None, None))
    return argparse.Namespace(**vars(a) | {"n": a.n or n, "seeds": a.seeds or seeds})


def main():
    a = arguments()
    a.output.mkdir(parents=True, exist_ok=True)
    kept = a.output / "figures.json"
    figures = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    also = {}
    for name, *words in a.also:
        also.setdefault(name, {}).update(word.split("=", 1) for word in words)
    for name in a.only:
        (a.output / name).mkdir(exist_ok=True)
        with torch.no_grad() if name != "gatys" else torch.enable_grad():
            figures[name] = MEASURES[name][0](
                _sized(a, name), {"packaged": None, **also.get(name, {})}
            )
        kept.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    figures = {name: figures[name] for name in MEASURES if name in figures}
    print(as_table(figures))
    if a.table:
        a.table.write_text(as_table(figures), encoding="utf-8")
    page = a.output / "index.html"
    page.write_text(as_page(a.output), encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
