"""The text in a file's bytes."""

from __future__ import annotations

import codecs

from ..errors import InputError

_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",  # as Windows PowerShell writes files
    codecs.BOM_UTF16_BE: "utf-16",
}


def decode(data: bytes, name: str) -> str:
    """``data`` as UTF-8, or as what its byte order mark says.

    Raises:
        InputError: it is not; the message names the first wrong byte.
    """
    encoding = next((name for mark, name in _BOMS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        # counted in the bytes before it: what follows may be anything
        start = data.rfind(b"\n", 0, error.start) + 1
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{name} is not {encoding.removesuffix('-sig').upper()}: byte "
            f"0x{data[error.start]:02x} in line {line}, at its byte {error.start - start + 1}; "
            "save it as UTF-8, for instance with: iconv -f LATIN1 -t UTF-8"
        ) from error
