"""Pictures for the tests of reading and writing them, and for those of training data."""

import PIL.Image
from skimage import data


def photograph(width=96, height=64):
    return PIL.Image.fromarray(data.astronaut()).resize((width, height))


def saved(image, path, **options):
    image.save(path, **options)
    return path


def pixel(picture, x=0, y=0):
    return [round(v * 255) for v in picture.pixels[:, y, x].tolist()]


def colour(i):
    return (i * 6, 255 - i * 6, i)


def write(folder, count=40, size=(12, 10)):
    """Pictures of one colour each, in two folders: ``a`` has the even ones."""
    for i in range(count):
        path = folder / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", size, colour(i)).save(path)
    return folder
