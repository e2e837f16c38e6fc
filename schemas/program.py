"""How a command begins (its parser) and ends (its exit code, a message where the user can mend it)."""

import argparse
import importlib
import os
import signal
import sys

from schemas.errors import StoppedError, UsageError
from schemas.paths import local

WHOLE, STOPPED, USAGE, FAILURES = 0, 1, 2, 3


def make_parser(module: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """A parser with `--params`.

    Args:
      module: that is run, such as "training.train".
      description: what the command does.
      epilog: examples, exit codes.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--params",
        type=local,
        metavar="FILE",
        help="parameters (default: ./params.yaml, else built-in defaults)",
    )
    return parser


def run_main(module: str) -> None:
    """Run a module's `main` as a program: a `UsageError` is a message and exit code 2, a `StoppedError` 1.

    The module is imported by its name, so that workers find its classes there and not in `__main__`.
    """
    try:
        sys.exit(importlib.import_module(module).main())
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USAGE)
    except StoppedError as error:
        print(f"stopped: {error}", file=sys.stderr, flush=True)
        os._exit(STOPPED)  # Beam's thread may still wait for a worker that died.
    except BrokenPipeError:  # whoever read our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        print("interrupted; a rerun continues from here", flush=True)
        os._exit(130)  # Beam's worker threads would keep the process alive.
