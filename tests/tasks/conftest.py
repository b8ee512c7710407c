"""Tasks are tested in a flow, in this process, against a real Prefect server."""

from fakes.prefect_client import prefect

__all__ = ["prefect"]
