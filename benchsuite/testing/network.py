"""The network refused to a plugin, as on a machine that has none."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from benchsuite.testing.contract import BrokenContractError

_OF_SOCKETS = ("connect", "connect_ex", "sendto")
_OF_NAMES = ("getaddrinfo", "gethostbyname", "gethostbyname_ex")
_INSTEAD = "fetch in prepare(cache, work)"
_REFUSED = "there is no network while a contract is checked"


@contextmanager
def network_refused(what: str, read: str, instead: str = _INSTEAD) -> Iterator[None]:
    """Raises BrokenContractError where ``what`` tries to reach another machine, whatever comes of that.

    ``instead`` is what its author is told to do.
    """
    tried: list[str] = []
    try:
        with ExitStack() as patches:
            for name in _OF_SOCKETS:
                patches.enter_context(mock.patch.object(socket.socket, name, _of_socket(name, tried)))
            for name in _OF_NAMES:
                patches.enter_context(mock.patch.object(socket, name, _of_name(tried)))
            yield
    except Exception as error:
        if not tried:
            raise
        raise _broken(what, tried, read, instead) from error
    if tried:
        raise _broken(what, tried, read, instead)


def _of_socket(name: str, tried: list[str]) -> Callable[..., Any]:
    real = getattr(socket.socket, name)

    def refuse(self: socket.socket, *arguments: Any) -> Any:
        if self.family == getattr(socket, "AF_UNIX", None):  # which leads to other processes only
            return real(self, *arguments)
        tried.append(f"{arguments[-1]}")
        raise OSError(_REFUSED)

    return refuse


def _of_name(tried: list[str]) -> Callable[..., Any]:
    def refuse(host: Any, *arguments: Any, **keywords: Any) -> Any:
        tried.append(f"{host}")
        raise socket.gaierror(_REFUSED)

    return refuse


def _broken(what: str, tried: list[str], read: str, instead: str) -> BrokenContractError:
    return BrokenContractError(
        expected=f"{what} uses no network: prepare is the only place that may",
        got=f"it tried to reach {tried[0]}, which was refused; {instead}",
        read=read,
    )
