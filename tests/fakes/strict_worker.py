"""Sheets with a row that passes the check and is refused by the worker: its numbers are its own affair."""

from __future__ import annotations

from fakes.fake_comfyui import FakeComfyUI

SOME_FAIL = "id,prompt,workflow,size,cfg\nTENT,a red tent,sd15-txt2img,64x64,4\nMUG,a blue mug,sd15-txt2img,64x64,9\n"
ALL_FAIL = "id,prompt,workflow,size,cfg\nMUG,a blue mug,sd15-txt2img,64x64,9\n"
REASON = "cfg 9.0 is above the maximum of 5"


def strict_worker() -> FakeComfyUI:
    """A worker whose KSampler takes no cfg above 5."""
    worker = FakeComfyUI({"checkpoints": ["AWPainting_v1.3.safetensors"]})
    worker.engine.added = {"KSampler": {"cfg": ["FLOAT", {"default": 4.0, "min": 0.0, "max": 5.0}]}}
    return worker
