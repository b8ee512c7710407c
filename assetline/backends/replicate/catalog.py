"""The models at Replicate that can be asked for: what each takes, how, and its price. Pure, and quick to import.

`models.yaml` is what is shipped; people add their own in a file of the same form (`ASSETLINE_REPLICATE_MODELS`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from assetline.backends.replicate.fields import ImageInput, Misfit, Parameter, Setting, Size, SizeFit
from assetline.backends.replicate.prices import Price
from assetline.errors import OptionError
from assetline.records import ImageRequest, Record, Value
from assetline.yaml_reader import read_yaml

SHIPPED = Path(__file__).with_name("models.yaml")
MIN_DEADLINE_S = 5  # Cancel-After takes no less
MAX_SEED = 2**31 - 1  # what the narrowest of them takes (ideogram); most take as much

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_OWNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9._-]+")
_VERSION = re.compile(r"[0-9a-f]{64}")
_LINES = re.compile(r"\s*\n\s*")


@dataclass(frozen=True)
class Sent:
    """What is sent for a request. `seed` is the one that is sent (None: the model takes none), `size` what will come.

    `notes` tell what was changed or left out on the way.
    """

    input: dict[str, Any]
    seed: int | None
    size: tuple[int, int]
    notes: tuple[str, ...]


class ReplicateModel(Record):
    """One model. `prompt`, `negative_prompt`, `seed` are names of inputs; empty: it has no such input.

    `version` (64 hex digits) is for `call: version`. `deadline_s` is for queue and work; it goes with each create.
    """

    name: str
    model: str
    call: Literal["official", "version"]
    version: str = ""
    description: str = ""
    prompt: str = "prompt"
    prompt_bytes: int | None = Field(default=None, ge=1)
    one_line: bool = False
    negative_prompt: str = ""
    seed: str = ""
    max_seed: int = Field(default=MAX_SEED, ge=1)
    size: Size
    images: dict[str, ImageInput] = Field(default_factory=dict)
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    output: Literal["string", "list"]
    price: Price
    deadline_s: int = Field(default=600, ge=MIN_DEADLINE_S, le=3600)

    @model_validator(mode="after")
    def _names_fit(self) -> ReplicateModel:
        faults = [*self._name_faults()]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _name_faults(self) -> Iterator[str]:
        if not _NAME.fullmatch(self.name):
            yield f"the name {self.name!r} is not of small letters, digits, dots and dashes"
        if not _OWNED.fullmatch(self.model):
            yield f"model: {self.model!r} is not written like owner/name"
        if (self.call == "version") != bool(_VERSION.fullmatch(self.version)):
            yield "version: 64 hex digits with call: version, none with call: official"
        names = [*self.size.names, *(one.field for one in self.parameters.values()), self.prompt]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            yield f"two parts of it fill the same input: {', '.join(twice)}"

    @cached_property
    def ref(self) -> str:
        """What identifies it: `owner/name`, with `:version` where one is pinned. This is `ImageRequest.model`."""
        return f"{self.model}:{self.version}" if self.version else self.model

    def complete(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """`values` over the defaults: what goes into `ImageRequest.parameters`, so that the key says it all."""
        own = {name: one.default for name, one in self.parameters.items() if one.default is not None}
        return {**{name: _plain(value) for name, value in own.items()}, **values}

    def fit(self, width: int, height: int, *, strict: bool = True) -> SizeFit | Misfit:
        """How a size is asked for here, and what then comes; strict: refuse rather than take the nearest."""
        return self.size.fit(width, height, strict=strict)

    def misfits(self, request: ImageRequest, written: Collection[str], *, strict: bool = True) -> list[Misfit]:
        """Everything that this model cannot do of `request`.

        `written` are the parameters that the row itself gives: a seed or a negative prompt of its own that the model
        cannot take is an error, one from the house's defaults is left out with a note.
        """
        found = [*self._text_misfits(request, written), *self._seed_misfits(request, written)]
        size = self.fit(request.width, request.height, strict=strict)
        found += [size] if isinstance(size, Misfit) else []
        found += [*self._parameter_misfits(request.parameters), *self._image_misfits(request.references)]
        return [Misfit(one.parameter, one.code, f"{self.name} at Replicate {one.message}", one.fix) for one in found]

    def to_input(self, request: ImageRequest, images: Mapping[str, str], *, strict: bool = True) -> Sent:
        """The input to send; `images` maps roles to URLs. Raises ValueError with everything that does not fit."""
        faults = self.misfits(request, (), strict=strict)
        fit = self.fit(request.width, request.height, strict=strict)
        if faults or isinstance(fit, Misfit):
            raise ValueError(" ".join(f"{one.message} {one.fix}" for one in faults))
        notes = [fit.note] if fit.note else []
        sent: dict[str, Any] = {self.prompt: self._prompt_text(request.prompt, notes)}
        if request.negative_prompt and not self.negative_prompt:
            notes.append(f"{self.name} takes no negative prompt; it was left out.")
        elif self.negative_prompt:
            sent[self.negative_prompt] = request.negative_prompt
        seed = self._sent_seed(request.seed, notes)
        if seed is not None:
            sent[self.seed] = seed
        sent |= fit.send
        values = {**self.complete({}), **request.parameters}
        sent |= {one.field: one.typed(values[name]) for name, one in self.parameters.items() if name in values}
        for role, url in images.items():
            place = self.images[role]
            sent[place.field] = [*sent.get(place.field, []), url] if place.many else url
        return Sent(sent, seed, (fit.width, fit.height), tuple(notes))

    def price_range(self, request: ImageRequest) -> tuple[float, float]:
        """What the picture will probably cost, in US dollars, low and high. One request is one picture."""
        _ = request  # no model of the catalogue costs more for a larger picture or more steps
        return self.price.range()

    def reserve(self, request: ImageRequest) -> float:
        """The most that it can cost, in US dollars: what is set aside before it is asked for."""
        return max(self.price.most(self.deadline_s), self.price_range(request)[1])

    def _prompt_text(self, prompt: str, notes: list[str]) -> str:
        if self.one_line and "\n" in prompt.strip():
            notes.append(f"The prompt's lines were joined: {self.name} fails on some prompts of several lines.")
        return _LINES.sub(" ", prompt.strip()) if self.one_line else prompt

    def _sent_seed(self, seed: int, notes: list[str]) -> int | None:
        if not self.seed:
            notes.append(f"{self.name} takes no seed; the same request gives another picture each time.")
            return None
        if seed > self.max_seed:
            notes.append(f"The seed {seed} was sent as {seed % (self.max_seed + 1)}: {self.max_seed} is the most.")
        return seed % (self.max_seed + 1)

    def _text_misfits(self, request: ImageRequest, written: Collection[str]) -> Iterator[Misfit]:
        if request.negative_prompt and not self.negative_prompt and "negative_prompt" in written:
            yield Misfit(
                "negative_prompt",
                "negative-unused",
                "takes no negative prompt.",
                "Leave it empty and say in the prompt what should be there, or take another model.",
            )
        length = len(request.prompt.encode())
        if self.prompt_bytes and length > self.prompt_bytes:
            yield Misfit(
                "prompt",
                "text-too-long",
                f"takes prompts of {self.prompt_bytes} bytes; this one has {length}.",
                "Shorten it, or take another model.",
            )

    def _seed_misfits(self, request: ImageRequest, written: Collection[str]) -> Iterator[Misfit]:
        if "seed" not in written:
            return
        if not self.seed:
            yield Misfit(
                "seed", "seed-unused", "takes no seed: the picture cannot be made again.", "Leave the cell empty."
            )
        elif request.seed > self.max_seed:
            message = f"takes seeds up to {self.max_seed}, not {request.seed}."
            yield Misfit("seed", "parameter-unfit", message, f"Write one from 0 to {self.max_seed}.")

    def _parameter_misfits(self, values: Mapping[str, Value]) -> Iterator[Misfit]:
        for name, value in values.items():
            wanted = self.parameters.get(name)
            if wanted is None:
                known = ", ".join(name for name, one in self.parameters.items() if not one.fixed) or "none"
                yield Misfit(name, "parameter-unknown", f"takes no {name}.", f"It takes: {known}.")
            elif fault := wanted.fault(value):
                yield Misfit(name, "parameter-unfit", f"cannot take {name} {value!r}: it {fault}.", _allow(wanted))
            elif wanted.fixed and wanted.typed(value) != wanted.default:
                message = f"is always asked with {name} {wanted.default!r}."
                yield Misfit(name, "parameter-unfit", message, "Leave the cell empty.")

    def _image_misfits(self, references: Mapping[str, str]) -> Iterator[Misfit]:
        for role in references.keys() - self.images.keys():
            known = ", ".join(self.images) or "none"
            yield Misfit(role, "parameter-unknown", f"takes no {role}.", f"Images that it takes: {known}.")
        for role, place in self.images.items():
            if place.required and role not in references:
                message = f"changes a picture, so it needs a {role}."
                yield Misfit(role, "parameter-missing", message, f"Fill the column {role}.")


def load_models(own: Path | None = None) -> dict[str, ReplicateModel]:
    """The shipped models, and over them those of the file `own`; by name. Raises OptionError with every problem."""
    models = _read(SHIPPED)
    return {**models, **_read(own)} if own else models


def find_model(written: str, models: Mapping[str, ReplicateModel]) -> ReplicateModel | None:
    """The model that a cell names: `flux-schnell`, `black-forest-labs/flux-schnell`, `stability-ai/sdxl:7762fd...`."""
    wanted = written.strip().casefold()
    for name, model in models.items():
        if wanted in {name.casefold(), model.model.casefold(), model.ref.casefold()}:
            return model
    return None


def _read(path: Path) -> dict[str, ReplicateModel]:
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OptionError(f"{path}: the models of Replicate cannot be read: {reason}.") from error
    entries = content.get("models") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or content.keys() - {"models", "shared"}:
        raise OptionError(f"{path}: it must hold `models:` with one entry for each model's name, and nothing else.")
    models, faults = {}, []
    for name, entry in entries.items():
        try:
            models[str(name)] = ReplicateModel.model_validate({"name": str(name), **(entry or {})})
        except ValidationError as error:
            faults += [f"{name}: {_place(fault)}{_words(fault)}" for fault in error.errors()]
        except TypeError:
            faults.append(f"{name}: it must hold fields, such as `model: owner/name`")
    if faults:
        raise OptionError(f"{path}: models that cannot be used:\n" + "\n".join(f"  {fault}" for fault in faults))
    return models


def _place(fault: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"] if part not in {"pixels", "ratio", "enum"})
    return f"{place}: " if place else ""


def _words(fault: Mapping[str, Any]) -> str:
    words = str(fault["msg"]).removeprefix("Value error, ")
    return "there is no such field" if fault["type"] == "extra_forbidden" else words


def _allow(parameter: Parameter) -> str:
    return f"It takes {parameter.allowed}."


def _plain(value: Setting) -> Value:
    """Requests hold no truth values, so that their key is the same whatever JSON writer is used: 1 and 0."""
    return int(value) if isinstance(value, bool) else value
