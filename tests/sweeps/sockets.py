"""The sockets that a process and all that it has started listen on."""

from ipaddress import IPv6Address, ip_address

import psutil


def listening(process: psutil.Process) -> list[tuple[str, str, int]]:
    """Name of the process, address and port of every TCP or UDP socket that others could send to."""
    found = list[tuple[str, str, int]]()
    for each in (process, *process.children(recursive=True)):
        try:
            sockets = each.net_connections(kind="inet")
        except psutil.Error:  # it has ended
            continue
        found += [(each.name(), one.laddr.ip, one.laddr.port) for one in sockets if _is_open(one)]
    return found


def _is_open(socket: "psutil._common.pconn") -> bool:
    return socket.status == psutil.CONN_LISTEN or (socket.status == psutil.CONN_NONE and bool(socket.laddr))


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address."""
    found = ip_address(address)
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.is_loopback
