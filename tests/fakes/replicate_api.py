"""What may go over the wire to and from Replicate, in schemas of our own, and the input schemas of three models.

The models' documents are built as cog builds them: enums apart and referred to, `nullable` for what may be left out.
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

TEXT = {"type": "string"}
MAYBE_TEXT = {"type": ["string", "null"]}
A11 = ["1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21"]


def closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


_CREATE_OPTIONS = {"webhook": TEXT, "webhook_events_filter": {"type": "array"}, "stream": {"type": "boolean"}}
CREATE_OFFICIAL = closed({"input": {"type": "object"}}, **_CREATE_OPTIONS)
CREATE_VERSION = closed(
    {"input": {"type": "object"}, "version": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}, **_CREATE_OPTIONS
)
PREDICTION = closed(
    {
        "id": {"type": "string", "minLength": 8},
        "model": {"type": "string", "pattern": "^[^/]+/[^/]+$"},
        "version": {"type": "string", "pattern": "^(hidden|[0-9a-f]{64})$"},
        "input": {"type": "object"},
        "output": {},
        "data_removed": {"type": "boolean"},
        "error": MAYBE_TEXT,
        "status": {"enum": ["starting", "processing", "succeeded", "failed", "canceled", "aborted"]},
        "created_at": TEXT,
        "urls": closed({"web": TEXT, "get": TEXT, "cancel": TEXT}, stream=TEXT),
    },
    started_at=MAYBE_TEXT,
    completed_at=MAYBE_TEXT,
    deadline=TEXT,
    logs=TEXT,
    source=TEXT,
    metrics=closed({}, predict_time={"type": "number"}, total_time={"type": "number"}),
)
PAGE = closed({"next": MAYBE_TEXT, "previous": MAYBE_TEXT, "results": {"type": "array", "items": PREDICTION}})
ACCOUNT = closed({"type": {"enum": ["user", "organization"]}, "username": TEXT, "name": TEXT})
VERSION = closed({"id": TEXT, "created_at": TEXT, "openapi_schema": {"type": "object"}}, cog_version=MAYBE_TEXT)
MODEL = closed(
    {"owner": TEXT, "name": TEXT, "url": TEXT, "latest_version": {"anyOf": [VERSION, {"type": "null"}]}},
    is_official={"type": "boolean"},
)
FILE = closed({"id": TEXT, "urls": closed({"get": TEXT}), "content_type": TEXT, "size": {"type": "integer"}})
ERROR = {"type": "object", "properties": {"detail": TEXT, "title": TEXT, "status": {"type": "integer"}}}


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with a body."""
    return [
        f"{'.'.join(map(str, error.path))}: {error.message[:200]}"
        for error in Draft202012Validator(schema).iter_errors(value)
    ]


# ---------------------------------------------------------------------- what models tell of their inputs


def whole(low: int | None = None, high: int | None = None, default: int | None = None) -> dict[str, Any]:
    limits = {"minimum": low, "maximum": high, "default": default}
    return {"type": "integer", **{name: value for name, value in limits.items() if value is not None}}


def number(low: float, high: float, default: float) -> dict[str, Any]:
    return {"type": "number", "minimum": low, "maximum": high, "default": default}


def one_of(*choices: Any) -> dict[str, Any]:
    return {"enum": list(choices), "type": "integer" if isinstance(choices[0], int) else "string"}


def document(inputs: dict[str, dict[str, Any]], required: tuple[str, ...] = ("prompt",)) -> dict[str, Any]:
    """The OpenAPI document of a model with these inputs."""
    apart = {
        name: {"title": name, "description": "An enumeration.", **one} for name, one in inputs.items() if "enum" in one
    }
    properties = {
        name: {"allOf": [{"$ref": f"#/components/schemas/{name}"}], "default": one["enum"][0]}
        if name in apart
        else {"title": name.title(), **one}
        for name, one in inputs.items()
    }
    for order, one in enumerate(properties.values()):
        one |= {"x-order": order, "description": "Words that change."}
    schemas = {"Input": {"type": "object", "title": "Input", "properties": properties, "required": list(required)}}
    return {"openapi": "3.0.2", "info": {"title": "Cog"}, "components": {"schemas": {**schemas, **apart}}}


SEED = {"type": "integer", "nullable": True}
FLUX_SCHNELL = {
    "prompt": TEXT,
    "aspect_ratio": one_of(*A11),
    "megapixels": one_of("1", "0.25"),
    "num_outputs": whole(1, 4, 1),
    "num_inference_steps": whole(1, 4, 4),
    "seed": SEED,
    "output_format": one_of("webp", "jpg", "png"),
    "output_quality": whole(0, 100, 80),
    "disable_safety_checker": {"type": "boolean", "default": False},
    "go_fast": {"type": "boolean", "default": True},
}
SDXL = {
    "prompt": {**TEXT, "default": "An astronaut riding a rainbow unicorn"},
    "negative_prompt": {**TEXT, "default": ""},
    "image": {"type": "string", "format": "uri", "nullable": True},
    "width": whole(default=1024),
    "height": whole(default=1024),
    "num_outputs": whole(1, 4, 1),
    "scheduler": one_of(
        "DDIM", "DPMSolverMultistep", "HeunDiscrete", "KarrasDPM", "K_EULER_ANCESTRAL", "K_EULER", "PNDM"
    ),
    "num_inference_steps": whole(1, 500, 50),
    "guidance_scale": number(1, 50, 7.5),
    "prompt_strength": number(0, 1, 0.8),
    "seed": SEED,
}
IMAGEN = {
    "prompt": TEXT,
    "aspect_ratio": one_of("1:1", "9:16", "16:9", "3:4", "4:3"),
    "safety_filter_level": one_of("block_low_and_above", "block_medium_and_above", "block_only_high"),
    "output_format": one_of("jpg", "png"),
}
KONTEXT = {
    "prompt": TEXT,
    "input_image": {"type": "string", "format": "uri", "nullable": True},
    "aspect_ratio": one_of("match_input_image", *A11),
    "seed": SEED,
    "output_format": one_of("jpg", "png"),
    "safety_tolerance": whole(0, 6, 2),
}
SDXL_VERSION = "7762fd07cf82c948538e41f63f77d685e02b063e37e496e96eefd46c929f9bdc"
