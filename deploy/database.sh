#!/bin/sh
# The database's users and rights, from deploy/grants.sql (Z7).
#
#   sh deploy/database.sh users     before the first `flask db upgrade`: the four users, and what `migrate` needs
#   sh deploy/database.sh grants    after each `flask db upgrade`: the rights on every table
#
# Both may be run again at any time. Passwords come from files, so that no process list shows them:
#   DB_ROOT_PASSWORD_FILE  the password of root                      (/run/secrets/db_root_password)
#   DB_PASSWORDS_FILE      lines APP_PASSWORD=…, MIGRATE_PASSWORD=…, REPORT_PASSWORD=…, BACKUP_PASSWORD=…
# DB_HOST, DB_PORT, DB_NAME: where. DB_ROOT: who gives the rights, if not root. DB_CLIENTS: from where the four connect
# ('%' or '10.0.0.%').
set -eu

what=${1:-}
here=$(dirname "$0")
name=${DB_NAME:-desk}
clients=${DB_CLIENTS:-%}
passwords=${DB_PASSWORDS_FILE:-/run/secrets/db_passwords}
root_file=${DB_ROOT_PASSWORD_FILE:-/run/secrets/db_root_password}

fail() { echo "✗ $1" >&2; exit 1; }

secret() {
    value=$(sed -n "s/^$1=//p" "$passwords")
    # Only what `secrets.token_urlsafe` makes: nothing that sed or SQL would read as its own.
    case $value in
        '' | *[!A-Za-z0-9_-]*) fail "$1 in $passwords: letters, digits, - and _ only, and not empty" ;;
    esac
    printf %s "$value"
}

# Comments go first: they speak about rights too.
filled() {
    app=$(secret APP_PASSWORD); migrate=$(secret MIGRATE_PASSWORD)
    report=$(secret REPORT_PASSWORD); backup=$(secret BACKUP_PASSWORD)
    sed -e 's/^--.*//' -e "s/DATABASE/$name/g" -e "s/'HOST'/'$clients'/g" \
        -e "s/APP_PASSWORD/$app/" -e "s/MIGRATE_PASSWORD/$migrate/" \
        -e "s/REPORT_PASSWORD/$report/" -e "s/BACKUP_PASSWORD/$backup/" "$here/grants.sql"
}

client() {
    options=$(mktemp)
    trap 'rm -f "$options"' EXIT
    chmod 600 "$options"
    printf '[client]\nuser="%s"\npassword="%s"\nhost="%s"\nport=%s\n' \
        "${DB_ROOT:-root}" "$(cat "$root_file")" "${DB_HOST:-127.0.0.1}" "${DB_PORT:-3306}" > "$options"
    "$(command -v mariadb || command -v mysql)" --defaults-extra-file="$options"
}

case $name$clients in *[!A-Za-z0-9_.%-]*) fail "DB_NAME or DB_CLIENTS has a strange character" ;; esac
# Asked for here: a failure inside a pipe or `$(…)` would go unheard.
for each in APP MIGRATE REPORT BACKUP; do secret "${each}_PASSWORD" > /dev/null; done
[ -r "$root_file" ] || fail "cannot read $root_file"

case $what in
    users)
        { echo "CREATE DATABASE IF NOT EXISTS \`$name\` CHARACTER SET utf8mb4;"
          filled | awk 'BEGIN { RS = ORS = ";" } /CREATE USER/ || /TO .migrate./'; echo; } | client
        echo "✓ users are there; next: flask db upgrade as migrate, then: database.sh grants" ;;
    grants)
        filled | client
        echo "✓ rights are given" ;;
    *) fail "users or grants?" ;;
esac
