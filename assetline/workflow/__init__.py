"""ComfyUI workflows in API format, each with its contract: which node and input takes what, ranges, defaults.

`NAME.json` is the graph as ComfyUI exports it, `NAME.contract.yaml` the contract beside it. The plan checks values
against contracts; the ComfyUI backend binds a request to a fresh graph. A template is never changed.
"""

from __future__ import annotations

from assetline.workflow.binding import (
    ParameterLine,
    affinity,
    bind,
    defaults,
    describe,
    model_files,
    needed_files,
)
from assetline.workflow.complete import complete
from assetline.workflow.contract import Contract, Parameter, Target, Workflow, value_problem
from assetline.workflow.files import load_workflow, load_workflows
from assetline.workflow.models import ModelFile

__all__ = [
    "Contract",
    "ModelFile",
    "Parameter",
    "ParameterLine",
    "Target",
    "Workflow",
    "affinity",
    "bind",
    "complete",
    "defaults",
    "describe",
    "load_workflow",
    "load_workflows",
    "model_files",
    "needed_files",
    "value_problem",
]
