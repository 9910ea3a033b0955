"""Posts N orders over C keep-alive connections: `python -m bench.posts PORT TOKEN N C [RATE]`; prints figures as JSON.

Without a rate each client sends its next order when the last is answered. By hand, on sockets: a client library would
take more of the two cores than the bridge.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

LONGEST = 30.0  # s for one answer


class Client:
    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._head = (
            f"POST /api/v1/messages HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def post(self, number: int) -> None:
        """Returns when it is accepted."""
        body = f'{{"id":"p{number}","to":"+36301234567","text":"Front door open, camera {number}"}}'
        self._writer.write(f"{self._head}{len(body)}\r\n\r\n{body}".encode())
        async with asyncio.timeout(LONGEST):
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 202 "), head
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await self._reader.readexactly(length)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def run(port: int, token: str, total: int, clients: int, rate: float) -> dict[str, float]:
    """Orders a second, and ms from the moment when an order was due to its answer."""
    numbers, waits = iter(range(total)), []
    start = time.perf_counter()

    async def work(client: Client) -> None:
        for number in numbers:
            due = start + number / rate if rate else time.perf_counter()
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            await client.post(number)
            waits.append((time.perf_counter() - due) * 1000)

    opened = [Client(port, token) for _ in range(clients)]
    await asyncio.gather(*(client.open() for client in opened))
    start = time.perf_counter()
    await asyncio.gather(*(work(client) for client in opened))
    took = time.perf_counter() - start
    await asyncio.gather(*(client.close() for client in opened))
    waits.sort()
    return {"rate": total / took, "p50_ms": waits[total // 2], "p99_ms": waits[total * 99 // 100], "max_ms": waits[-1]}


if __name__ == "__main__":
    port, token, total, clients = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    print(json.dumps(asyncio.run(run(port, token, total, clients, float(sys.argv[5]) if len(sys.argv) > 5 else 0.0))))
