"""The ComfyUI lane: submit under an own prompt_id, look until it has ended, bring the picture back.

`backend` (what `dispatch` sees), `binder` (a request in the worker's words), `room` (who else has prompts there),
`prompts` (submit, follow, take back), `watch` (what the looks add up to), `listener` (the websocket, for speed alone),
`pictures` (the file), `adoption` (what a killed run left), `client` (the routes), `answers`, `errors`, `clock`. Facts
measured on ComfyUI 0.3.64.
"""

from assetline.backends.comfyui.backend import ComfyUIBackend
from assetline.backends.comfyui.clock import Clock
from assetline.backends.comfyui.watch import ComfyUISettings

__all__ = ["Clock", "ComfyUIBackend", "ComfyUISettings"]
