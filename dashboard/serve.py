"""Runs the Streamlit server in this process."""

from __future__ import annotations

import ipaddress
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Final

from dashboard.errors import DashboardError, PortInUse, Unguarded, UsersError
from dashboard.settings import DashboardSettings, load_dashboard_settings
from dashboard.theme import THEME
from dashboard.users import UsersFile

APP: Final = Path(__file__).with_name("app.py")
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


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


def check_guarded(address: str, settings: DashboardSettings) -> None:
    """Refuse to let other machines reach a dashboard that nobody signs in to.

    Raises
    ------
    Unguarded
        No sign-in is configured and the address is not this machine's own; names the ways out.
    DashboardError
        A sign-in is configured by which nobody could sign in.
    """
    if settings.oidc:
        from dashboard import oidc

        oidc.check_configured(settings)
    if settings.users is not None:
        users = [record for record in UsersFile(settings.users).users() if not record.disabled]
        if not users and not settings.oidc:
            raise UsersError(
                f"{settings.users}: nobody could sign in; add somebody: wardwave users add NAME --role admin"
            )
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise DashboardError("WARDWAVE_DASHBOARD__TLS_CERTIFICATE and __TLS_KEY: set both or none")
    if settings.users is None and not settings.oidc and not is_loopback(address):
        raise Unguarded(
            f"--address {address}: other machines could reach the dashboard and command alarms, for nobody "
            "signs in. Name a users file (WARDWAVE_DASHBOARD__USERS=FILE, then: wardwave users add NAME "
            "--role admin) or an OIDC provider (WARDWAVE_DASHBOARD__OIDC=true; docs/dashboard-access.md), "
            "or stay on --address 127.0.0.1"
        )


def options(address: str, port: int, settings: DashboardSettings) -> dict[str, object]:
    """Return Streamlit's options."""
    guarded = settings.users is not None or settings.oidc
    # Without a sign-in, a page of another site that makes its name point here must not get in.
    hosts = settings.hosts or (() if guarded else LOOPBACK)
    return {
        "server.address": address,
        "server.port": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        # It would look through all objects after each run of each fragment, several times a second: with
        # torch loaded that is half a processor. Python collects by itself.
        "runner.postScriptGC": False,
        "server.runOnSave": False,
        "server.showEmailPrompt": False,
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.allowedHosts": list(hosts),
        "server.maxUploadSize": settings.max_upload_mb,
        # The pages' binary feeds hardly shrink, and each socket's compressor holds memory.
        "server.enableWebsocketCompression": False,
        "server.enableStaticServing": False,
        "server.sslCertFile": str(settings.tls_certificate) if settings.tls_certificate else None,
        "server.sslKeyFile": str(settings.tls_key) if settings.tls_key else None,
        "browser.gatherUsageStats": False,
        "browser.serverAddress": "localhost" if is_loopback(address) else address,
        "client.toolbarMode": "minimal",
        # failed.py says what went wrong; help with programming is not for who looks at beds.
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "global.developmentMode": False,
        **THEME,
    }


def serve(address: str, port: int) -> None:
    """Serve the dashboard until SIGINT or SIGTERM."""
    import streamlit as st

    from dashboard import failed, gate, health, shared, sign_in
    from dashboard.warm import warm_up
    from ingest.processes import hide_memory
    from ingest.settings import load_settings

    # An upload is read by a child of the same user: it must not find the server's keys in /proc.
    hide_memory()
    settings = load_dashboard_settings()
    warm_up()
    app = st.App(APP, routes=sign_in.routes(), middleware=gate.middleware(), on_script_error=failed.say)
    for number in (signal.SIGINT, signal.SIGTERM):
        # The server stops on them in good order and then raises them again.
        signal.signal(number, _leave)
    # Who opens the first page hours later scrolls back to what came before it, too.
    feed = shared.feed()
    chosen = options(address, port, settings)
    with health.watched(feed, load_settings().health_at):
        app.run(config={name: value for name, value in chosen.items() if value is not None})


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)
