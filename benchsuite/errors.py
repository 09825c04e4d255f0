"""Every exception that benchsuite raises on purpose.

BenchsuiteError
├── UsageError             what was asked for cannot be done; the command line exits with 2
│   ├── UnknownNameError   no such method, dataset, metric, parameter or key
│   ├── SelectionError     text such as ``glo[epochs=`` that does not parse
│   ├── ParameterError     a hyper-parameter of the wrong type or out of range
│   ├── RecipeError        a recipe file that cannot be read
│   ├── RulesError         rules of the gate that cannot be read or are not allowed
│   ├── StoreError         a run directory that cannot be read, written or shared
│   └── BaselineError      a baseline that cannot be read, made or written
├── PluginError            a plugin that cannot be loaded, or whose name is taken twice
├── ContractError          a plugin's object returned what its contract does not allow
├── DivergedError          training or sampling produced NaN or infinity
├── NotApplicableError     a metric or method that cannot apply here; becomes a skipped row
├── DataMissingError       a dataset that has not been prepared
└── PreparationError       a dataset that cannot be prepared: not to be fetched, damaged, no room for it
"""

from __future__ import annotations

from collections.abc import Iterable


class BenchsuiteError(Exception):
    """Base of every exception that benchsuite raises on purpose."""


class UsageError(BenchsuiteError):
    """What was asked for cannot be done; the command line exits with 2."""


class UnknownNameError(UsageError):
    """A name that nothing answers to."""


class SelectionError(UsageError):
    """A selection such as ``glo[epochs=`` that does not parse."""


class ParameterError(UsageError):
    """A hyper-parameter of the wrong type or out of range."""


class RecipeError(UsageError):
    """A recipe file that cannot be read."""


class RulesError(UsageError):
    """Rules of the gate that cannot be read or are not allowed."""


class StoreError(UsageError):
    """A run directory that cannot be read, written or shared."""


class BaselineError(UsageError):
    """A baseline that cannot be read, made or written."""


class PluginError(BenchsuiteError):
    """A plugin that cannot be loaded, or whose name is taken twice."""


class ContractError(BenchsuiteError):
    """A plugin's object returned what its contract does not allow."""


class DivergedError(BenchsuiteError):
    """Training or sampling produced NaN or infinity."""


class NotApplicableError(BenchsuiteError):
    """A metric or method that cannot apply here; its message is the reason of the skipped row."""


class DataMissingError(BenchsuiteError):
    """A dataset that has not been prepared; its message says how to prepare it."""


class PreparationError(BenchsuiteError):
    """A dataset that cannot be prepared; its message says what to do by hand."""


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "Cannot allocate memory", "could not create a primitive")


def is_out_of_memory(error: BaseException, text: str) -> bool:
    """Whether ``error``, which says ``text``, is a failed allocation: torch raises RuntimeError for most of them."""
    return isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY)


def reason_of(error: BaseException) -> str:
    """What a record or a message says of an error: its text, with its type where it is none of benchsuite's own.

    >>> reason_of(PluginError("it is broken")), reason_of(KeyError("x"))
    ('it is broken', "KeyError: 'x'")
    """
    if isinstance(error, SystemExit):
        return f"called sys.exit({error.code!r})"
    text = text_of(error)
    return text if isinstance(error, BenchsuiteError) else f"{type(error).__name__}: {text}"


def text_of(error: BaseException) -> str:
    """What an error says, which is a plugin's code and may itself fail, or not be writable as UTF-8."""
    try:
        text = str(error)
    except Exception as another:
        text = f"its text cannot be had: {type(another).__name__}"
    return text.encode("utf-8", "backslashreplace").decode()


def unknown_name(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that nothing answers to, with the nearest known name.

    >>> str(unknown_name("method", "vea", ["vae", "pca"]))
    "no method named 'vea'; did you mean 'vae'? known: pca, vae"
    """
    from difflib import get_close_matches  # only a failing command pays for it

    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ";"
    return UnknownNameError(f"no {what} named '{name}'{hint} known: {', '.join(names) or 'none'}")
