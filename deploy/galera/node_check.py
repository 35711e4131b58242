"""Answers the proxy whether this Galera node takes work: 200 when it does, 503 when not. Runs beside each node.

    python3 node_check.py --port 9200 [-- --defaults-file=/etc/mysql/check.cnf]

A node that has lost the majority still accepts connections and refuses every statement (1047), so that the look of a
proxy at its port says nothing. What stands after `--` goes to the `mariadb` client; its user needs no privilege.
"""

import argparse
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ASK = (
    "SELECT CONCAT_WS(' ', (SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME ="
    " 'wsrep_ready'), (SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME ="
    " 'wsrep_local_state'), @@global.read_only)"
)
#: ready, synced, and nobody has made it read-only, as versions differ in saying so
WELL = {"ON 4 0", "ON 4 OFF"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9200)
    parser.add_argument("client", nargs="*", help="options of the mariadb client")
    asked = parser.parse_args()

    class Check(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = state(asked.client)
            self.send_response(200 if said in WELL else 503)
            self.end_headers()
            self.wfile.write(f"{said}\n".encode())

        def log_message(self, *_args) -> None:
            """A look every second is no news."""

    ThreadingHTTPServer((asked.host, asked.port), Check).serve_forever()


def state(client: list[str]) -> str:
    """What the node says of itself; `away` when it says nothing within three seconds."""
    command = ["mariadb", *client, "--connect-timeout=2", "-N", "-B", "-e", ASK]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=3)  # noqa: S603 - no input from outside
    except subprocess.TimeoutExpired:
        return "away"
    return done.stdout.strip() if done.returncode == 0 else "away"


if __name__ == "__main__":
    main()
