"""A ComfyUI lane that is never handed what its worker has said it lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from assetline.backends.comfyui import ComfyUIBackend, ComfyUISettings
from assetline.plan import Fleet
from assetline.records import PlannedRequest
from assetline.workflow import Workflow


class InformedBackend(ComfyUIBackend):
    """A worker of `fleet`; everything else is as `ComfyUIBackend` has it.

    What is copied to a worker while a run goes is used from the next run on.
    """

    def __init__(
        self,
        url: str,
        workflows: Mapping[str, Workflow],
        *,
        fleet: Fleet,
        references: Callable[[str], bytes],
        settings: ComfyUISettings,
        campaign: str,
    ) -> None:
        super().__init__(url, workflows, references=references, settings=settings, campaign=campaign)
        self._fleet = fleet

    def suits(self, planned: PlannedRequest) -> bool:
        """Whether the request names a workflow that is known here and needs nothing that the worker lacks."""
        return super().suits(planned) and self._fleet.suits(self.name, planned)
