"""Characters that would act instead of show, made visible.

Control characters could clear a reader's terminal, bidirectional overrides could reorder
what is read, and lone surrogates cannot be written to a file at all.  Every renderer
passes every string it did not write itself through :func:`visible`.
"""

from __future__ import annotations

import unicodedata

# Format characters that shape visible text: joiners (emoji, Persian, Indic scripts), the
# Arabic, Syriac and Kaithi signs that have a glyph, and the tags inside emoji flags.
_KEEP = frozenset(
    {0x200C, 0x200D, 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD}
    | set(range(0x0600, 0x0606))
    | set(range(0xE0020, 0xE0080))
)
# control, format, surrogate, line separator, paragraph separator
_ACTING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def acts(char: str) -> bool:
    """Whether a character does something (moves, reorders, hides) instead of showing."""
    code = ord(char)
    if code < 0x7F:
        return code < 0x20
    if code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:  # noncharacters: never text
        return True
    return unicodedata.category(char) in _ACTING and code not in _KEEP


def notation(char: str) -> str:
    """How an acting character is shown: ``\\x1b`` for ESC, ``\\u202e`` for an override.

    Plain ASCII: the control pictures (U+241B and its like) are missing from many fonts.
    """
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str) -> str:
    """``text`` with every acting character in its visible notation.

    Newlines and tabs stay; a Windows line end becomes one newline.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(c if c in "\n\t" or not acts(c) else notation(c) for c in text)


def one_line(text: str) -> str:
    """:func:`visible`, with newlines and tabs in their notation as well: for labels and cells."""
    return "".join(notation(c) if acts(c) else c for c in text)
