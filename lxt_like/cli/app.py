"""The program ``lxt-like``: its commands, and usage errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from ..errors import LxtError
from .audit import audit
from .evaluate import evaluate
from .explain import explain
from .guard import CLOSED, INTERRUPTED, MISTAKE
from .plan import plan
from .streams import NoReaderError, emit, error_line, say


class _Program(TyperGroup):
    """The group of all commands; a usage error is one line on stderr and exit code 2."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except (KeyboardInterrupt, typer.Abort):
            say("interrupted")
            code = INTERRUPTED
        except NoReaderError:
            code = CLOSED
        except (LxtError, OSError) as error:  # a help page or version that cannot be printed
            error_line(str(error))
            code = MISTAKE
        except Exception as error:
            if not hasattr(error, "format_message"):  # what all usage errors have
                raise
            error_line(_usage(error))
            code = MISTAKE
        sys.exit(code if isinstance(code, int) else 0)


def _usage(error: Any) -> str:
    message = str(error.format_message()).rstrip(".?")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "lxt-like"
    hint = ""
    if message.startswith("No such command") and "Did you mean" not in message:
        hint = f"; a text is explained by: {command} explain TEXT"
    elif message.startswith("No such option"):
        hint = "; a text that begins with a dash goes behind --"
    return f"{message[:1].lower()}{message[1:]}{hint}; see {command} --help"


def _version(wanted: bool) -> None:
    if wanted:
        emit(f"lxt-like {__version__}\n")
        raise typer.Exit


app = typer.Typer(
    name="lxt-like",
    cls=_Program,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", callback=_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Explain the predictions of transformers, with an account that adds up."""
    if context.invoked_subcommand is None:
        emit(context.get_help() + "\n")


def _flowing(text: str) -> str:
    """Paragraphs without line ends of their own, which the help page would keep."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


for _command in (explain, plan, audit, evaluate):
    app.command(help=_flowing(_command.__doc__ or ""))(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with ``arguments`` (None: those of the process) and exit."""
    app(args=arguments, prog_name="lxt-like")
