"""Every error that assetline raises on purpose, and the facts that decide what happens next.

    AssetlineError
    ├── SheetError              the sheet has errors; carries every Problem              exit 3
    ├── OptionError             an option, a setting or a name on the command line       exit 2
    ├── WorkflowError           a workflow file or its contract cannot be used           exit 3
    ├── ImageError              the bytes that a lane gave back are not a usable picture
    ├── StoreError              the store answered, but not as it must                   exit 6
    │   ├── ObjectMissing       no object at that key
    │   ├── ObjectExists        create-if-absent found an object
    │   ├── ObjectChanged       compare-and-swap found another version
    │   └── StoreUnreachable    no answer, or no permission
    └── BackendError            a lane could not make a picture
        ├── BackendUnavailable  the worker or the network is down                        exit 6
        ├── JobLost             the worker no longer knows what it accepted
        ├── JobTimedOut         no result within the time allowed
        ├── JobFailed           the worker tried and failed (memory, a broken model file)
        ├── LaneUnsuited        this worker lacks a model, a LoRA or a node; another may have it
        └── JobRejected         no lane can do this request as it is (bad value, bad graph)

Classes carry facts, not logic: `transient` says that another try may help, `fault` says whose it is,
`exit_code` is the promise of the command line. `assetline.policy` is the one place that asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetline.records import Problem

Fault = Literal["sheet", "workflow", "worker", "network", "store", "ours"]


class AssetlineError(Exception):
    """Anything that assetline reports in its own words."""

    exit_code: ClassVar[int] = 1
    transient: ClassVar[bool] = False
    fault: ClassVar[Fault] = "ours"


class OptionError(AssetlineError):
    """An option, a setting or a name that was given cannot be used; the message says what can."""

    exit_code = 2


class SheetError(AssetlineError):
    """The sheet has errors. `problems` holds all of them, warnings too, in the order of the sheet."""

    exit_code = 3
    fault = "sheet"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        errors = sum(problem.severity == "error" for problem in self.problems)
        super().__init__(f"The sheet has {errors} error{'' if errors == 1 else 's'}; nothing was generated.")


class WorkflowError(AssetlineError):
    """A workflow file or its contract cannot be used."""

    exit_code = 3
    fault = "workflow"


class ImageError(AssetlineError):
    """The bytes are not a picture that can be kept: truncated, of another format, too large."""

    transient = True
    fault = "worker"


class StoreError(AssetlineError):
    """The store answered, but not as it must."""

    exit_code = 6
    fault = "store"


class ObjectMissing(StoreError):
    """There is no object at that key."""


class ObjectExists(StoreError):
    """Create-if-absent found an object at that key."""


class ObjectChanged(StoreError):
    """Compare-and-swap found another version at that key."""


class StoreUnreachable(StoreError):
    """The store gives no answer, or refuses these credentials."""

    transient = True


class BackendError(AssetlineError):
    """A lane could not make a picture. `lane` is its name, `job_id` the backend's own id for the job.

    `detail` is for the log alone (a stack trace, a whole answer); the message is for a producer.
    """

    fault: ClassVar[Fault] = "worker"

    def __init__(self, message: str, *, lane: str = "", job_id: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.lane = lane
        self.job_id = job_id
        self.detail = detail


class BackendUnavailable(BackendError):
    """The worker or the network is down."""

    exit_code = 6
    transient = True
    fault = "network"


class JobLost(BackendError):
    """The worker accepted the job and no longer knows it (restart, cleared queue)."""

    transient = True


class JobTimedOut(BackendError):
    """There was no result within the time allowed."""

    transient = True


class JobFailed(BackendError):
    """The worker tried and failed: out of memory, a broken model file."""

    transient = True


class LaneUnsuited(BackendError):
    """The worker lacks a model, a LoRA or a node class; another worker may have it."""

    transient = True


class JobRejected(BackendError):
    """No lane can do this request as it is: a value or the graph is wrong. Never tried again."""

    fault = "workflow"
