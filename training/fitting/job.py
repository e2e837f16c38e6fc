"""What a run is to be trained on, checked before anything is trained."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from schemas.digest import digest
from schemas.errors import UsageError
from schemas.files import file_sha256
from schemas.params_training import TrainParams
from training.asking.plan import LIMIT
from training.asking.selection import Budget
from training.fitting.loop import Stage
from training.fitting.run_folder import LABELS, GivenLabels, gather_labels, load_model, read_run
from training.lae.build import check_params, config_of, make_model
from training.lae.losses import face_prior
from training.lae.model import LAE
from training.loading.labels import Labels, read_labels
from training.loading.pool import Pool, is_url, read_pool

# Raise it when the same data and parameters give other weights: DVC then trains again.
VERSION = 1


@dataclass(frozen=True)
class Job:
    """What is to be trained.

    Attributes:
      shards, where, params, skip_broken: as given.
      stage: 1, or 2 where there are labels.
      number: of the round.
      init: folder of the run that it starts from, if any.
      init_sha256: of that run's model; "" for none.
      pool: training samples.
      labels: masks that train, in stage 2.
      label_folders: as given.
      methods: of the fakes in the pool, and of those that `init` was trained on, sorted.
      given: all label rows.
      settings: digest of all that decides the weights, but the device.
    """

    shards: tuple[str, ...]
    where: str
    params: TrainParams
    skip_broken: bool
    stage: Stage
    number: int
    init: Path | None
    init_sha256: str
    pool: Pool
    labels: Labels | None
    label_folders: tuple[Path, ...]
    methods: tuple[str, ...]
    given: GivenLabels
    settings: str


def plan_job(
    shards: Sequence[str],
    where: str,
    label_folders: Sequence[Path],
    init: Path | None,
    params: TrainParams,
    skip_broken: bool = False,
    world: int = 1,
    exceed: bool = False,
) -> Job:
    """See what is to be trained; reads tables and masks, no crops.

    Args:
      shards: folders or URLs.
      where: filter on their samples.
      label_folders: of labels, in addition to those of `init`.
      init: folder of the run to start from.
      params: of training.
      skip_broken: leave out what cannot be read.
      world: number of processes.
      exceed: allow more requests than `LIMIT` of the training images.

    Raises:
      UsageError: if it cannot be trained, or people were asked about too many images.
    """
    check_params(params)
    pool = read_pool(shards, where, "train")
    number, init_sha256, folders = 0, "", list(label_folders)
    methods = set(pool.column("method")[pool.column("label") == "fake"])
    if init is not None:
        run = read_run(init)
        number, init_sha256 = run.round + 1, run.model_sha256
        methods |= set(run.methods)
        _check_shape(init, run.train, params)
        if (init / LABELS).is_dir():
            folders.insert(0, init / LABELS)
    given = gather_labels(folders)
    if not exceed:
        _check_budget(len(given.rows), len(pool))
    labels = read_labels(folders, pool) if given.rows or label_folders else None
    settings = digest(
        VERSION, params, pool.digest, given.digest, init_sha256, world, skip_broken, _read_perceptual(params)
    )
    return Job(
        shards=tuple(shards),
        where=where,
        params=params,
        skip_broken=skip_broken,
        stage=1 if labels is None else 2,
        number=number,
        init=init,
        init_sha256=init_sha256,
        pool=pool,
        labels=labels,
        label_folders=tuple(label_folders),
        methods=tuple(sorted(methods)),
        given=given,
        settings=settings,
    )


def _check_budget(requested: int, images: int) -> None:
    budget = Budget(images, LIMIT, requested)
    if requested > budget.allowed:
        raise UsageError(
            f"--labels: {requested:,} crops were asked about, with those of --init, answered or not; "
            f"{LIMIT:g} of {images:,} training images is {budget.allowed:,}: give fewer, more shards, or "
            "--exceed-budget where that is meant"
        )


def _check_shape(init: Path, before: TrainParams, params: TrainParams) -> None:
    mine, theirs = (dataclasses.asdict(config_of(each)) for each in (params, before))
    for name, value in mine.items():
        if value != theirs[name]:
            raise UsageError(
                f"train.{name}: {value}, but the model of --init {init} has {theirs[name]}; set it to "
                f"{theirs[name]} in the file of --params, or train without --init"
            )


def _read_perceptual(params: TrainParams) -> str:
    """The digest of the VGG weights, "" where they are not used or not there (loading them then says so)."""
    path = Path(params.loss.perceptual_weights)
    return file_sha256(path) if params.loss.perceptual and path.is_file() else ""


def check_out(out: Path, job: Job) -> None:
    """Refuse a folder that holds something else that the run needs.

    Raises:
      UsageError: if the run would be written into its shards, or where its shards, its labels or the run that
        it starts from are.
    """
    if job.init is not None and out.resolve() == job.init.resolve():
        raise UsageError(f"--out {out}: is also --init; give another folder for the new run")
    shards = [Path(folder) for folder in job.shards if not is_url(folder)]
    for folder in shards:
        if out.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"--out {out}: inside {folder}, which holds shards only; give another folder")
    read = {"--shards": shards, "--labels": job.label_folders, "--init": [job.init] if job.init else []}
    for flag, folders in read.items():
        for folder in folders:
            if folder.resolve().is_relative_to(out.resolve()):
                raise UsageError(f"--out {out}: holds {folder} of {flag}; give a folder of its own")


def start_model(job: Job) -> LAE:
    """The model to train, on the CPU: of `init`, or a new one.

    Raises:
      UsageError: if the model of `init` cannot be used.
    """
    return make_model(job.params) if job.init is None else load_model(job.init, "cpu")


def draw_prior(labels: Labels, model: LAE, params: TrainParams) -> Tensor:
    """Where faces are (`losses.face_prior`), of masks scaled to the input's size without cropping.

    Raises:
      UsageError: if the masks are so small or so different that they span no region.
    """
    size = model.config.size
    masks = [
        cv2.resize(_read_mask(path), (size, size), interpolation=cv2.INTER_AREA)
        for path in labels.masks.values()
    ]
    prior = face_prior(torch.from_numpy(np.stack(masks)), model.config.grid)
    if params.loss.outside and not prior.any():
        raise UsageError(
            f"--labels: {len(masks):,} masks have no region in common, so they do not say where faces are; "
            "look at the masks, or set train.loss.outside to 0"
        )
    return prior


def _read_mask(path: Path) -> np.ndarray:
    mask = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise UsageError(f"{path}: not a picture; make the labels again")
    return mask
