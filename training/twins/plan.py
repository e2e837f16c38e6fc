"""What the experiment trains."""

import dataclasses
from collections.abc import Sequence

from schemas.experiment import Arm, Setting, Variant
from schemas.params_training import ExperimentParams

SETTINGS: tuple[Setting, ...] = ("shortcut", "plain", "budgets", "variants")
_FEW: tuple[Arm, ...] = ("none", "random", "paper", "all")
_STRATEGIES: tuple[Arm, ...] = ("random", "ranking", "uncertainty", "mislocalisation")


@dataclasses.dataclass(frozen=True)
class Unit:
    """What is trained together: one first stage, and a second stage an arm and budget.

    Attributes:
      setting, artefact, seen, variant, seed: as in `schemas.experiment.Figure`.
      arms: in the order in which they are trained.
      budgets: requests as shares of the training images; every arm is trained with each.
    """

    setting: Setting
    artefact: str
    seen: str
    variant: Variant
    seed: int
    arms: tuple[Arm, ...]
    budgets: tuple[float, ...]

    @property
    def name(self) -> str:
        """Of the unit, for people and files."""
        parts = (self.setting, self.artefact, self.seen, self.variant, str(self.seed))
        return "-".join(part for part in parts if part)


def plan_units(params: ExperimentParams, methods: Sequence[str], settings: Sequence[Setting]) -> list[Unit]:
    """The units of some settings.

    shortcut: every artefact on the method of `params.seen`, all arms, the largest budget. plain: every method
    seen in turn, no artefact. budgets: the strategies and the smaller budgets under the first artefact.
    variants: of training on that method without an artefact, with masks and without.
    """
    first, most, less = params.seen, params.budgets[-1:], params.budgets[:-1]
    parts: dict[Setting, list[tuple[str, str, Variant, tuple[Arm, ...], tuple[float, ...]]]] = {
        "shortcut": [(artefact, first, "base", params.arms, most) for artefact in params.artefacts],
        "plain": [("", method, "base", _FEW, most) for method in methods],
        "budgets": [(artefact, first, "base", _STRATEGIES, less) for artefact in params.artefacts[:1]],
        "variants": [("", params.seen, variant, _FEW[:2], most) for variant in params.variants],
    }
    return [
        Unit(setting, artefact, method, variant, seed, arms, budgets)
        for setting in settings
        for artefact, method, variant, arms, budgets in parts[setting]
        for seed in range(params.seeds)
        if budgets
    ]
