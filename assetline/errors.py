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
    ├── BudgetRefused           a cap on money would be passed; carries its figures      exit 5
    ├── LedgerUnreachable       the ledger cannot be opened, read or written             exit 6
    ├── AttemptOpen             this request has a paid attempt that has not ended; carries it
    ├── PredictionTaken         another attempt in the ledger has that prediction already
    └── BackendError            a lane could not make a picture
        ├── BackendUnavailable  the worker or the network is down                        exit 6
        ├── JobLost             the worker no longer knows what it accepted
        ├── JobTimedOut         no result within the time allowed
        │   └── JobStalled      it ran and no longer moved: the worker is suspect
        ├── JobFailed           the worker tried and failed (memory, a broken model file)
        ├── LaneUnsuited        this worker lacks a model, a LoRA or a node; another may have it
        │   ├── RequestUnsuited this one request alone is not for that lane; others that want the same may be
        │   └── LaneClosed      it takes nothing more until a person acts (no credit, a token that is not valid)
        ├── PaidJobFailed       it was paid for, or may have been, and failed; nothing more is paid by itself
        └── JobRejected         no lane can do this request as it is (bad value, bad graph)

Classes carry facts, not logic: `transient` says that another try may help, `fault` says whose it is,
`exit_code` is the promise of the command line. `assetline.policy` is the one place that asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetline.ledger_records import PaidAttempt
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


class BudgetRefused(AssetlineError):
    """A cap on money would be passed. Nothing was reserved. `cap` says which: `run`, `campaign` or `day`."""

    exit_code = 5

    def __init__(self, message: str, *, cap: Literal["run", "campaign", "day"]) -> None:
        super().__init__(message)
        self.cap = cap


class LedgerUnreachable(AssetlineError):
    """The ledger cannot be opened, read or written: gone, locked, read-only, damaged, or of a newer assetline."""

    exit_code = 6
    fault = "store"


class AttemptOpen(AssetlineError):
    """The request has a paid attempt that has not ended (`attempt`): follow or reconcile it, never pay beside it."""

    def __init__(self, attempt: PaidAttempt) -> None:
        super().__init__(
            f"Row {attempt.row}: paid attempt {attempt.id} of this picture ({attempt.provider}, {attempt.model}) "
            f'has not ended; it is "{attempt.state}" since {attempt.state_at:%Y-%m-%d %H:%M:%S} UTC.'
        )
        self.attempt = attempt


class PredictionTaken(AssetlineError):
    """Another attempt in the ledger has that prediction already, so this one cannot have it."""


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


class JobStalled(JobTimedOut):
    """It ran and no longer moved: the worker itself is suspect, not only this job."""


class JobFailed(BackendError):
    """The worker tried and failed: out of memory, a broken model file."""

    transient = True


class LaneUnsuited(BackendError):
    """The worker lacks a model, a LoRA or a node class; another worker may have it."""

    transient = True


class RequestUnsuited(LaneUnsuited):
    """The lane does not make this one request, for a reason of that request's own; it may make others like it."""


class LaneClosed(LaneUnsuited):
    """The lane takes nothing more until a person acts: no credit left, a token that is not valid."""


class PaidJobFailed(BackendError):
    """The picture was paid for, or may have been, and there is none. Never tried again without a person."""


class JobRejected(BackendError):
    """No lane can do this request as it is: a value or the graph is wrong. Never tried again."""

    fault = "workflow"
