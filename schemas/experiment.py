"""Figures of the experiment with twins: `figures.parquet`."""

from typing import Literal

from schemas.record import record

Artefact = Literal["noise", "blur", "logo"]
Variant = Literal["base", "narrow", "large", "rgb", "reconstruction", "boundary"]
Setting = Literal["shortcut", "plain", "budgets", "variants"]
Arm = Literal[
    "none",
    "random",
    "ranking",
    "uncertainty",
    "mislocalisation",
    "all",
    "inverted",
    "fake-half",
    "paper",
]


@record
class Figure:
    """One figure of one trained model, over everybody or for one person.

    Attributes:
      setting: which comparison it belongs to.
      artefact: planted on seen fakes; "" is none.
      seen: the forgery method that was trained on.
      variant: how training differed from the usual; "base" is not at all.
      arm: which fakes had masks in stage 2, and which losses used them.
      budget: requests, as a share of the training images.
      masks: fakes with masks.
      seed: of weights, order, augmentation and lots.
      identity: target of the images that it is of; "" is everybody.
      figure: its name; docs/lae.md says what each is.
      value: of the figure; not a number where it cannot be had.
    """

    setting: Setting
    artefact: str
    seen: str
    variant: Variant
    arm: Arm
    budget: float
    masks: int
    seed: int
    identity: str
    figure: str
    value: float
