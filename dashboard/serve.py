"""Runs the Streamlit server in this process."""

from __future__ import annotations

import ipaddress
import logging
import socket
from pathlib import Path
from typing import Final

from dashboard.errors import DashboardError, PortInUse

log = logging.getLogger(__name__)

APP: Final = Path(__file__).with_name("app.py")
THEME: Final[dict[str, str]] = {
    "theme_base": "dark",
    "theme_primaryColor": "#35d6ff",
    "theme_backgroundColor": "#05080b",
    "theme_secondaryBackgroundColor": "#101a21",
    "theme_textColor": "#dfe7ee",
}


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def check_port(address: str, port: int) -> None:
    """Refuse a port that cannot be bound.

    Raises
    ------
    PortInUse
        Another program has it.
    DashboardError
        The address is not this machine's, or the port may not be used.
    """
    if not 1 <= port <= 65_535:
        raise DashboardError(f"--port {port}: a port is 1 to 65535")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the server does: a port that still lingers in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except socket.gaierror as error:
            raise DashboardError(f"--address {address}: {error.strerror}") from error
        except PermissionError as error:
            raise DashboardError(f"--port {port}: needs more rights; choose one above 1023") from error
        except OSError as error:
            if error.errno != 98 and "in use" not in str(error):
                raise DashboardError(f"--address {address}: {error.strerror}") from error
            raise PortInUse(
                f"port {port} on {address} is in use by another program; stop it or choose another: "
                f"--port {port + 1}"
            ) from error


def serve(address: str, port: int) -> None:
    """Serve the dashboard until SIGINT or SIGTERM."""
    from streamlit.web import bootstrap

    options: dict[str, object] = {
        "server_address": address,
        "server_port": port,
        "server_headless": True,
        "server_fileWatcherType": "none",
        "server_runOnSave": False,
        "server_showEmailPrompt": False,
        "browser_gatherUsageStats": False,
        "browser_serverAddress": "localhost" if is_loopback(address) else address,
        "client_toolbarMode": "minimal",
        "client_showErrorDetails": "type",
        "global_developmentMode": False,
        **THEME,
    }
    bootstrap.load_config_options(flag_options=options)
    bootstrap.run(str(APP), False, [], options)
