"""`template`: a starter workbook with this machine's styles, channels and workflows as lists."""

from __future__ import annotations

from pathlib import Path

from assetline.bootstrap.planning import limits_of
from assetline.catalogue import load_catalogue
from assetline.errors import OptionError
from assetline.plan import CODES as PLAN_CODES
from assetline.settings import load_settings
from assetline.sheet import CODES
from assetline.sheet.template_xlsx import Allowed, make_template
from assetline.workflow import load_workflows


def write_template(file: str, *, force: bool) -> int:
    """Write the workbook and say what to do with it. Raises OptionError where it may not or cannot be written."""
    path = Path(file)
    if path.suffix.lower() != ".xlsx":
        raise OptionError(f"{file} does not end in .xlsx; the template is an Excel workbook.")
    data = make_template(_allowed())
    try:
        with path.open("wb" if force else "xb") as opened:
            opened.write(data)
    except FileExistsError as error:
        raise OptionError(f"{file} is there already; --force replaces it.") from error
    except OSError as error:
        raise OptionError(f"{file} cannot be written: {(error.strerror or str(error)).lower()}.") from error
    print(f"Wrote {file}: examples to write over, lists of what is allowed, options, help.")
    print(f"Next: assetline check {file}")
    return 0


def _allowed() -> Allowed:
    settings = load_settings()
    catalogue = load_catalogue(settings.campaigns_folder)
    return Allowed(
        styles=[style.name for style in catalogue.styles.values()],
        channels={channel.name: (channel.width, channel.height) for channel in catalogue.channels.values()},
        workflows=list(load_workflows(settings.workflows_folder)),
        wildcards=list(catalogue.wildcards),
        codes={**CODES, **PLAN_CODES},
        limits=limits_of(settings),
    )
