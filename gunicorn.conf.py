"""How `gunicorn wsgi:app` runs the web processes; gunicorn reads this file by itself.

Threads wait well (databases, disks), processes use the cores. Metrics of all processes meet in one folder, which must
be named before anything imports prometheus_client.
"""

import gc
import os
import shutil
import tempfile
from pathlib import Path

workers = int(os.environ.get("DESK_WEB_PROCESSES") or min(3, (os.cpu_count() or 2) + 1))
threads = int(os.environ.get("DESK_WEB_THREADS") or 12)
worker_class = "gthread"
#: seconds; a silent worker is replaced. Uploads of receipts are the longest that a request takes.
timeout = 60
#: seconds that a running request has after SIGTERM (Z8)
graceful_timeout = 25
keepalive = 5
#: the heartbeat file on a memory disk: a slow disk must not look like a hung worker
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
#: nobody steers a running master here, and its socket would lie in the user's home
control_socket_disable = True
#: our own access line has the request id and no query
accesslog = None
errorlog = "-"
loglevel = os.environ.get("DESK_LOG_LEVEL", "INFO").lower()

_made = None
if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    _made = tempfile.mkdtemp(prefix="desk-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = _made
else:
    Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).mkdir(parents=True, exist_ok=True)


def post_worker_init(worker):
    """Each worker process writes down what it counts: threads do not outlive the fork. What is loaded by now stays
    loaded, so the collector need not look through it again: a full look takes 150 ms, in which nobody is answered."""
    from app import tally

    tally.start(worker.wsgi)
    gc.collect()
    gc.freeze()


def child_exit(server, worker):
    """Gauges of a worker that is gone leave the sums."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)


def on_exit(server):
    if _made:
        shutil.rmtree(_made, ignore_errors=True)
