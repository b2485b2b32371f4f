"""What can go wrong with the stack, by what the user does next.

StackError            base: the message says what, where, why and what to do next; exit code 2
├── MissingComponent  a program the stack needs is not on this machine
├── PortTaken         another process listens where a component should
├── AlreadyRunning    the data directory belongs to a running stack
├── NotRunning        no stack runs in the data directory
└── ComponentFailed   a component ended, or did not become ready in time
"""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot do what was asked; the message says why and what to do."""


class MissingComponent(StackError):
    """A program the stack needs is not on this machine."""


class PortTaken(StackError):
    """Another process listens where a component should."""


class AlreadyRunning(StackError):
    """The data directory belongs to a running stack."""


class NotRunning(StackError):
    """No stack runs in the data directory."""


class ComponentFailed(StackError):
    """A component ended, or did not become ready in time."""
