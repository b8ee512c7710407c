"""Which custom-node pack usually brings a node class, by the class's name, for the words of a remedy.

Each pattern was held against the node list of ComfyUI-Manager (March 2025): of the classes that it matches there, most
are the named pack's, or that pack's copied into another.
"""

from __future__ import annotations

import re

_PACKS = {
    r" \(rgthree\)$": "rgthree-comfy",
    r"\|pysssss$": "ComfyUI-Custom-Scripts",
    r"^(?:From|To|Edit)?(?:Basic|Detailer)\w*Pipe": "ComfyUI-Impact-Pack",
    r"^(?:FaceDetailer|DetailerForEach|SAMLoader$|SAMDetector|Impact|SEGS)": "ComfyUI-Impact-Pack",
    r"^UltralyticsDetectorProvider$": "ComfyUI-Impact-Subpack",
    r"^IPAdapter": "ComfyUI_IPAdapter_plus",
    r"^(?:Unet|CLIP|DualCLIP|TripleCLIP)LoaderGGUF": "ComfyUI-GGUF",
    r"Preprocessor$": "comfyui_controlnet_aux",
    r"^UltimateSDUpscale": "ComfyUI_UltimateSDUpscale",
    r"^(?:ApplyInstantID|InstantIDModelLoader|InstantIDFaceAnalysis)$": "ComfyUI_InstantID",
    r"\(Efficient\)$|^Efficient Loader|^Eff\. Loader": "efficiency-nodes-comfyui",
    r"^easy ": "ComfyUI-Easy-Use",
    r"^CR ": "ComfyUI_Comfyroll_CustomNodes",
    r"^Layer(?:Utility|Mask|Style|Color|Filter): ": "ComfyUI_LayerStyle",
    r"^SUPIR_": "ComfyUI-SUPIR",
    r"^Inpaint(?:Crop|Stitch)": "ComfyUI-Inpaint-CropAndStitch",
    r"^ReActor": "ComfyUI-ReActor",
    r"KJ(?:v\d)?$|^(?:INTConstant|ColorMatch|GetImageSizeAndCount)$": "ComfyUI-KJNodes",
    r"^ADE_": "ComfyUI-AnimateDiff-Evolved",
    r"^ACN_": "ComfyUI-Advanced-ControlNet",
    r" \(mtb\)$": "comfy_mtb",
    r"\+$": "ComfyUI_essentials",
}


def pack_of(class_type: str) -> str:
    """The pack that usually brings a node class; empty where none is known."""
    return next((pack for pattern, pack in _PACKS.items() if re.search(pattern, class_type)), "")
