"""A terminal server in bad company: the port of an emulated modem on TCP, octet by octet, with noise between lines."""

from __future__ import annotations

import os
import random
import select
import socket
import termios
import threading
import tty


class NoisyLine:
    """Serves `device` on 127.0.0.1, one client after the other, until `stop`."""

    NOISE = (b"\r\n^RSSI: 17\r\n", b'\r\n^HCSQ:"LTE",50,40,100,20\r\n', b"\r\n+CREG: 1\r\n", b"\x00", b"\x00\x00")

    def __init__(self, device: str, seed: int) -> None:
        self.noises = 0
        self._device = device
        self._dice = random.Random(seed)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._wake, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="noisy-line")
        self._thread.start()

    @property
    def url(self) -> str:
        return f"socket://127.0.0.1:{self._server.getsockname()[1]}"

    def stop(self) -> None:
        os.write(self._woken, b"x")
        self._thread.join(5)
        self._server.close()
        os.close(self._wake)
        os.close(self._woken)

    def _serve(self) -> None:
        while self._ready(self._server.fileno()):
            client, _ = self._server.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            port = os.open(self._device, os.O_RDWR | os.O_NOCTTY)
            try:
                tty.setraw(port, termios.TCSANOW)
                self._carry(client, port)
            except OSError:
                pass  # one of the two has gone: the next client begins anew
            finally:
                os.close(port)
                client.close()

    def _carry(self, client: socket.socket, port: int) -> None:
        while True:
            ready, _, _ = select.select([client, port, self._wake], [], [])
            if self._wake in ready:
                return
            if client in ready:
                data = client.recv(4096)
                if not data:
                    return
                os.write(port, data)
            if port in ready:
                self._trickle(client, os.read(port, 4096))

    def _trickle(self, client: socket.socket, data: bytes) -> None:
        """Octet by octet; noise where a modem may say something: after the end of a line."""
        before = b""
        for octet in (data[index : index + 1] for index in range(len(data))):
            client.sendall(octet)
            if before == b"\r" and octet == b"\n" and self._dice.random() < 0.2:
                self.noises += 1
                client.sendall(self._dice.choice(self.NOISE))
            before = octet

    def _ready(self, fd: int) -> bool:
        ready, _, _ = select.select([fd, self._wake], [], [])
        return fd in ready and self._wake not in ready
