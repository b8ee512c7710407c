"""The live input schema of a model: asked for before the first picture of it is paid, and made strict.

An input name that a model does not know is dropped in silence and the picture is paid all the same (seen on cog's
server), so names that are not in the schema are refused here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types

from assetline.backends.replicate.catalog import ReplicateModel
from assetline.backends.replicate.failures import Refused, Unanswered, closing, refusal
from assetline.backends.replicate.gateway import Gateway
from assetline.backends.replicate.options import LANE, Clock
from assetline.errors import BackendUnavailable, LaneClosed, LaneUnsuited

KEPT_S = 3600.0  # official models change without notice; a studio may run for days
_KEYWORDS = ("type", "enum", "const", "minimum", "maximum", "minLength", "maxLength", "pattern")


@dataclass(frozen=True)
class LiveSchema:
    """A model's input now: JSON Schema with no other names allowed. `sha256` tells two of them apart."""

    version: str
    properties: dict[str, Any]
    required: tuple[str, ...]
    sha256: str

    def faults(self, sent: dict[str, Any]) -> list[str]:
        """Every reason why the model, as it is now, does not take `sent`."""
        schema = {
            "type": "object",
            "properties": self.properties,
            "required": list(self.required),
            "additionalProperties": False,
        }
        errors = sorted(Draft202012Validator(schema).iter_errors(sent), key=lambda error: list(map(str, error.path)))
        return [text for error in errors for text in _texts(error, self.properties)]


class LiveSchemas:
    """The schemas of this process, each asked for once an hour at most."""

    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        self._gateway = gateway
        self._clock = clock
        self._known: dict[str, tuple[float, LiveSchema]] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def checked(self, model: ReplicateModel, sent: dict[str, Any]) -> dict[str, Any]:
        """`sent` without the optional inputs that the model has no more. Raises LaneUnsuited: it differs from our
        catalogue; BackendUnavailable, LaneClosed.
        """
        schema = await self._schema(model)
        optional = {one.field for one in model.parameters.values() if one.optional}
        kept = {name: value for name, value in sent.items() if name in schema.properties or name not in optional}
        if faults := schema.faults(kept):
            raise LaneUnsuited(
                f"{model.name} at Replicate is not as our catalogue has it: {'; '.join(faults)}. Nothing was sent. "
                "Correct its entry in your own models (ASSETLINE_REPLICATE_MODELS), or take another model.",
                lane=LANE,
            )
        return kept

    async def _schema(self, model: ReplicateModel) -> LiveSchema:
        async with self._asking.setdefault(model.ref, asyncio.Lock()):
            asked_at, schema = self._known.get(model.ref, (0.0, None))
            if schema is None or self._clock.now() - asked_at > KEPT_S:
                schema = await self._ask(model)
                self._known[model.ref] = (self._clock.now(), schema)
            return schema

    async def _ask(self, model: ReplicateModel) -> LiveSchema:
        try:
            version, document = await self._gateway.openapi(model)
            return read_schema(version, document)
        except Refused as exc:
            if reason := closing(exc):
                raise LaneClosed(reason, lane=LANE) from exc
            raise refusal(exc, model) from exc
        except Unanswered as exc:
            raise BackendUnavailable(f"{exc}.", lane=LANE) from exc
        except ValueError as exc:
            raise LaneUnsuited(
                f"Replicate does not tell what {model.name} takes ({exc}), so nothing is paid for it.", lane=LANE
            ) from exc


def read_schema(version: str, document: dict[str, Any]) -> LiveSchema:
    """The input part of a model's OpenAPI document, resolved. Raises ValueError where it has none."""
    schemas = (document.get("components") or {}).get("schemas") or {}
    found = schemas.get("Input")
    if not isinstance(found, dict) or not isinstance(found.get("properties"), dict):
        raise ValueError("its schema has no Input")  # noqa: TRY004  # what came is wrong, not a type of ours
    properties = {name: _resolved(one, schemas) for name, one in found["properties"].items()}
    required = tuple(found.get("required") or ())
    text = json.dumps([properties, required], sort_keys=True)
    return LiveSchema(version, properties, required, hashlib.sha256(text.encode()).hexdigest())


def _resolved(node: Any, schemas: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """One input with its references put in; OpenAPI's `nullable` becomes the type null. Words are left out."""
    if not isinstance(node, dict) or depth > 8:
        return {}
    found: dict[str, Any] = {key: node[key] for key in _KEYWORDS if key in node}
    if isinstance(reference := node.get("$ref"), str):
        found |= _resolved(schemas.get(reference.rsplit("/", 1)[-1]), schemas, depth + 1)
    for part in node.get("allOf") or ():
        found |= _resolved(part, schemas, depth + 1)
    if "items" in node:
        found["items"] = _resolved(node["items"], schemas, depth + 1)
    for either in ("anyOf", "oneOf"):  # as anyOf: some schemas name the same value twice
        if either in node:
            found["anyOf"] = [_resolved(part, schemas, depth + 1) for part in node[either]]
    if node.get("nullable") and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    return found


def _texts(error: Any, properties: dict[str, Any]) -> Iterator[str]:
    if error.validator == "additionalProperties":
        for name in sorted(error.instance.keys() - properties.keys()):
            yield f"it takes no `{name}`"
    elif error.validator == "required":
        for name in sorted(set(error.validator_value) - error.instance.keys()):
            yield f"it needs `{name}`, which we do not send"
    else:
        place = ".".join(map(str, error.path))
        yield f"`{place}`: {error.message[:200]}"
