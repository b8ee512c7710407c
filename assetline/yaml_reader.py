"""Reads the project's YAML files: presets, channels, workflow contracts."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

# libyaml's scanner where the wheel has it: ten times faster than the one in Python.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _UniqueKeys(_Loader):  # type: ignore[misc, valid-type]  # one of two classes with the same methods
    """YAML's own reader takes the last of two equal keys in silence; a preset would vanish."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  # PyYAML's signature
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} is there twice; remove one", key_node.start_mark
                )
            seen.add(key)
        found: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return found


def read_yaml(text: str) -> Any:
    """The content of a YAML text, plain values alone. Raises ValueError with the line for anything that is wrong."""
    try:
        return yaml.load(text, _UniqueKeys)  # noqa: S506  # a SafeLoader
    except yaml.MarkedYAMLError as exc:
        line = f"line {exc.problem_mark.line + 1}: " if exc.problem_mark else ""
        raise ValueError(f"{line}{exc.problem}") from exc
    except yaml.YAMLError as exc:
        raise ValueError(str(exc)) from exc
