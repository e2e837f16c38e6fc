"""Reading `params.yaml`."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from schemas.convert import from_row
from schemas.errors import UsageError
from schemas.params import Params

DEFAULT = Path("params.yaml")


def read_params(path: Path | None) -> Params:
    """The parameters of a file; of `./params.yaml`, or all defaults, where no file is named.

    Raises:
      UsageError: if the file is missing, is not YAML, or holds an unknown name or a wrong value.
    """
    if path is None:
        if not DEFAULT.exists():
            return Params(datasets={})
        path = DEFAULT
    try:
        values = yaml.safe_load(path.read_text("utf-8")) or {}
        return from_row(Params, {"datasets": {}, **values})
    except FileNotFoundError:
        raise UsageError(f"--params {path}: no such file") from None
    except ValidationError as error:
        problems = [
            f"  {'.'.join(map(str, item['loc']))}: {item['msg'].lower()}, got {item['input']!r}"
            for item in error.errors()
        ]
        raise UsageError(f"{path}: these parameters cannot be used:\n" + "\n".join(problems)) from None
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, OSError) as error:
        raise UsageError(f"{path}: not a readable YAML map: {error}") from None
