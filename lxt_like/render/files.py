"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, RenderError


def suffix_of(path: str | os.PathLike[str], known: Sequence[str]) -> str:
    """The suffix of ``path`` in lower case; InputError naming the ``known`` ones otherwise."""
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"expected a path, got {type(path).__name__}")
    if "\0" in str(path):
        raise InputError(f"expected a path, got {os.fspath(path)!r}, which holds a NUL character")
    suffix = Path(path).suffix.lower()
    if suffix not in known:
        raise InputError(
            f"cannot tell the format of {os.fspath(path)!r} from its suffix {suffix!r}; "
            f"use one of {', '.join(known)}"
        )
    return suffix


def write(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write ``content`` (text as UTF-8) to a temporary file beside ``path``, then move it there.

    A reader sees the old file or the new one, never half of one; a failure leaves the old one.
    Folders are not created: RenderError if there is none, or if it cannot be written to.
    """
    target = _target(path)
    payload = content.encode("utf-8") if isinstance(content, str) else content
    temporary = _beside(target)
    try:
        with temporary.open("xb") as file:
            try:
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
                file.close()  # only a closed file can be moved on Windows
                os.replace(temporary, target)
            except BaseException:
                file.close()
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise _refused(target, error) from error


def require_writable(path: str | os.PathLike[str]) -> None:
    """Raise the RenderError that :func:`write` would, before there is anything to write."""
    target = _target(path)
    temporary = _beside(target)
    try:
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as error:
        raise _refused(target, error) from error


def _target(path: str | os.PathLike[str]) -> Path:
    if "\0" in str(path):
        raise RenderError(f"cannot write {os.fspath(path)!r}: a NUL character is in no path")
    target = Path(os.path.realpath(path))  # a symbolic link stays one: its target is replaced
    if not target.parent.is_dir():
        raise RenderError(
            f"cannot write {target.name!r}: there is no folder {str(target.parent)!r}"
        )
    try:
        target.lstat()  # unlike is_dir, not silent about a name that is too long
    except FileNotFoundError:
        return target
    except OSError as error:
        raise _refused(target, error) from error
    if target.is_dir():
        raise RenderError(f"cannot write {str(target)!r}: it is a folder")
    return target


def _beside(target: Path) -> Path:
    # short and of our own making: the target's name may already be as long as a name can be
    return target.with_name(f".lxt-{secrets.token_hex(8)}.tmp")


def _refused(target: Path, error: OSError) -> RenderError:
    reason = error.strerror or type(error).__name__
    return RenderError(f"cannot write {str(target)!r}: {reason}")
