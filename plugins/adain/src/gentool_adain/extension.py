"""The command this plugin adds. Nothing here may import torch or pydantic."""

from gentool import Record, hookimpl


@hookimpl
def gentool_commands() -> list[Record]:
    return [
        Record(
            "evaluate",
            "How near a style-transfer method comes to content and style, on a folder of pairs.",
            "gentool_adain.evaluate:command",
        )
    ]
