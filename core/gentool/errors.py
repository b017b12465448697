"""What gentool raises when the user, a plugin or a file is at fault.

Everything here prints as one line on the command line and exits with 2 (a batch of which only a
part failed exits with 1). Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class GentoolError(Exception):
    """Base of all expected errors. Its text says what is wrong, where, and what to do."""


class UsageError(GentoolError):
    """A flag, option, method or action that does not exist or does not make sense."""


class ImageError(GentoolError):
    """A picture that cannot be read."""


class OutputError(GentoolError):
    """A result that cannot be written where it was asked for."""


class WeightsError(GentoolError):
    """A weights file that is missing, damaged, tampered with, or made for something else."""


class DeviceError(GentoolError):
    """A device or precision that this machine does not have."""


class PluginError(GentoolError):
    """A plugin that is broken, incompatible, or shares its name with another."""


class RegistryError(GentoolError):
    """A registry.toml that cannot be read or holds what it should not."""


class InstallError(GentoolError):
    """A plugin that is not safe to install, or that pip could not install or remove."""


class TrainingError(GentoolError):
    """Data, checkpoint or loss that does not let training go on."""


class BatchError(GentoolError):
    """Some items of a batch failed; the rest is done.

    Attributes:
        failures: (name of the item, reason) of each that failed.
        results: the artifacts of those that succeeded; from :meth:`gentool.Method.run`, with
            their provenance.
    """

    def __init__(self, failures: Sequence[tuple[str, str]], results: Sequence[object] = ()) -> None:
        self.failures = list(failures)
        self.results = results
        shown = "; ".join(f"{name}: {reason}" for name, reason in self.failures[:3])
        more = f"; and {len(self.failures) - 3} more" if len(self.failures) > 3 else ""
        super().__init__(f"{len(self.failures)} failed: {shown}{more}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'stylize'?"`` for the nearest of ``known``, or an empty string."""
    import difflib  # only a mistake needs it, and it would slow down every start

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
