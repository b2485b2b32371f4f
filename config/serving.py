"""How the servers serve HTTP: many open connections, bursts of new ones, and little for the garbage collector to do."""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable
from typing import Any

import uvicorn

_BACKLOG = 4_096  # connections that may wait to be accepted; the kernel's own bound (somaxconn) is this by default
_KEEP_ALIVE_S = 75  # idle connections are kept for so long: a client with many of them uses each one seldom
_COLLECTED_AFTER = 20_000  # objects made; what a request leaves behind is freed without the collector


def serve(app: Callable[..., Any], host: str, port: int, *, graceful_s: int | None = None) -> None:
    """Serve until SIGTERM, after which requests under way have ``graceful_s`` seconds to end (None: as long as it takes)."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Modules and routes stay for good: a collection is not to walk them again.
    gc.freeze()
    gc.set_threshold(_COLLECTED_AFTER)
    uvicorn.run(
        app,
        host=host,
        port=port,
        http="httptools",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=graceful_s,
    )
