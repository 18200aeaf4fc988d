"""Domains of DDS that this process is in."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from tdnet_runtime.errors import OptionError
from tdnet_runtime.transports.dds_config import domain_config
from tdnet_runtime.transports.dds_library import check, heard, library

__all__ = ["enter", "leave"]


@dataclass
class _Domain:
    """One domain of this process, which Cyclone DDS allows once; nodes share it."""

    settings: tuple[str, int | None]
    entity: int
    users: int = 0


@dataclass
class _Domains:
    lock: threading.Lock = field(default_factory=threading.Lock)
    open: dict[int, _Domain] = field(default_factory=dict)


_domains = _Domains()


def enter(domain: int, settings: tuple[str, int | None]) -> None:
    """Make the domain, or share it.

    Raises:
        MediaError: the library refuses the settings.
        OptionError: this process is in the domain already, with other ones.
    """
    interface, datagram_bytes = settings
    with _domains.lock:
        found = _domains.open.get(domain)
        if found is None:
            config = domain_config(interface=interface, datagram_bytes=datagram_bytes)
            doing = f"configuring domain {domain}"
            with heard() as words:
                entity = library().dds_create_domain(domain, config.encode())
            found = _domains.open[domain] = _Domain(settings=settings, entity=check(entity, doing, words))
        elif found.settings != settings:
            raise OptionError(
                f"ros2: domain {domain} is open in this process with interface={found.settings[0] or 'lo'} and "
                f"datagram={found.settings[1] or 'default'}; give all addresses of a domain the same"
            )
        found.users += 1


def leave(domain: int) -> None:
    """Let go of it; the last one ends it."""
    with _domains.lock:
        found = _domains.open[domain]
        found.users -= 1
        if not found.users:
            library().dds_delete(found.entity)
            del _domains.open[domain]
