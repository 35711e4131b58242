"""`python -m sandbox --port 8900 --app-url http://127.0.0.1:8000`"""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from pathlib import Path

from werkzeug.serving import make_server

from . import create_sandbox


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox", description="Stand-ins for WeChat and Feishu")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8900)
    parser.add_argument("--app-url", default="http://127.0.0.1:8000", help="where the app's API answers")
    parser.add_argument("--pay-keys", type=Path, help="folder of the payment account's keys (instance/sandbox-pay)")
    parser.add_argument("--verbose", action="store_true", help="log every request")
    args = parser.parse_args()
    # Pages poll every few seconds; their log lines would bury everything else in a shared terminal.
    logging.getLogger("werkzeug").setLevel(logging.INFO if args.verbose else logging.ERROR)
    server = make_server(args.host, args.port, create_sandbox(args.app_url, pay_keys=args.pay_keys), threaded=True)

    def stop(*_: object) -> None:
        # shutdown() waits for the serving loop, which runs in this very thread: it needs a thread of its own.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"沙箱已启动：http://{args.host}:{server.server_port}/ （家长手机 /phone，飞书群 /groups）", flush=True)
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
