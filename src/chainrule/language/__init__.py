"""`LanguageModel`, the public interface: score, rank, explain, generate, fill in and verify.

The same option has the same name, type, default and description in every method: tests/test_signatures.py.
"""

from chainrule.language.model import LanguageModel

__all__ = ["LanguageModel"]
