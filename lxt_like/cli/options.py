"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from ..errors import InputError

OUTPUT = "Output"
LONG = "Long and many texts"
CARE = "Checks and trouble"
"""Headings on the help pages."""

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="A folder or hub id, whatever from_pretrained takes. Default: the bundled "
        "sentiment model.",
    ),
]
CompositeName = Annotated[
    str,
    typer.Option(
        "--composite",
        "-c",
        metavar="NAME",
        help="The set of rules, such as attnlrp, cp_lrp, epsilon or gradient.",
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        metavar="CLASS",
        help="The class to explain, by name or index; of other models a token, an answer, or "
        "WORD=TAG (WORD= for its predicted tag). Default: the prediction.",
    ),
]
Foil = Annotated[
    str | None,
    typer.Option("--foil", metavar="CLASS", help="Explain why the target rather than this class."),
]
Pair = Annotated[
    str | None,
    typer.Option(
        "--pair",
        metavar="TEXT",
        help="The second text (a context, another sentence), for models that read two.",
    ),
]
Prefix = Annotated[
    str | None,
    typer.Option("--prefix", metavar="TEXT", help="What an encoder-decoder has written so far."),
]
Chat = Annotated[
    bool | None,
    typer.Option(
        "--chat",
        metavar="",
        help="Take each TEXT for a user's message, in the chat template of the tokenizer.",
        show_default=False,
    ),
]
System = Annotated[
    str | None,
    typer.Option("--system", metavar="TEXT", help="The system message of a --chat."),
]
Json = Annotated[
    bool, typer.Option("--json", metavar="", rich_help_panel=OUTPUT, help="Print JSON instead.")
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        metavar="",
        rich_help_panel=CARE,
        help="Let Python code that comes with a model run.",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        metavar="",
        rich_help_panel=CARE,
        help="Show notices of the libraries below.",
    ),
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug", metavar="", rich_help_panel=CARE, help="Show the traceback of an error."
    ),
]


@dataclass(frozen=True)
class Care:
    """How carefully, and in how large batches: the options that all kinds of inputs share."""

    batch_size: int | None
    ledger: bool
    strict: bool
    trust_remote_code: bool
    verbose: bool
    debug: bool

    @property
    def size(self) -> int:
        """The most inputs at once."""
        from ..explain.inputs import batch_size_of

        return batch_size_of(self.batch_size, self.ledger)


def refuse(given: Mapping[str, Any], why: str) -> None:
    """Raise InputError for the options among these that were given, though ``why`` forbids it."""
    wrong = [f"--{name}" for name, value in given.items() if value is not None]
    if wrong:
        raise InputError(f"{', '.join(wrong)}: {why}")
