"""Why a task failed, out of the trace that Connect gives of it, and without a value of a row: it is logged and answered.

Java's exceptions quote what they could not read, and neither a class nor quotation marks tell values from names:
``Failed to parse money value: 7`` is a ConnectException as ``Error while processing event at offset`` is. So a text is told
where it is known to hold none, and of every other one the class alone. The worker's own log has all of it.
"""

from __future__ import annotations

import re

#: Behind the frames of what it caused: a text of several lines may hold one that only looks like a cause.
_CAUSE = re.compile(r"^\t(?:at |\.\.\. ).*\nCaused by: (.*)$", re.MULTILINE)
_EXCEPTION = re.compile(r"((?:[a-z]\w*\.)+[A-Z][\w$]*)(?:: (.*))?")

#: Classes whose texts name hosts, files, topics and sizes.
_OF_NO_VALUES = re.compile(r"java\.(?:net|nio)\.|org\.apache\.kafka\.common\.errors\.(?!Serialization)")

#: Classes whose texts are told where one of the lists below knows them.
_SEVERAL = re.compile(
    r"org\.postgresql\.util\.PSQLException|io\.debezium\.DebeziumException|java\.io\.\w+"
    r"|org\.apache\.kafka\.connect\.errors\.ConnectException"
)

#: Texts that hold names, positions, sizes and addresses; all of their line is told.
_WHOLE = re.compile(
    "|".join((
        # PostgreSQL's: whatever ends a session, and what is about the session's, the slot's and the tables' being there.
        r"FATAL: ",
        r"ERROR: (?:replication slot|publication|relation|column|schema|role|database|type) \S+ (?:of relation \S+ )?"
        r"(?:does not exist|already exists|is active for PID )",
        r"ERROR: (?:can no longer get changes|cannot read) from (?:logical )?replication slot ",
        r"ERROR: all replication slots are in use",
        r"ERROR: permission denied for ",
        r"ERROR: must be (?:superuser|owner|member|replication) ",
        r"ERROR: query would be affected by row-level security policy ",
        r"ERROR: (?:canceling|terminating) ",
        r"ERROR: requested WAL segment ",
        r"ERROR: could not \w+ (?:file|directory|shared memory) ",
        r"ERROR: out of (?:shared )?memory",
        r"ERROR: invalid memory alloc request size ",
        r"ERROR: logical decoding ",
        # The driver's.
        r"Connection to \S+ refused",
        r"The connection attempt failed",
        r"Database connection failed when ",
        r"An I/O error occurred while sending to the backend",
        r"This (?:connection|statement) has been closed",
        r"The server (?:does not support SSL|requested )",
        # Debezium's and Connect's.
        r"An exception occurred in the change event producer",
        r"Error while processing event at offset ",
        r"Failed to start replication stream at ",
        r"Creation of replication slot failed",
        r"The connector is trying to read change stream starting at ",
        r"Snapshotting of table ",
        r"Failed to properly convert (?:data|default) value for '",
        r"Table '[^']*' has columns that differ only by case",
        r"Postgres (?:server wal_level property|roles LOGIN) ",
        r"LSN flush operation timed out ",
        r"Tolerance exceeded in error handler",
        r"Unrecoverable exception from producer send callback",
        # The machine's.
        r"Broken pipe|Connection reset|No space left on device|Too many open files|Stream closed",
    ))
)  # fmt: skip

#: Beginnings of texts whose rest may hold a value.
_BEGINNING = re.compile(
    r"ERROR: invalid input syntax|Could not execute heartbeat action query|Unable to \w+ filtered publication"
)


def told(trace: str) -> str:
    """The innermost cause's class, with its text where that holds no value."""
    causes = _CAUSE.findall(trace)
    return _told(causes[-1] if causes else trace.partition("\n")[0])


def _told(exception: str) -> str:
    if not exception:
        return ""
    if not (found := _EXCEPTION.fullmatch(exception.strip())):
        return "…"
    name, text = found.groups()
    return name if text is None else f"{name}: {_text(name, text)}"


def _text(name: str, text: str) -> str:
    if _OF_NO_VALUES.match(name):
        return text
    if not _SEVERAL.fullmatch(name):
        return "…"
    if _EXCEPTION.fullmatch(text):  # one that was made of another
        return _told(text)
    if _WHOLE.match(text):
        return text
    return f"{known[0]} …" if (known := _BEGINNING.match(text)) else "…"
