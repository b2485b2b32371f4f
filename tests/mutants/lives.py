"""Fixed histories, each short and pointed at one way to be wrong; the laws judge every move of them."""

from __future__ import annotations

from tests.histories import History, Step


def toast_in_one_batch(history: History) -> None:
    """Columns stored out of line that a batch's later changes do not carry."""
    history.read()
    history.commit(Step("user", 4, 1))
    history.commit(Step("rename", 4, 2))
    history.commit(Step("rename", 1, 3))
    history.settle()


def key_change_keeps_toast(history: History) -> None:
    """A row takes what its new key's record does not carry from where it was."""
    history.read()
    history.commit(Step("move user", 3, 4))
    history.commit(Step("move post", 1, 1))
    history.settle()


def swapped_keys(history: History) -> None:
    """Delete and create of one key share an LSN."""
    history.read()
    history.commit(Step("swap lines", 1, 2), Step("review", 2, 2))
    history.commit(Step("swap reviews", 1, 2))
    history.settle()


def rows_move_between_groups(history: History) -> None:
    """What a row counted for must forget it."""
    history.read()
    for step in (
        Step("move line", 1, 1),
        Step("move line", 2, 2),
        Step("reassign order", 1, 3),
        Step("refollow", 1, 3),
    ):
        history.commit(step)
    history.commit(Step("line", 4, 1), Step("rerate", 1, 2), Step("move review", 1, 2), Step("cancel", 1))
    history.settle()
    history.commit(Step("delete line", 4), Step("delete review", 1), Step("unfollow", 2, 3), Step("retotal", 2, 2))
    history.settle()


def two_tables_in_one_transaction(history: History) -> None:
    """A read model that two changed tables touch, with different keys."""
    history.read()
    history.commit(Step("rename", 1, 1), Step("line", 4, 2), Step("post", 2, 2), Step("retotal", 2, 3))
    history.settle()


def truncate_and_go_on(history: History) -> None:
    """Rows after a TRUNCATE in the same batch are there."""
    history.read()
    history.commit(Step("truncate lines"))
    history.commit(Step("line", 1, 1), Step("copy lines", 2, 2))
    history.settle()


def overlapping(history: History) -> None:
    """The transaction that began first commits last, and changes what the other has changed; both in one batch."""
    history.read()
    history.slowly(Step("line", 4, 1))
    history.commit(Step("rename", 1, 1), Step("rename category", 1))  # whole only when its last row is read, of all
    history.slowly(Step("rename", 1, 2), Step("pay", 2))
    history.finish()
    history.settle()


def ends_before_rows(history: History) -> None:
    """An END is known before its rows; one partition at a time comes in, and nothing is handed out by halves."""
    history.read()
    history.commit(Step("line", 4, 1), Step("rename", 1, 1), Step("retotal", 1, 1))
    history.commit(Step("copy lines", 3, 2))
    for _ in range(20):
        history.read(polls=1)
    history.settle()


def torn(history: History) -> None:
    """The connector dies inside a transaction and sends it again whole."""
    history.read()
    history.tear(Step("copy lines", 3, 2), rows=2, back=0)
    history.read(seed=1)
    history.tear(Step("rename", 1, 1), Step("line", 4, 1), rows=1, back=1)
    history.settle()


def repeated(history: History) -> None:
    """Old transactions come again when newer ones are applied, before and after a restart of the projector."""
    history.read()
    history.commit(Step("rename", 1, 1))
    history.commit(Step("rename", 1, 2))
    history.read()
    history.repeat(1, count=1)
    history.read()
    history.restart()
    history.repeat(1)
    history.commit(Step("tier", 1, 2))
    history.settle()


def restarts_while_reading(history: History) -> None:
    """What a projector had read of transactions that were not whole yet is read again by the next one."""
    history.read()
    for polls in range(1, 7):
        history.commit(Step("rename", 1, polls), Step("reprice", 1, polls))
        history.commit(Step("rename", 2, polls), Step("rename category", 1))
        history.read(polls=polls)
        history.restart(rewind=polls if polls % 2 else None)
        history.settle(polls)


def crash_everywhere(history: History) -> None:
    """The process dies before each of a batch's statements in turn."""
    history.read()
    died = True
    for number in range(1, 80):
        if not died:
            break
        history.commit(Step("tier", 1, number % 2), Step("retotal", 1, 1 + number % 3), Step("pay", 1 + number % 2))
        died = history.crash(number)
    assert not died, "a batch has more than 80 statements"
    history.settle()


def replaced(history: History) -> None:
    """A projector whose store was taken over wakes up with something to commit."""
    history.read()
    history.usurp(Step("rename", 1, 1))
    history.settle()


LIVES = (
    toast_in_one_batch,
    key_change_keeps_toast,
    swapped_keys,
    rows_move_between_groups,
    two_tables_in_one_transaction,
    truncate_and_go_on,
    overlapping,
    ends_before_rows,
    torn,
    repeated,
    replaced,
    restarts_while_reading,
    crash_everywhere,
)
