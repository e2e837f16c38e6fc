"""Checks of parameters."""

from schemas.errors import UsageError
from schemas.params import DatasetParams, Params


def dataset_params(params: Params, name: str, root: str | None) -> DatasetParams:
    """The parameters of a dataset; a layout's name stands for itself where `params.yaml` has no entry.

    Raises:
      UsageError: if there is no root to be had.
    """
    known = params.datasets.get(name)
    if known is None and root is None:
        raise UsageError(
            f"--dataset {name}: not in params.yaml, which has {sorted(params.datasets)}; "
            "add it there, or name a layout and its folder: --dataset faceforensics --root FOLDER"
        )
    if known is None:
        return DatasetParams(layout=name, root=str(root))
    return DatasetParams(**{**_fields(known), "root": root}) if root is not None else known


def _fields(value: DatasetParams) -> dict:
    return {name: getattr(value, name) for name in DatasetParams.__dataclass_fields__}


def check_samples(params: Params) -> None:
    """Refuse parameters that no sample can be made with.

    Raises:
      UsageError: naming the parameter.
    """
    wrong = {"all_zero", "unknown"} & {params.mask.train, *params.mask.kinds}
    if wrong:
        raise UsageError(
            f"mask.train, mask.kinds: {sorted(wrong)} is what a mask turns out to be; leave it out"
        )
    if not 16 <= params.crop.size <= 4096:
        raise UsageError(f"crop.size: {params.crop.size} pixels; it must be 16 to 4096")
    if not 1 <= params.shard.quality <= 100:
        raise UsageError(f"shard.quality: {params.shard.quality}; it must be 1 to 100")
    for name, value in (
        ("frames.stride", params.frames.stride),
        ("frames.length", params.frames.length),
        ("shard.groups", params.shard.groups),
    ):
        if value < 1:
            raise UsageError(f"{name}: {value}; it must be at least 1")
