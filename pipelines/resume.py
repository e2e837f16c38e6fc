"""What is left to do: results whose sidecar is missing, or was made of something else."""

from collections.abc import Collection, Mapping
from pathlib import Path

from pipelines.publish import read_sidecars, remove_unnamed, sidecar_path
from schemas import stores
from schemas.files import remove_parts
from schemas.paths import is_url
from schemas.sidecar import Sidecar


def find_pending(folder: Path, wanted: Mapping[str, str], retry_failed: bool) -> list[str]:
    """Keys that are to be built.

    Args:
      folder: of the results.
      wanted: digest of each key's plan.
      retry_failed: take those that are committed with a failed outcome, too.
    """
    pending = []
    sidecars = read_sidecars(folder, wanted)
    for key, plan in wanted.items():
        sidecar = sidecars[key]
        failed = sidecar is not None and any(outcome.status == "failed" for outcome in sidecar.outcomes)
        if sidecar is None or sidecar.digest != plan or (retry_failed and failed):
            pending.append(key)
    return pending


def discard(folder: Path, pending: list[str]) -> None:
    """Withdraw what is about to be built again, so that progress and crashes are seen from sidecars alone."""
    paths = [sidecar_path(folder, key) for key in pending]
    if is_url(folder):
        there = stores.list_files(folder) if paths else {}
        stores.remove(path for path in paths if str(path.relative_to(folder)) in there)
        return
    for path in paths:
        path.unlink(missing_ok=True)


def seal(
    folder: Path,
    wanted: Mapping[str, str],
    suffixes: tuple[str, ...],
    places: Collection[str] | None = None,
) -> dict[str, Sidecar | None]:
    """Clear the folder of what nobody wants and of temporary files; gives every key's sidecar.

    A key is None where nothing was committed: it could not even be tried. `places` is as in `remove_unnamed`.
    """
    remove_parts(folder)
    remove_unnamed(folder, set(wanted), (*suffixes, ".json"), places)
    return read_sidecars(folder, wanted)
