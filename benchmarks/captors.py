"""Kafka Connect workers that capture one database in two ways, to be killed: from the slot, and from stored offsets."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from cdc.catalog import Table
from cdc.connect import Connect
from cdc.connector import connector_config
from cdc.errors import Transient
from cdc.topics import ensure_topics
from config.environment import bare_environment
from config.settings import Settings
from stack import connect
from stack.connector import ConnectorThread
from stack.java import Java
from stack.ports import free
from stack.process import kill, spawn, stop

_START_S = 120.0
_LOOK_S = 0.1
_WIDE = {"max.batch.size": "2048", "max.queue.size": "8192"}
_NARROW = {"max.batch.size": "1", "max.queue.size": "2"}


@dataclass(frozen=True, slots=True)
class Captor:
    """One connector: name, slot and topic prefix are the same."""

    settings: Settings
    stored: bool  #: resumes from stored offsets, as Connect does by itself; otherwise as readside does
    batch: int

    @property
    def name(self) -> str:
        """Of the connector, the slot and the topics."""
        return self.settings.connector


class Worker:
    """One Kafka Connect process with its captors. The thread that starts it must live as long as it."""

    def __init__(self, settings: Settings, java: Java, jars: Sequence[Path], *, stored: bool) -> None:
        self.stored = stored
        self._url = f"http://127.0.0.1:{free()[0]}"
        self._directory = settings.data_dir / ("stored" if stored else "slotted")
        self._settings = settings.model_copy(update={"connect_url": self._url})
        self._java, self._jars = java, jars
        self._process: subprocess.Popen[bytes] | None = None
        self._threads: list[ConnectorThread] = []
        self.captors = [self._captor(batch) for batch in (1, 2048)]

    def start(self, tables: Sequence[Table]) -> None:
        """Start it for the first time."""
        self.resume()
        if self.stored:
            for captor in self.captors:
                ensure_topics(captor.settings.kafka, captor.name, tables, 1)
                self._create(captor, tables)
        else:
            self._threads = [ConnectorThread(captor.settings, lambda _error: None) for captor in self.captors]
            for thread in self._threads:
                thread.start()

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        kill(self._process)

    def resume(self) -> None:
        """Start it again; a worker at the slot forgets everything first, one with stored offsets keeps them."""
        connect.prepare(self._directory, url=self._url, kafka=self._settings.kafka)
        if self.stored:
            self._remember()
        password = str(_password(self._settings))
        self._process = spawn(
            connect.worker(self._directory, self._java, self._jars),
            log=self._settings.data_dir / "logs" / f"{self._directory.name}.log",
            cwd=self._directory,
            env=bare_environment() | {"READSIDE_CDC_PASSWORD": password},
        )

    def close(self) -> None:
        """End it and what supervises it."""
        for thread in self._threads:
            thread.stop()
        if self._process is not None:
            stop(self._process, signal.SIGTERM, timeout_s=10.0)

    def _remember(self) -> None:
        """The same internal topics at every start, and exactly-once delivery, under which every kill leaves an offset."""
        path = self._directory / "worker.properties"
        path.write_text(
            re.sub(r"-[0-9a-f]{12}$", "-stored", path.read_text(), flags=re.MULTILINE)
            + "exactly.once.source.support=enabled\nproducer.transaction.timeout.ms=10000\n"
        )

    def _create(self, captor: Captor, tables: Sequence[Table]) -> None:
        config = connector_config(captor.settings, tables, "initial") | {
            "errors.max.retries": "-1",
            "retriable.restart.connector.wait.ms": "500",
            "exactly.once.support": "required",
            **(_NARROW if captor.batch == 1 else _WIDE),
        }
        rest = Connect(self._url, captor.name)
        deadline = time.monotonic() + _START_S
        while True:
            try:
                return rest.put(config)
            except Transient:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_S)

    def _captor(self, batch: int) -> Captor:
        name = f"{'stored' if self.stored else 'slotted'}_{batch}"
        update = {
            "connector": name,
            "slot": name,
            "topic_prefix": name,
            "connector_batch": batch,
            "topic_partitions": 1,
        }
        return Captor(self._settings.model_copy(update=update), self.stored, batch)


def _password(settings: Settings) -> object:
    assert settings.source_dsn is not None
    return conninfo_to_dict(settings.source_dsn.get_secret_value()).get("password", "")
