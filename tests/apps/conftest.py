"""The command line, called in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes.command_line import Ended

from apps.cli import main


@pytest.fixture
def assetline(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """`assetline("check", "sheet.csv")` gives exit code, stdout and stderr."""

    def call(*arguments: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        said = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return Ended(exit_.value.code, said.out, said.err)

    return call
