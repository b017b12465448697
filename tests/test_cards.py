"""Cards: slips are one line each, told where the card is made."""

import dataclasses

import pytest

from gentool import Action, Card, PluginError, WeightsFile
from gentool.cards import Training

GO = Action("go", "Go.", "code:Options", "code:go")
SET = WeightsFile("default", "weights/a.safetensors", 10, "0" * 64, "MIT", "nothing", "me")
SOUND = Card("sound", "test", "A test.", "none", (GO,), "code:Net", (SET,))


def again(**changes):
    return dataclasses.replace(GO, **changes)


SLIPS = [
    ({"weights": (SET, SET)}, "two sets of weights share a name"),
    ({"weights": SET}, "weights must be a tuple of WeightsFile"),
    ({"weights": ("default",)}, "weights must be a tuple of WeightsFile"),
    ({"weights": (dataclasses.replace(SET, bytes="10"),)}, "bad size of 'default'"),
    ({"actions": ("go",)}, "actions must be a tuple of at least one Action"),
    ({"actions": GO}, "actions must be a tuple of at least one Action"),
    ({"actions": (GO, GO)}, "two actions share a name"),
    ({"actions": (again(suffixes=".png"),)}, "the suffixes of 'go' must be a tuple"),
    ({"actions": (again(suffixes=("png",)),)}, "the suffixes of 'go' must be a tuple"),
    ({"actions": (again(suffixes=()),)}, "the suffixes of 'go' must be a tuple"),
    ({"training": "code:Trainer"}, "training must be a Training"),
]


@pytest.mark.parametrize(("changes", "reason"), SLIPS)
def test_a_slip_is_one_line(changes, reason):
    with pytest.raises(PluginError) as caught:
        dataclasses.replace(SOUND, **changes)
    assert str(caught.value).startswith(f"card 'sound': {reason}")
    assert "\n" not in str(caught.value)


def test_what_is_sound_is_taken():
    second = dataclasses.replace(SET, name="second")
    training = Training("code:Options", "code:Trainer")
    more = dataclasses.replace(SOUND, weights=(SET, second), training=training)
    assert [entry.name for entry in more.weights] == ["default", "second"]
