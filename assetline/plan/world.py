"""What a plan is made against: names, workflows, the lanes of this run, limits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from assetline.catalogue import Catalogue
from assetline.errors import AssetlineError, OptionError
from assetline.plan.fleet import Fleet, Workers
from assetline.plan.paid_models import Models, PaidModel, by_ref
from assetline.provenance.whole import find_damage
from assetline.sheet.suggest import suggestion
from assetline.workflow import Workflow


@dataclass(frozen=True)
class World:
    """What a sheet's words are resolved against. `lanes` are the kinds (`fpo`, `comfyui`, `replicate`) of this run.

    `read_reference` turns a path or URI into bytes and raises AssetlineError with a clear message; None: no
    reference image can be read here. `workers` is what the ComfyUI workers told of themselves when they were asked;
    nobody asked: nothing is refused for what they lack. `models` are those at Replicate, by name; `strict_sizes`: a
    channel's or a ratio's shape that a model does not have is an error, not the nearest that it has. The limits are
    those of the settings, sides in pixels.
    """

    catalogue: Catalogue
    workflows: Mapping[str, Workflow]
    lanes: frozenset[str]
    default_workflow: str = "sdxl-txt2img"
    read_reference: Callable[[str], bytes] | None = None
    max_variants: int = 64
    max_prompt_characters: int = 5_000
    min_side_px: int = 64
    max_side_px: int = 4_096
    workers: Workers = field(default_factory=Workers)
    models: Models = field(default_factory=dict)
    strict_sizes: bool = True

    @cached_property
    def paid(self) -> dict[str, PaidModel]:
        """The models at Replicate by what requests call them."""
        return by_ref(self.models)

    @cached_property
    def fleet(self) -> Fleet:
        """Which of the workers can make what."""
        return Fleet(self.workers, self.workflows)

    def __post_init__(self) -> None:
        if self.default_workflow not in self.workflows:
            remedy = suggestion(self.default_workflow, self.workflows, "workflows")
            raise OptionError(f'There is no workflow "{self.default_workflow}" to use by default. {remedy}')


@dataclass
class References:
    """Reference images of one campaign, each read once. `paths` maps the sha256 to the path as written."""

    read: Callable[[str], bytes] | None
    paths: dict[str, str] = field(default_factory=dict)
    _known: dict[str, str | AssetlineError] = field(default_factory=dict)

    def sha256_of(self, path: str) -> str:
        """sha256 of the file's bytes. Raises AssetlineError when it is missing, unreadable or no picture."""
        if path not in self._known:
            self._known[path] = self._look(path)
        known = self._known[path]
        if isinstance(known, AssetlineError):
            raise known
        return known

    def _look(self, path: str) -> str | AssetlineError:
        if self.read is None:
            return AssetlineError("Reference images cannot be read here.")
        try:
            data = self.read(path)
        except AssetlineError as exc:
            return exc
        if damage := find_damage(data):
            return AssetlineError(f"{path} {damage}")
        sha256 = hashlib.sha256(data).hexdigest()
        self.paths.setdefault(sha256, path)
        return sha256
