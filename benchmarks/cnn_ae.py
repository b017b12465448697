"""The codec against JPEG, WebP and AVIF, its time and memory, its exactness, and its denoising.

    python benchmarks/cnn_ae.py rate PACK ... [--pictures N] [--weights FILE] [--table FILE.json]
    python benchmarks/cnn_ae.py denoise PACK ... [--pictures N]
    python benchmarks/cnn_ae.py time [--picture FILE]
    python benchmarks/cnn_ae.py exact

PACK is a folder, an archive or a part of one (bench.tar:Urban100/) of lossless pictures that
nothing was trained on.

rate     bytes of whole files and RGB PSNR of every quality of every codec; BD-rate (Bjøntegaard
         2001, piecewise cubic) per picture and then the mean, over the range of PSNR that both
         have, between 0.15 and 1 bit a pixel of the codec that is compared with; the points of
         Pillow's codecs are kept in the table for the next time
denoise  PSNR of pictures with Gaussian noise of 15, 25, 50: as they are, by Pillow's median and
         Gaussian filters (the best of several sizes), and denoised, told the noise and not told
time     encode plus decode of a 1920 x 1088 picture on two threads, files left out, and peak memory
exact    files, their symbols and pictures with 1, 2 and 4 threads
"""

import argparse
import io
import json
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from measure import ROOT
from PIL import Image, ImageFilter

import gentool
from gentool.images import to_pil
from gentool.training import Pictures
from gentool_cnn_ae.basis import STRIDE
from gentool_cnn_ae.codec import Codec
from gentool_cnn_ae.container import Container
from gentool_cnn_ae.options import LEVELS
from gentool_cnn_ae.tiles import TILE

RANGE = (0.15, 1.0)  # bits a pixel of JPEG
PILLOW = {
    "JPEG 4:2:0": ("JPEG", {"optimize": True, "subsampling": "4:2:0"}, (8, 15, 25, 40, 55, 70, 82)),
    "JPEG 4:4:4": ("JPEG", {"optimize": True, "subsampling": "4:4:4"}, (8, 15, 25, 40, 55, 70, 82)),
    "WebP": ("WEBP", {"method": 6}, (2, 10, 25, 45, 65, 80, 90)),
    "AVIF": ("AVIF", {"speed": 6, "max_threads": 1}, (20, 32, 42, 52, 62, 72, 82)),
}


def pictures(packs, count=None):
    found = Pictures(packs, flip=False, split="all")
    chosen = np.linspace(0, len(found) - 1, count or len(found)).round().astype(int)
    return [(found.name(i), found.pixels(i)) for i in dict.fromkeys(chosen.tolist())]


def psnr(a, b):
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def by_pillow(pixels, kind, options, qualities):
    image, points = Image.fromarray(pixels), []
    for quality in qualities:
        buffer = io.BytesIO()
        image.save(buffer, kind, quality=quality, **options)
        shown = np.array(Image.open(buffer).convert("RGB"))
        points.append((8 * buffer.tell() / pixels[..., 0].size, psnr(shown, pixels)))
    return points


def by_us(method, pixels):
    points, codec = [], codec_of(method)
    for quality in range(1, 9):
        picture = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
        (file,) = method.run("compress", input=[picture], quality=quality)
        decoded = codec.decompress(file.data)
        shown = np.array(artifact(decoded).convert("RGB"))
        points.append((8 * len(file.data) / pixels[..., 0].size, psnr(shown, pixels)))
    return points


def codec_of(method):
    return Codec(method.model, method.context())


def artifact(decoded):
    return to_pil(decoded.pixels, decoded.alpha)


def bd_rate(anchor, points, limits):
    """Percent more bits than the anchor for the same PSNR, over the PSNR both have."""
    curves = []
    for curve in (anchor, points):
        rates, decibels = (np.array(x) for x in zip(*sorted(curve), strict=True))
        rising = np.concatenate([[True], np.diff(np.maximum.accumulate(decibels)) > 0])
        curves.append((decibels[rising], np.log(rates[rising])))
    in_range = [d for r, d in sorted(anchor) if limits[0] <= r <= limits[1]]
    # the range itself, where the anchor has points on both sides
    ends = np.interp(np.log(limits), curves[0][1], curves[0][0])
    low = max(ends[0], curves[0][0][0], curves[1][0][0])
    high = min(ends[1], curves[0][0][-1], curves[1][0][-1])
    if not in_range or high - low < 0.5:
        return None
    at = np.linspace(low, high, 200)
    anchor_rate, rate = (pchip(d, r, at) for d, r in curves)
    return 100 * (np.exp(np.trapezoid(rate - anchor_rate, at) / (high - low)) - 1)


def pchip(x, y, at):
    """Monotone piecewise cubic interpolation (Fritsch & Butland 1984)."""
    h, slopes = np.diff(x), np.diff(y) / np.diff(x)
    inner = np.zeros(len(x))
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    same = slopes[:-1] * slopes[1:] > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (w1 + w2) / (w1 / slopes[:-1] + w2 / slopes[1:])
    inner[1:-1] = np.where(same, mean, 0)
    inner[0], inner[-1] = slopes[0], slopes[-1]
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    t = (at - x[i]) / h[i]
    a, b = inner[i] * h[i], inner[i + 1] * h[i]
    return (
        y[i] * (1 + 2 * t) * (1 - t) ** 2
        + a * t * (1 - t) ** 2
        + y[i + 1] * t**2 * (3 - 2 * t)
        + b * t**2 * (t - 1)
    )


def curves(packs, count, sets, table=None):
    """Bits a pixel and PSNR of every quality for each picture, by codec.

    Args:
        packs: folders, archives or parts of them, of lossless pictures.
        count: how many of them, or None for all.
        sets: weights of ours, None for the packaged ones, by the name that they get.
        table: file that keeps the points of the other codecs.
    """
    found = [(n, t.permute(1, 2, 0).contiguous().numpy()) for n, t in pictures(packs, count)]
    names, points = [name for name, _ in found], {}
    if table and table.exists():
        kept = json.loads(table.read_text(encoding="utf-8"))
        points = kept["curves"] if kept["pictures"] == names else {}
    for codec, settings in PILLOW.items():
        if codec not in points:
            points[codec] = [by_pillow(pixels, *settings) for _, pixels in found]
    if table:
        table.write_text(json.dumps({"pictures": names, "curves": points}), encoding="utf-8")
    for name, weights in sets.items():
        method = gentool.load("cnn-ae", seed=0, weights=weights)
        points[name] = [by_us(method, pixels) for _, pixels in found]
    return points


def savings(points, codec, against):
    """BD-rate of each picture, percent; those left out whose curves hardly overlap."""
    pairs = zip(points[against], points[codec], strict=True)
    rates = [bd_rate(anchor, own, RANGE) for anchor, own in pairs]
    return [r for r in rates if r is not None]


def rate(packs, count, weights, table):
    points = curves(packs, count, {"cnn-ae": weights}, table)
    print(
        f"{len(points['cnn-ae'])} pictures; mean bits a pixel and mean PSNR of each quality, then "
        "BD-rate"
    )
    for codec, own in points.items():
        print(f"{codec:10s} " + "  ".join(f"{r:.3f} {d:.2f}" for r, d in np.mean(own, 0)))
    for against in PILLOW:
        for codec in points:
            known = savings(points, codec, against)
            if codec != against and known:
                better = sum(r < 0 for r in known)
                print(
                    f"{codec:10s} against {against}: mean {statistics.mean(known):+.1f}%, median "
                    f"{statistics.median(known):+.1f}%, better on {better} of {len(known)}"
                )


def denoise(packs, count):
    method = gentool.load("cnn-ae", seed=0)
    found = pictures(packs, count)
    for sigma in (15, 25, 50):
        table = {}
        for number, (_, tensor) in enumerate(found):
            clean = tensor.permute(1, 2, 0).numpy()
            drawn = np.random.default_rng(number).normal(0, sigma, clean.shape)
            noisy = np.clip(np.round(clean + drawn), 0, 255).astype(np.uint8)
            image = Image.fromarray(noisy)
            ways = {"noisy": [image]}
            ways["median"] = [image.filter(ImageFilter.MedianFilter(n)) for n in (3, 5)]
            ways["gaussian"] = [
                image.filter(ImageFilter.GaussianBlur(r)) for r in (0.6, 0.8, 1.0, 1.3, 1.7)
            ]
            ways["denoise, told"] = [method.denoise(input=[image], sigma=sigma).image]
            ways["denoise"] = [method.denoise(input=[image]).image]
            for way, results in ways.items():
                row = table.setdefault(way, [[] for _ in results])
                for i, result in enumerate(results):
                    row[i].append(psnr(np.array(result.convert("RGB")), clean))
        shown = {way: max(statistics.mean(r) for r in rows) for way, rows in table.items()}
        print(f"sigma {sigma}: " + ", ".join(f"{w} {d:.2f} dB" for w, d in shown.items()))


def big(path):
    image = Image.open(path).convert("RGB") if path else Image.open(ROOT / "examples/landscape.jpg")
    pixels = np.array(image.resize((1920, 1088), Image.Resampling.LANCZOS))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def timing(path):
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    method = gentool.load("cnn-ae", seed=0, threads=2)
    codec, picture, taken = codec_of(method), big(path), []
    with torch.inference_mode():
        for _ in range(4):
            begun, cpu = time.perf_counter(), time.process_time()
            data = codec.compress(picture, 4)
            written = time.perf_counter()
            codec.decompress(data)
            used = time.process_time() - cpu
            taken.append((written - begun, time.perf_counter() - written, used))
    encode, decode = min(seconds[:2] for seconds in taken)
    used = min(seconds[2] for seconds in taken)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"1920 x 1088 at quality 5, {8 * len(data) / picture[0].numel():.2f} bits a pixel, "
        f"2 threads: encode {encode:.2f} s, decode {decode:.2f} s, together "
        f"{encode + decode:.2f} s (at least {used:.2f} CPU s); peak {peak / 2**20:.2f} GiB, "
        f"{(peak - base) / 2**20:.2f} over what imports take"
    )


def exact(path):
    method = gentool.load("cnn-ae", seed=0)
    codec, picture = codec_of(method), big(path)
    files, symbols, shown = [], [], []
    with torch.inference_mode():
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            files.append(codec.compress(picture, 4))
            symbols.append(codec.decoded(Container.unpack(files[0], TILE * STRIDE, LEVELS)))
            shown.append(codec.decompress(files[0]).pixels.numpy())
    for what, found in (("files", files), ("symbols", symbols), ("pictures", shown)):
        same = all(np.array_equal(one, found[0]) for one in found)
        print(f"{what} with 1, 2 and 4 threads: {'identical' if same else 'DIFFERENT'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["rate", "denoise", "time", "exact"])
    parser.add_argument("packs", nargs="*", metavar="PACK", help="for rate and denoise")
    parser.add_argument("--pictures", type=int, help="so many of them all, evenly chosen")
    parser.add_argument("--weights", help="others than the packaged ones")
    parser.add_argument("--table", type=Path, help="for rate: keep the others' points there")
    parser.add_argument("--picture", help="for time and exact: what to resize to 1920 x 1088")
    asked = parser.parse_args()
    if asked.part in ("rate", "denoise") and not asked.packs:
        parser.error(f"{asked.part} needs a pack")
    if asked.part == "rate":
        rate(asked.packs, asked.pictures, asked.weights, asked.table)
    elif asked.part == "denoise":
        denoise(asked.packs, asked.pictures)
    elif asked.part == "time":
        timing(asked.picture)
    else:
        exact(asked.picture)


if __name__ == "__main__":
    main()
