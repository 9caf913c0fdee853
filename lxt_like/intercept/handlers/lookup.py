"""Looking up rows by ids: the words that are explained, where a model is given nothing but ids."""

from __future__ import annotations

from typing import Any

from ...rules.live import explain_at
from ..registry import Func, handles
from ..roles import hand_on
from ..session import Session


@handles("look-up", "embedding", "embedding_bag")
def _look_up(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Rows of a table that requires grad; beside a tensor to explain they are weights."""
    out = func(*args, **kwargs)
    if not session.given and out.requires_grad:
        explain_at(out)
        session.unasked = False
    hand_on(session, func, args, kwargs, out)
    session.note(out, func)
    return out
