"""What plain clients see on a cluster: overselling without a guarded write, and reads that come too early."""

from __future__ import annotations

import threading

import pymysql

from tests.drills.cluster import Node

SEATS, ATTEMPTS = 6, 12


def connect(port: int) -> pymysql.Connection:
    return pymysql.connect(host="127.0.0.1", port=port, user="root", connect_timeout=5)


def oversell_without_guard(nodes: list[Node], rounds: int = 60) -> int:
    """Children more than seats, over all rounds: each client locks the class, counts, and writes a row elsewhere."""
    nodes[0].query("CREATE DATABASE IF NOT EXISTS control")
    nodes[0].query("CREATE TABLE control.classes (id INT PRIMARY KEY, seats INT NOT NULL)")
    nodes[0].query(
        "CREATE TABLE control.children (id BIGINT AUTO_INCREMENT PRIMARY KEY, class INT NOT NULL, KEY (class))"
    )
    for number in range(rounds):
        nodes[0].query("INSERT INTO control.classes VALUES (%s, %s)", number, SEATS)
    nodes[1].query("SET GLOBAL wsrep_sync_wait = 0")
    clients = [threading.Thread(target=_lock_count_insert, args=(node, rounds)) for node in nodes for _ in range(2)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    rows = nodes[0].query("SELECT COUNT(*) FROM control.children GROUP BY class")
    return sum(max(0, children - SEATS) for (children,) in rows)


def _lock_count_insert(node: Node, rounds: int) -> None:
    with connect(node.port) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        for number in range(rounds):
            for _ in range(ATTEMPTS):
                try:
                    cursor.execute("SELECT seats FROM control.classes WHERE id = %s FOR UPDATE", (number,))
                    cursor.execute("SELECT COUNT(*) FROM control.children WHERE class = %s", (number,))
                    if cursor.fetchone()[0] < SEATS:
                        cursor.execute("INSERT INTO control.children (class) VALUES (%s)", (number,))
                    connection.commit()
                except pymysql.MySQLError:
                    connection.rollback()


def stale_reads(writer: Node, reader: Node, proxy: int, rounds: int = 150) -> dict[str, int]:
    """How often a row that was just committed was not seen: on another node, there with `wsrep_sync_wait`, and through
    the proxy that sends everybody to one node."""
    writer.query("CREATE TABLE control.moments (id INT PRIMARY KEY, round INT NOT NULL)")
    writer.query("INSERT INTO control.moments VALUES (1, 0)")
    missed = {"other_node": 0, "sync_wait": 0, "proxy": 0}
    for name, write, read in (
        ("other_node", writer.port, reader.port), ("sync_wait", writer.port, reader.port), ("proxy", proxy, proxy),
    ):  # fmt: skip
        with connect(write) as one, connect(read) as two, one.cursor() as writes, two.cursor() as reads:
            reads.execute(f"SET SESSION wsrep_sync_wait = {int(name == 'sync_wait')}")
            two.autocommit(True)
            for number in range(1, rounds + 1):
                writes.execute("UPDATE control.moments SET round = %s WHERE id = 1", (number,))
                one.commit()
                reads.execute("SELECT round FROM control.moments WHERE id = 1")
                missed[name] += reads.fetchone()[0] != number
            writes.execute("UPDATE control.moments SET round = 0 WHERE id = 1")
            one.commit()
    return missed
