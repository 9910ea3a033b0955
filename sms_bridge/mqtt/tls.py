"""The TLS context for a broker. Reads files: run it off the loop."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from sms_bridge.mqtt.errors import TlsSettingsError
from sms_bridge.mqtt.settings import TlsSettings


def make_context(settings: TlsSettings) -> ssl.SSLContext:
    """A client context, TLS 1.2 or newer; raises TlsSettingsError naming the file that cannot be used."""
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.name = settings.server_name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        if settings.ca is not None:
            context.load_verify_locations(settings.ca)
        elif not settings.insecure:
            context.load_default_certs()
    except (OSError, ssl.SSLError) as error:
        raise TlsSettingsError(f"{settings.ca} is no certificate file: {error}", hint="give a PEM file") from error
    if settings.certificate is not None:
        try:
            context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            raise TlsSettingsError(
                f"{settings.certificate} and {settings.key or settings.certificate} are no pair: {error}",
                hint="give the client's certificate and its unencrypted private key as PEM files",
            ) from error
    return context


class _NamedContext(ssl.SSLContext):
    """Asks for `name` instead of the host that is dialled, where one is set."""

    name: str | None = None

    def wrap_socket(self, sock: socket.socket, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        if self.name is not None:
            options["server_hostname"] = self.name
        return super().wrap_socket(sock, *arguments, **options)


def _no_password() -> str:
    """OpenSSL would ask on the terminal and hang."""
    return ""
