"""The parts of a JSON document that explanations of texts and images share."""

from __future__ import annotations

import math
import re
from typing import Any

from ..errors import InputError, NumericalError
from ..explanation import Account, TargetInfo
from .checked import Node, read_real, read_string, shown
from .contradictions import require_probability

_PAIR = re.compile("(?<=[\\ud800-\\udbff])(?=[\\udc00-\\udfff])")


def encode_target(target: TargetInfo) -> dict[str, Any]:
    """A target as a JSON object."""
    return {
        "label": string(target.label),
        "index": target.index,
        "score": number("the target's score", target.score),
        "probability": None
        if target.probability is None
        else number("the target's probability", target.probability),
    }


def encode_account(account: Account) -> dict[str, Any]:
    """A ledger as a JSON object."""
    return {
        "score": number("the account's score", account.score),
        "inputs": number("the account's inputs", account.inputs),
        # pairs, not an object: the order of the causes and odd names survive any reader
        "entries": [
            [string(cause), number(f"the account's entry {cause!a}", value)]
            for cause, value in account.entries.items()
        ],
        "unruled": number("the account's unruled", account.unruled),
        "gap": number("the account's gap", account.gap),
    }


def string(text: str) -> str | list[str]:
    """A string, as a list of its parts where readers would join them."""
    parts = _PAIR.split(text)
    return parts if len(parts) > 1 else text


def number(what: str, value: float) -> float:
    """A finite number; NumericalError, saying ``what`` it is, otherwise."""
    if not math.isfinite(value):
        raise NumericalError(
            f"{what} is {value}; JSON has only finite numbers: look for NaN in the model's weights "
            "or an overflow"
        )
    return float(value)


def decode_target(value: object, where: str) -> TargetInfo:
    """What :func:`encode_target` made."""
    node = Node(value, where, ("label", "index", "score", "probability"))
    probability = node.optional("probability", node.real)
    require_probability(probability, node.path("probability"))
    return TargetInfo(
        label=node.string("label"),
        index=node.optional("index", node.whole),
        score=node.real("score"),
        probability=probability,
    )


def decode_account(value: object, where: str) -> Account:
    """What :func:`encode_account` made."""
    node = Node(value, where, ("score", "inputs", "entries", "unruled", "gap"))
    entries = node.items("entries", _decode_entry)
    if len(dict(entries)) != len(entries):
        raise InputError(f"{node.path('entries')}: a cause is listed twice")
    return Account(
        score=node.real("score"),
        inputs=node.real("inputs"),
        entries=dict(entries),
        unruled=node.real("unruled"),
        gap=node.real("gap"),
    )


def _decode_entry(value: object, where: str) -> tuple[str, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"{where}: expected [cause, number], got {shown(value)}")
    return read_string(value[0], where), read_real(value[1], where)
