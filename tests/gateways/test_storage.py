"""Both receipt stores behave alike; the S3 one is tried over real HTTP against a stand-in that checks signatures."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from app import clock, guards
from app.gateways.errors import GatewayError, Permanent, Temporary
from app.gateways.storage import FileStore, Missing, new_key, open_store, signed

KEYS = ("AKIDEXAMPLE", "a-secret")


class _Bucket(BaseHTTPRequestHandler):
    """Enough of S3: objects in a dict, list pages of two, signatures computed again from what arrived."""

    objects: dict[str, bytes] = {}
    status = 0

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        names = ("host", "x-amz-content-sha256")
        given = {name: self.headers[name] for name in names}
        moment = datetime.strptime(self.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        expected = signed(self.command, parts.path, parts.query, given, KEYS, "cn-1", moment)["authorization"]
        if self.status:
            return self._answer(self.status)
        if self.headers["authorization"] != expected or given[names[1]] != hashlib.sha256(body).hexdigest():
            return self._answer(403)
        name = unquote(parts.path).removeprefix("/receipts/")
        if self.command == "PUT":
            self.objects[name] = body
            return self._answer(200)
        if self.command == "DELETE":
            self.objects.pop(name, None)
            return self._answer(204)
        if not name:
            return self._answer(200, self._listing(parse_qs(parts.query)))
        return self._answer(200, self.objects[name]) if name in self.objects else self._answer(404)

    do_GET = do_PUT = do_DELETE = _serve

    def _listing(self, query: dict) -> bytes:
        names = sorted(name for name in self.objects if name.startswith(query["prefix"][0]))
        start = int(query.get("continuation-token", ["0"])[0])
        items = "".join(
            f"<Contents><Key>{n}</Key><LastModified>2026-11-21T04:00:00.000Z</LastModified></Contents>"
            for n in names[start : start + 2]
        )
        more = f"<NextContinuationToken>{start + 2}</NextContinuationToken>" if len(names) > start + 2 else ""
        return (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"{items}{more}</ListBucketResult>"
        ).encode()

    def log_message(self, *_args) -> None:
        return


@pytest.fixture
def s3():
    handler = type("Bucket", (_Bucket,), {"objects": {}, "status": 0})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    store = open_store(f"s3://receipts/desk?endpoint={address}&region=cn-1", access_key=KEYS[0], secret_key=KEYS[1])
    yield store, handler
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=["file", "s3"])
def store(request, tmp_path):
    if request.param == "file":
        return open_store(f"file:{tmp_path / 'receipts'}")
    return request.getfixturevalue("s3")[0]


def test_put_get_list_delete(store):
    keys = sorted(new_key() for _ in range(5))
    for number, key in enumerate(keys):
        store.put(key, f"receipt {number}".encode() * 100)
    assert store.get(keys[3]) == b"receipt 3" * 100
    listed = list(store.stored())
    assert sorted(item.key for item in listed) == keys
    assert all(item.written_at.tzinfo is not None for item in listed)
    store.delete(keys[3])
    store.delete(keys[3])
    with pytest.raises(Missing):
        store.get(keys[3])
    assert len(list(store.stored())) == 4


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "ab/../../x", "", "ab/short", "AB/" + "a" * 40, "ab/" + "a" * 39 + "\n"]
)
def test_only_our_own_names_are_taken(store, key):
    for call in (lambda: store.put(key, b"x"), lambda: store.get(key), lambda: store.delete(key)):
        with pytest.raises(ValueError, match="not a name"):
            call()


def test_no_storing_in_a_transaction(store):
    token = guards.enter_transaction()
    try:
        for call in (lambda: store.put(new_key(), b"x"), lambda: store.get(new_key()), lambda: list(store.stored())):
            with pytest.raises(RuntimeError, match="transaction"):
                call()
    finally:
        guards.leave_transaction(token)


def test_files_are_whole_private_and_leave_no_drafts(tmp_path):
    store = FileStore(tmp_path / "receipts")
    key = new_key()
    store.put(key, b"x" * 1000)
    path = tmp_path / "receipts" / key
    assert path.stat().st_mode & 0o077 == 0
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    (path.parent / "notes.txt").write_text("not ours")
    assert [item.key for item in store.stored()] == [key]


def test_a_folder_that_cannot_be_written_is_told_as_temporary(tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    store = FileStore(blocked / "receipts")
    key = new_key()
    with pytest.raises(Temporary):
        store.put(key, b"x")
    with pytest.raises(GatewayError):
        store.get(key)
    with pytest.raises(Temporary):
        store.delete(key)
    assert list(FileStore(Path("/nonexistent")).stored()) == []


def test_s3_refusals_are_typed(s3):
    store, handler = s3
    handler.status = 503
    with pytest.raises(Temporary):
        store.put(new_key(), b"x")
    handler.status = 403
    with pytest.raises(Permanent):
        store.get(new_key())
    handler.status = 404
    store.delete(new_key())


def test_s3_with_a_wrong_secret_is_refused(s3):
    store, _ = s3
    store._keys = (KEYS[0], "wrong")
    with pytest.raises(Permanent, match="http_403"):
        store.put(new_key(), b"x")


def test_the_default_endpoint_is_amazons():
    store = open_store("s3://bucket", access_key="a", secret_key="b")
    assert (store.endpoint, store.prefix) == ("https://s3.us-east-1.amazonaws.com", "")


def test_signature_matches_the_published_example():
    """The GET of a range in Amazon's own description of Signature Version 4."""
    headers = {
        "host": "examplebucket.s3.amazonaws.com",
        "range": "bytes=0-9",
        "x-amz-content-sha256": hashlib.sha256(b"").hexdigest(),
    }
    keys = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    made = signed("GET", "/test.txt", "", headers, keys, "us-east-1", datetime(2013, 5, 24, tzinfo=UTC))
    assert made["authorization"].endswith("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")


def test_a_clock_that_tests_move_does_not_age_files(tmp_path):
    store = FileStore(tmp_path)
    store.put(new_key(), b"x")
    with clock.travel(by=timedelta(hours=1)):
        assert all(item.written_at < clock.now() for item in store.stored())
