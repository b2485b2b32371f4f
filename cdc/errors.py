"""What can go wrong between the source and the projectors, by what the reader of it does next.

ReadsideError
├── Transient          back off and do the same again: a component does not answer
├── Poison             this record can never be applied: park it or stop, by the table's policy
└── Fatal              stop this process, loudly: going on would make a store wrong
    ├── HistoryLost    records that were never read are gone
    ├── SourceChanged  another database, slot or topic stands behind the same address
    ├── Fenced         another projector owns the store now
    ├── Unreadable     a record cannot be understood, and the policy is to stop
    └── Refused        the store does not take a value
"""

from __future__ import annotations

#: Ends the message of an error after which no change that was missed can be had from Kafka or the slot any more.
BEGIN_ANEW = "take a new snapshot: `python -m cdc snapshot`"


class ReadsideError(Exception):
    """Something stands in the way of the change stream."""


class Transient(ReadsideError):
    """A component does not answer for now; the same step is tried again after a pause."""


class Poison(ReadsideError):
    """A record cannot be understood. The message names it as topic[partition]@offset, never its values."""


class Fatal(ReadsideError):
    """Going on would make a store wrong; the process ends and says what to do."""


class HistoryLost(Fatal):
    """Changes that this store has not applied are no longer in Kafka; rebuild it from a snapshot."""


class SourceChanged(Fatal):
    """What answers is not what this store was built from; check the settings before anything else."""


class Fenced(Fatal):
    """Another projector has taken this store over; this one may not write to it any more."""


class Unreadable(Fatal):
    """A record cannot be understood and may not be parked; a new snapshot leads past it."""


class Refused(Fatal):
    """The store refused what was to be applied; the changes that hold the values may be parked by the table's policy."""
