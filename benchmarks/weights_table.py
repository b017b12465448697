"""The table and the page of benchmarks/weights.py: figures in, Markdown and HTML out."""

import html

FLOOR = "real pictures (floor)"

HEAD = """# Every packaged network on its bars

Written by `python benchmarks/weights.py`, whose docstring says how each figure is measured.
Figures of different sections do not compare. A *bar* is what was to be reached.

Rows:

- `packaged`: what the plugins ship; `before`: what they shipped earlier.
- `peer`: another method's pictures, MicroAST's.
- `dcgan`, `plain`: the baselines, trained by this project on the same pictures.
- `real pictures (floor)`: real pictures against others of the same set; no distance is smaller.
  `test pictures`: real ones that nothing was trained on.
- `JPEG`, `WebP`, `AVIF`: Pillow's, in the same measurement. `teachers`: gatys with the networks
  that the packaged one stands in for.
- `best`, `end`: of the training that the packaged ones are from, its best checkpoint by its own
  validation, and its end. `unconditional`, `unconditional-end`: the same of one without classes.

Figures:

- `content`, `style`, `gram`: distance to the content's features, to the style's statistics, to its
  Gram matrices. `nearer than peer`: on how many of the pairs. Of perceptual, each layer's features
  and Gram matrix: relative squared error against the teacher's.
- `pictures shown`: to a GAN in its last training. `n`: samples or pictures that were judged.
- `fd`: Frechet distance to real pictures in the features of the
  [first judge](data.md#the-judge-of-generated-pictures), in percent of their variance; not an
  Inception FID. `second judge's fd`: the same in those of a classifier that was trained here.
- `precision`: share of samples that look like real pictures; `recall`: share of real pictures that
  samples cover; `taken for their class`: share of samples that the classifier takes for the class
  they were drawn of.
- `copies`: distance to the nearest training picture, over that of test pictures; well below 1 would
  be copying. `near-duplicates`: share of samples that nearly repeat another.
- `bits/dim`: bits that a value of test pictures takes, by the bound.
- `% of bits against`: how many more bits the same PSNR takes; fewer where negative.
- `share of time`: until gatys has the loss that the usual recipe has at its end, or at its best.
""".splitlines()


def as_table(figures):
    """Markdown: a section for each network, a line for each of its weights."""
    lines = [*HEAD]
    for name, (about, rows) in figures.items():
        columns = list(dict.fromkeys(key for row in rows.values() for key in row))
        asked = "; ".join(f"{t}: {'met' if m else 'missed'}" for t, m in bars(name, rows).items())
        lines += ["", f"## {name}", "", f"Bar: {asked or 'none'}. Measured: {about}.", ""]
        lines += ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for label, row in rows.items():
            cells = ("" if row.get(c) is None else _shown(row[c]) for c in columns)
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _shown(value):
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def as_page(folder):
    """HTML: every picture under the folder."""
    pictures = (p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*.png")))
    figures = (
        f'<figure><img loading="lazy" src="{html.escape(p)}"><figcaption>{html.escape(p)}'
        "</figcaption></figure>"
        for p in pictures
    )
    style = "<style>figure{display:inline-block;margin:8px}img{max-width:512px}</style>"
    return f"<!doctype html><meta charset=utf-8><title>Weights</title>{style}" + "".join(figures)


def bars(name, rows):
    """What is asked of a packaged network, and whether its rows show it."""
    ours = rows.get("packaged", {})
    over = {label: row["fd"] - rows[FLOOR]["fd"] for label, row in rows.items() if "fd" in row}
    if name == "adain":
        return {
            "content at most 0.60": ours["content"] <= 0.60,
            "median content at most 0.47": ours["median content"] <= 0.47,
            "style at most 0.018": ours["style"] <= 0.018,
        }
    if name == "gan" and "dcgan" in rows:
        return {
            "distance over the floor at most half of dcgan's": over["packaged"]
            <= over["dcgan"] / 2,
            "recall no lower": ours["recall"] >= rows["dcgan"]["recall"],
        }
    if name == "vae" and "plain" in rows:
        return {
            "distance over the floor at most 0.6 of plain's": (
                over["packaged"] <= 0.6 * over["plain"]
            ),
            "PSNR at least 24 dB at 128 latents": ours["PSNR"] >= 24,
            "no more bits than plain": ours["bits/dim"] <= rows["plain"]["bits/dim"],
        }
    if name == "cnn-ae":
        return {"25 % fewer bits than JPEG 4:2:0": ours["% of bits against JPEG 4:2:0"] <= -25}
    if name == "gatys":
        share = rows["teachers"]["share of time, end"]
        reached = share != "not reached" and share <= 0.1
        return {"with the teachers, a tenth of the usual recipe's time to its end's loss": reached}
    return {}
