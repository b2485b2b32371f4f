"""A replay that cannot begin says so: whoever waits for it is not left waiting."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

from cdc.errors import Transient
from config.settings import Settings
from stack import replay
from tests.databases import eventually


def test_a_replay_that_cannot_read_kafka_ends_with_the_reason(tmp_path: Path) -> None:
    with (
        patch.object(replay, "open_reader", side_effect=Transient("Kafka does not answer")),
        patch.object(replay, "captured_shapes", return_value={}),
        replay._replaying(Settings(data_dir=tmp_path), "", []) as run,
    ):
        eventually(lambda: run.error is not None, what="the replay has ended")
        with pytest.raises(Transient, match="Kafka does not answer"):
            run.require()
