"""The command line. A command is a module, imported when it is called: `nas --help` loads neither torch nor ray."""

import importlib
import logging
import signal
import sys

import click

from search_spaces.errors import InputError, NasError

COMMANDS = {
    "search": "launch a study from a preset or a study file",
    "teach": "teach the teachers of a study and cache their logits",
    "resume": "carry on a study after Ctrl-C, a crash, or to add trials",
    "status": "how far a study is",
    "front": "the Pareto front of a study",
    "report": "write the HTML report of a study",
    "export": "write one trained student as a bundle",
    "evaluate": "how good an export is on a data set's test list",
    "train": "teach an export in full, then for each recording device",
    "predict": "which scenes recordings come from, by an export or a published checkpoint",
    "data": "check a data set, or describe it",
    "cost": "the exact cost of a design",
}

DONE, FAILED, WRONG, NOT_FITTING, INTERRUPTED = 0, 1, 2, 3, 130


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own name and are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f"nas.cli.{name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"nas.cli.{name}.command is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table above, so that help needs no import."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """With the nearest command where there is none of that name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="acoustic-nas", prog_name="nas")
def nas() -> None:
    """Search small networks for acoustic scenes under a hard budget, for a microcontroller.

    Begin with `nas search quick`: a minute or two on two cores, nothing to download.
    """


def main() -> None:
    """The console script. Exit codes: 0 done; 1 the work failed; 2 wrong usage or input; 3 done, but something does not
    fit; 130 stopped by Ctrl-C; 143 by SIGTERM."""
    debug = "--debug" in sys.argv
    signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))
    try:
        code = nas.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(WRONG)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped by Ctrl-C; what was finished is saved.", err=True)
        sys.exit(INTERRUPTED)
    except NasError as error:
        _tell(str(error), debug)
        sys.exit(WRONG if isinstance(error, InputError) else FAILED)
    except OSError as error:
        _tell(f"{error.filename or 'the operating system'}: {error.strerror or error}", debug)
        sys.exit(FAILED)
    sys.exit(code if isinstance(code, int) else DONE)


def _tell(message: str, debug: bool) -> None:
    if debug:
        logging.getLogger("acoustic_nas").exception("the traceback that --debug asks for")
    click.echo(f"Error: {message}", err=True)
