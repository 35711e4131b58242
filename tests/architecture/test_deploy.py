"""The files under deploy/ name what exists: settings, commands, sources, pinned images; the tools accept them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.api.callbacks import wechat_pay
from app.cli.doctor import known_settings
from app.web.security import HEADERS
from tests.architecture.commands import complaints_about, named_commands
from tests.architecture.source import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
NGINX = (DEPLOY / "nginx" / "desk.conf").read_text()
MB = 1024 * 1024
#: where the units expect what they start
PROGRAMS = ("opt/baishi-desk/.venv/bin/flask", "opt/baishi-desk/.venv/bin/gunicorn", "usr/bin/logger", "bin/kill",
            "usr/bin/curl")  # fmt: skip


def texts() -> dict[str, str]:
    """Every text file under deploy/ by its path; secrets that lie there on a server are nobody's business."""
    files = [path for path in DEPLOY.rglob("*") if path.is_file() and "secrets" not in path.parts]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}


def test_every_setting_that_is_named_is_one():
    unknown = {
        (path, name)
        for path, text in texts().items()
        for name in re.findall(r"\bDESK_[A-Z0-9_]*[A-Z0-9]\b", text)
        if name not in known_settings()
    }
    assert unknown == set()


def test_every_command_that_is_named_is_one(app):
    named = [(path, command) for path, text in texts().items() for command in named_commands(text, path)]
    assert {command[0] for _, command in named} >= {"worker", "scheduler", "db", "backup", "doctor"}
    assert complaints_about(app, named) == []


def test_images_are_pinned_to_a_release():
    named = re.findall(r"(?m)^FROM (\S+)", (DEPLOY / "Dockerfile").read_text())
    named += re.findall(r"(?m)^ +image: (\S+)", (DEPLOY / "compose.yml").read_text())
    ours, others = {n for n in named if n.startswith("baishi-desk:")}, [n for n in named if "baishi-desk" not in n]
    assert ours
    assert len(others) >= 5
    assert [name for name in others if not re.search(r":\d+\.\d+\.\d+(-|$)", name)] == []


def test_the_image_takes_what_the_app_reads_and_nothing_secret():
    after = (DEPLOY / "Dockerfile").read_text().split("WORKDIR /app")[1]
    copied = [word for line in re.findall(r"(?m)^COPY (?!--)(.+)$", after) for word in line.split()[:-1]]
    assert [path for path in copied if not (ROOT / path).exists()] == []
    wanted = {"app", "tasks", "migrations", "templates", "static", "wsgi.py", "gunicorn.conf.py", ".env.example"}
    assert wanted <= set(copied)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".env", "deploy/secrets", "instance"} <= set(ignored)


def test_no_secret_can_be_committed():
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_proxy_leaves_headers_to_the_app_and_lets_its_sizes_through(app):
    added = {name.lower() for name in re.findall(r"add_header (\S+)", NGINX)}
    assert added & {name.lower() for name, _ in (*HEADERS, ("Strict-Transport-Security", ""))} == set()
    pages, api, callback = (
        int(number) * (MB if unit == "m" else 1024)
        for number, unit in re.findall(r"client_max_body_size (\d+)([mk])", NGINX)
    )
    assert pages > app.config["MAX_CONTENT_LENGTH"]
    assert min(api, callback) > wechat_pay.MAX_BODY
    pattern = re.search(r"location ~ (\S+callback\$)", NGINX).group(1)
    callbacks = [rule.rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("api.wxpay_callbacks")]
    assert callbacks
    assert all(re.match(pattern, rule) for rule in callbacks)


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not here")
def test_nginx_takes_the_configuration(tmp_path):
    key, certificate = tmp_path / "tls.key", tmp_path / "tls.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-keyout", key, "-out", certificate, "-subj", "/CN=desk"], check=True, capture_output=True,
    )  # fmt: skip
    moved = {
        "/etc/nginx/desk-upstream.conf": DEPLOY / "nginx" / "upstream-host.conf",
        "/etc/nginx/desk-proxy.conf": DEPLOY / "nginx" / "proxy.conf",
        "/run/secrets/tls_certificate": certificate, "/run/secrets/tls_key": key,
        "/var/log/nginx/access.log": tmp_path / "access.log",
    }  # fmt: skip
    text = NGINX
    for there, here in moved.items():
        assert there in text
        text = text.replace(there, str(here))
    (tmp_path / "desk.conf").write_text(text)
    folders = "".join(f"{n}_temp_path {tmp_path}/{n};" for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}} http {{ {folders} include desk.conf; }}"
    )
    done = subprocess.run(["nginx", "-t", "-c", config], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_takes_the_units(tmp_path):
    for program in PROGRAMS:
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    folder = tmp_path / "etc" / "systemd" / "system"
    shutil.copytree(DEPLOY / "systemd", folder)
    if Path("/usr/lib/systemd/system").is_dir():
        shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    assert all("User=desk" in unit.read_text() for unit in UNITS if "/bin/flask" in unit.read_text())
    names = [unit.name.replace("@.", "@1.") for unit in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", f"--root={tmp_path}", *names],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "desk-" not in done.stderr


@pytest.mark.parametrize("unit", [unit for unit in UNITS if "User=desk" in unit.read_text()], ids=lambda u: u.name)
def test_units_run_with_little_power(unit):
    lines = unit.read_text().splitlines()
    wanted = "NoNewPrivileges=yes ProtectSystem=strict ProtectHome=yes PrivateTmp=yes CapabilityBoundingSet="
    assert [line for line in wanted.split() if line not in lines] == []


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="compose is not here")
def test_compose_takes_its_file(tmp_path):
    done = subprocess.run(
        ["docker-compose", "-f", str(DEPLOY / "compose.yml"), "config", "-q"], capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_script_of_the_users_refuses_a_password_that_sql_would_read(tmp_path):
    (tmp_path / "passwords").write_text("APP_PASSWORD=a'b\n")
    (tmp_path / "root").write_text("x")
    done = subprocess.run(
        ["sh", str(DEPLOY / "database.sh"), "users"], capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "DB_PASSWORDS_FILE": str(tmp_path / "passwords"),
             "DB_ROOT_PASSWORD_FILE": str(tmp_path / "root"), "DB_PORT": "1"},
    )  # fmt: skip
    assert done.returncode != 0
    assert "APP_PASSWORD" in done.stderr
