"""Everything that chainrule raises on purpose.

ChainruleError
├── InputError      what was asked cannot be scored: empty text, ids out of range, wrong widths … (also a ValueError)
├── ModelError      the model cannot be used: unreadable, pickled weights, NaN, no language model …
└── OutputError     a result cannot be written where it was asked to go

The command line prints the message of each and exits with code 2.
"""


class ChainruleError(Exception):
    """Base of all errors of this library; the message says what was wrong, the value, and what to do."""


class InputError(ChainruleError, ValueError):
    """A text, token id, embedding, file or option that cannot be scored as given."""


class ModelError(ChainruleError):
    """A model that cannot be loaded, or that gives no conditional distribution."""


class OutputError(ChainruleError):
    """A result that cannot be written."""
