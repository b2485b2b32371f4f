"""Reading back what our processes say in their logs."""

from __future__ import annotations

from stack.logfiles import last_error


def test_the_last_error_is_what_a_process_of_ours_said_before_it_ended(tmp_path):
    log = tmp_path / "projector.log"
    log.write_text(
        '{"level": "error", "message": "the first"}\n{"level": "error", "message": "the slot is gone"}\n'
        '{"level": "info", "message": "goodbye"}\nnot JSON\n["not", "an", "entry"]\n'
    )
    assert last_error(log) == "the slot is gone"


def test_a_log_without_an_error_has_none(tmp_path):
    assert last_error(tmp_path / "missing.log") == ""
    (tmp_path / "quiet.log").write_text('{"level": "warning", "message": "hm"}\n')
    assert last_error(tmp_path / "quiet.log") == ""
