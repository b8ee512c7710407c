"""The prompts of a row: its template filled for each choice and variant, with the styles' words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from assetline.catalogue import Style, name_key, slug
from assetline.errors import SheetError
from assetline.plan.seeds import line_of
from assetline.plan.world import World
from assetline.prompts import expand, parse, styled, styled_negative
from assetline.records import Problem, Row
from assetline.sheet.suggest import nearest, shown, suggestion

TEMPLATES = ("prompt", "negative_prompt")
_OTHER_BRACKETS = re.compile(r"\{\{\s*(\w[^{}|]{0,60}?)\s*\}\}|\[\s*(\w[^\[\]|]{0,60}?)\s*\]|<\s*(\w[^<>|]{0,60}?)\s*>")

Pick: TypeAlias = Callable[[str], str | None]


@dataclass(frozen=True)
class Text:
    """What one picture shows, and what it must not."""

    prompt: str
    negative_prompt: str


@dataclass(frozen=True)
class TextWriter:
    """Writes the prompts of the rows of one campaign. `columns` are the names of all columns of the sheet."""

    campaign: str
    world: World
    columns: tuple[str, ...]

    def check(self, row: Row) -> list[Problem]:
        """Everything that is wrong with the row's prompts, styles and number of variants."""
        problems = [*self._unknown_styles(row), *self._gaps(row), *self._literal(row)]
        counts = []
        for column in TEMPLATES:
            try:
                counts.append(len(self._expanded(row, column, 1, self.world.max_prompt_characters)))
            except SheetError as exc:
                problems += [row.problem(column, fault.code, fault.message, self._fix(fault)) for fault in exc.problems]
        if len(counts) == len(TEMPLATES):
            problems += self._excess(row, counts[0] * counts[1])
        return problems

    def write(self, row: Row) -> list[list[Text]]:
        """For each choice the texts of its variants. Raises SheetError where `check` finds faults in a template.

        A choice is a prompt with a negative prompt. Wildcards are picked anew for each variant.
        """
        has_wildcards = any(parse(template).wildcards for template in (row.prompt, row.negative_prompt or ""))
        distinct = [self._choices(row, n) for n in range(1, row.variants + 1 if has_wildcards else 2)]
        by_variant = distinct if has_wildcards else distinct * row.variants
        return [list(variants) for variants in zip(*by_variant, strict=True)]

    def _choices(self, row: Row, n: int) -> list[Text]:
        styles = self._styles(row)
        negatives = [styled_negative(text, styles) for text in self._expanded(row, "negative_prompt", n)]
        return [
            Text(styled(prompt, styles), negative)
            for prompt in self._expanded(row, "prompt", n)
            for negative in negatives
        ]

    def _expanded(self, row: Row, column: str, n: int, max_characters: int | None = None) -> list[str]:
        template = row.prompt if column == "prompt" else row.negative_prompt
        if template is None:
            return [self.world.catalogue.default_negative_prompt]
        return expand(template, self._values(row), self._pick(row, n), max_characters)

    def _values(self, row: Row) -> dict[str, str]:
        """Every cell by its canonical name and by its header; columns that are empty in this row are there too."""
        values = dict.fromkeys(self.columns, "")
        for name, cell in row.cells.items():
            values |= {name: cell.value, cell.column: cell.value}
        return values | row.extra | {"id": row.id}

    def _pick(self, row: Row, n: int) -> Pick:
        def pick(name: str) -> str | None:
            lines = self.world.catalogue.wildcards.get(name)
            return line_of(lines, self.campaign, row.id, n) if lines else None

        return pick

    def _styles(self, row: Row) -> list[Style]:
        known = self.world.catalogue.styles
        return [known[slug(name)] for name in row.styles if slug(name) in known]

    def _unknown_styles(self, row: Row) -> list[Problem]:
        known = self.world.catalogue.styles
        names = [style.name for style in known.values()]
        return [
            row.problem("style", "style-unknown", f'There is no style "{name}".', suggestion(name, names, "styles"))
            for name in row.styles
            if slug(name) not in known
        ]

    def _gaps(self, row: Row) -> list[Problem]:
        """Columns that a template uses and that are empty in this row: a prompt with a hole is rarely meant."""
        values = {name_key(name): value for name, value in self._values(row).items()}
        return [
            row.problem(
                column,
                "placeholder-empty",
                f"{{{name}}} is empty in this row, so the prompt has a gap.",
                f"Fill the column {name}, or take {{{name}}} out.",
                severity="warning",
            )
            for column, template in zip(TEMPLATES, (row.prompt, row.negative_prompt or ""), strict=True)
            for key, name in parse(template).columns.items()
            if key in values and not values[key].strip()
        ]

    def _fix(self, fault: Problem) -> str:
        """The remedy of a template's fault; for a wildcard the nearest that there is."""
        near = nearest(fault.value, self.world.catalogue.wildcards) if fault.code == "wildcard-unknown" else None
        return f"Did you mean __{near}__? {fault.fix}" if near else fault.fix

    def _literal(self, row: Row) -> Iterator[Problem]:
        """What looks like a placeholder or a choice and is none: it would stand in the prompt as it is written."""
        own = {name_key(name): text for name, text in row.extra.items()}
        for column, template in zip(TEMPLATES, (row.prompt, row.negative_prompt or ""), strict=True):
            for found in _OTHER_BRACKETS.finditer(template):
                name = next(filter(None, found.groups()))
                if name_key(name) in own:
                    message = f"{shown(found[0])} stands in the prompt as it is written."
                    fix = f"The cell of the column {name} is {{{name}}}, with single braces."
                    yield row.problem(column, "placeholder-literal", message, fix, severity="warning")
            for key, name in parse(template).columns.items():
                if "|" in own.get(key, "") or "{" in own.get(key, ""):
                    message = f"{{{name}}} puts {shown(own[key])} into the prompt as it is written."
                    fix = "A choice stands in the prompt itself: {red|blue}."
                    yield row.problem(column, "placeholder-literal", message, fix, severity="warning")

    def _excess(self, row: Row, choices: int) -> list[Problem]:
        total, most = choices * row.variants, self.world.max_variants
        if total <= most:
            return []
        message = f"{choices} choices x {row.variants} variants are {total} pictures of a size; {most} are allowed."
        column = "variants" if "variants" in row.cells else "prompt"
        return [row.problem(column, "variants-too-many", message, "Ask for fewer, or split the row.")]
