"""Flow tests run in this process against a real Prefect server."""

from fakes.prefect_client import prefect

__all__ = ["prefect"]
