"""Many clients at the same instant, each with one request over a connection of its own."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """`code` is the contract's error code, `ok` for a success, and the exception's name where no answer came."""

    status: int
    code: str
    milliseconds: float


def ask_all(requests: list[tuple[str, dict[str, str], dict]]) -> list[Answer]:
    """Post `(url, headers, body)` all at once. Answers in the order of the requests; times from the common start."""
    return asyncio.run(_ask_all(requests))


def p95(answers: list[Answer]) -> float:
    """Milliseconds within which 95 of 100 had their answer."""
    return sorted(answer.milliseconds for answer in answers)[int(len(answers) * 0.95) - 1]


async def _ask_all(requests: list[tuple[str, dict[str, str], dict]]) -> list[Answer]:
    go = asyncio.Event()
    tasks = [asyncio.create_task(_ask(go, *request)) for request in requests]
    await asyncio.sleep(0.1)  # all of them stand at the start
    _ask.began = time.perf_counter()
    go.set()
    return await asyncio.gather(*tasks)


async def _ask(go: asyncio.Event, url: str, headers: dict[str, str], body: dict) -> Answer:
    parts = urlsplit(url)
    content = json.dumps(body).encode()
    lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json",
             f"Content-Length: {len(content)}", "Connection: close"]  # fmt: skip
    lines += [f"{name}: {value}" for name, value in headers.items()]
    sent = "\r\n".join(lines).encode() + b"\r\n\r\n" + content
    await go.wait()
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(sent)
        raw = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        head, _, text = raw.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        code = "ok" if status < 300 else json.loads(text).get("error", "?")
    except (OSError, ValueError, IndexError, TimeoutError) as error:
        status, code = 0, type(error).__name__
    return Answer(status, code, (time.perf_counter() - _ask.began) * 1000)
