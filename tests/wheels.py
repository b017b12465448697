"""Wheels made by hand, sound or hostile."""

import base64
import hashlib
import json
import zipfile

PLUGIN = """
open({ran}, "w")
from gentool import Action, Card, WeightsFile, hookimpl

NOTE = "made " + "by hand"
CARD = Card(
    name="waves", task="test", summary="Water.", paper="none", model="gentool_waves.nets:Waves",
    actions=(Action("go", "Go.", "gentool_waves.options:GoOptions", "gentool_waves.actions:go"),),
    weights=(WeightsFile("default", "weights/waves.safetensors", {bytes}, "{sha256}",
                         "MIT", "waves", NOTE),),
)

@hookimpl
def gentool_cards():
    return [CARD]
"""
METADATA = """Metadata-Version: 2.4
Name: gentool-waves
Version: 1.2.0
Summary: Water.
License-Expression: MIT
Requires-Dist: {core}

Water, in words.
"""
INFO = "gentool_waves-1.2.0.dist-info"


def weights(method="waves", **metadata):
    """A safetensors file with one number in it."""
    said = {"format": "gentool-1", "method": method, "config": "{}"} | metadata
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = json.dumps({"__metadata__": said, "net.a": entry}).encode()
    return len(header).to_bytes(8, "little") + header + b"\0\0\0\0"


def files(**changes):
    """The files of a sound plugin, some of them changed; None leaves one out.

    Its code, if it were run, would make the file ``ran``.
    """
    content = changes.pop("weights", weights())
    sha256 = hashlib.sha256(content).hexdigest()
    plugin = PLUGIN.replace("{bytes}", str(len(content))).replace("{sha256}", sha256)
    plugin = plugin.replace("{ran}", repr(str(changes.pop("ran", "code-was-run"))))
    found = {
        "gentool_waves/__init__.py": "",
        "gentool_waves/plugin.py": plugin,
        "gentool_waves/options.py": "",
        "gentool_waves/nets.py": "",
        "gentool_waves/actions.py": "",
        "gentool_waves/weights/waves.safetensors": content,
        f"{INFO}/METADATA": METADATA.replace("{core}", "gentool-core>=0.1,<0.2"),
        f"{INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/entry_points.txt": "[gentool.methods]\nwaves = gentool_waves.plugin\n",
        f"{INFO}/licenses/LICENSE": "MIT",
    }
    return {name: text for name, text in (found | changes).items() if text is not None}


def write(folder, contents, name="gentool_waves-1.2.0-py3-none-any.whl", record=None, extra=()):
    """Pack files, with a RECORD of them; ``extra`` are (ZipInfo or name, data) as they are."""
    lines = []
    packed = {n: t.encode() if isinstance(t, str) else t for n, t in contents.items()}
    for file, data in packed.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{file},sha256={digest},{len(data)}")
    text = "\n".join([*lines, f"{INFO}/RECORD,,"]) + "\n"
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, data in packed.items():
            archive.writestr(file, data)
        for file, data in extra:
            archive.writestr(file, data)
        archive.writestr(f"{INFO}/RECORD", record(text) if record else text)
    return path
