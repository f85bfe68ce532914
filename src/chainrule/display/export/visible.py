"""Tokens in which every character can be seen: ␣ for a space, and the escapes of Python for what does not print."""

from __future__ import annotations

import unicodedata

SPACE = "␣"
_NAMED = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\\": r"\\"}


def visible(token: str, raw: bytes) -> str:
    r"""A token, such as ␣umbrella. Different tokens look different: a backslash is doubled, and a part of a character is \xe2.

    raw: the bytes of the token. If they do not spell `token`, it is the name of a symbol, and its own characters are shown.
    """
    spelled = bool(raw) and raw.decode("utf-8", "backslashreplace") == token
    # Surrogates stand for the bytes that are no character; text that is decoded from UTF-8 has no others.
    text = raw.decode("utf-8", "surrogateescape") if spelled else token
    return "".join(_shown(character, first=not i) for i, character in enumerate(text))


def line(text: str) -> str:
    """A text as one line: characters that print as they are, and the others as in tokens."""
    return "".join(c if c.isprintable() else _shown(c, first=False) for c in text)


def code_point(character: str) -> str:
    """The number of a character in Unicode, in hexadecimal: 65E5."""
    return f"{ord(character):04X}"


def _shown(character: str, first: bool) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if character == " ":
        return SPACE
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    joins = first and unicodedata.category(character).startswith("M")  # it would join what is before the token
    if character.isprintable() and character != SPACE and not joins:
        return character
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
