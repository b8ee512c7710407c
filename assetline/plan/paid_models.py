"""Models at Replicate as a plan sees them: what it asks of each. The catalogue itself is handed in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from assetline.plan.recipe import find_name
from assetline.records import ImageRequest, Row, Value
from assetline.sheet.suggest import nearest
from assetline.workflow.models import is_model_file

SURELY_MEANT = 0.85  # so near must a word be to a model's name to be taken for it, where nothing else says so


class Setting(Protocol):
    """One parameter of a model."""

    def typed(self, value: Value) -> bool | int | float | str:
        """The value in its type. Raises ValueError."""

    def fault(self, value: Value) -> str:
        """Why it cannot take the value; empty where it can."""


@runtime_checkable
class Unfit(Protocol):
    """What a model cannot take: the parameter, a code, words to put after the model's name, what to write instead."""

    @property
    def parameter(self) -> str:
        """The parameter: `seed`, `size`, `steps`."""

    @property
    def code(self) -> str:
        """A code of `plan.CODES`."""

    @property
    def message(self) -> str:
        """Words to put after the model's name."""

    @property
    def fix(self) -> str:
        """What to write instead."""


@runtime_checkable
class Fit(Protocol):
    """The pixels that a model makes for a size."""

    @property
    def width(self) -> int:
        """Pixels across."""

    @property
    def height(self) -> int:
        """Pixels down."""


class ModelPrice(Protocol):
    """A price with where it is from and of what day."""

    @property
    def usd(self) -> float:
        """US dollars."""

    @property
    def per(self) -> Literal["image", "second"]:
        """What it is for."""

    @property
    def source(self) -> str:
        """Where the figure is from."""

    @property
    def date(self) -> dt.date:
        """Of what day it is."""

    def is_old(self, today: dt.date) -> bool:
        """Whether somebody should look at the price page again."""


class PaidModel(Protocol):
    """One model of the catalogue. `ref` is `ImageRequest.model`; `negative_prompt` is empty where it takes none."""

    @property
    def name(self) -> str:
        """What sheets call it."""

    @property
    def model(self) -> str:
        """`owner/name`."""

    @property
    def ref(self) -> str:
        """What requests call it."""

    @property
    def negative_prompt(self) -> str:
        """The input's name; empty: it has none."""

    @property
    def parameters(self) -> Mapping[str, Setting]:
        """Its settings, by the names of columns."""

    @property
    def images(self) -> Mapping[str, object]:
        """Its pictures, by role."""

    @property
    def price(self) -> ModelPrice:
        """What it costs."""

    def complete(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The values over its defaults."""

    def fit(self, width: int, height: int, *, strict: bool) -> Fit | Unfit:
        """What comes for a size; strict: only where it has that size, or that shape if it takes ratios."""

    def misfits(self, request: ImageRequest, written: Collection[str], *, strict: bool) -> Sequence[Unfit]:
        """Everything that it cannot do of a request; `written` are the parameters that the row itself gives."""

    def price_range(self, request: ImageRequest) -> tuple[float, float]:
        """What the picture will probably cost in USD, low and high."""

    def reserve(self, request: ImageRequest) -> float:
        """The most that it can cost in USD: so much must be left under every cap."""


Models = Mapping[str, PaidModel]  # by name


def find_paid(written: str, models: Models) -> PaidModel | None:
    """The model that a cell names: `flux-schnell`, `Flux Schnell`, `black-forest-labs/flux-schnell`, or its `ref`."""
    name = find_name(written.strip(), models)
    if name:
        return models[name]
    wanted = written.strip().casefold()
    return next((one for one in models.values() if wanted in {one.model.casefold(), one.ref.casefold()}), None)


def by_ref(models: Models) -> dict[str, PaidModel]:
    """The models by what requests call them."""
    return {model.ref: model for model in models.values()}


def asks_for_one(row: Row, models: Models) -> bool:
    """Whether a row is for Replicate: it says so, or its model is one of those there, or can only be meant for one."""
    if row.backend in {"replicate", "comfyui"} or not row.model:
        return row.backend == "replicate"
    if find_paid(row.model, models):
        return True
    return not is_model_file(row.model) and nearest(row.model, models, SURELY_MEANT) is not None
