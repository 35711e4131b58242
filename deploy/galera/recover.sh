#!/bin/sh
# Brings a Galera cluster back of which every node went down: `sh deploy/galera/recover.sh db1 db2 db3`.
#
# Asks each node for the last transaction that it has, starts the cluster from the node with the highest, and lets the
# others join it one after the other. Nothing is lost that any node had written (innodb_flush_log_at_trx_commit=1).
# Refuses while a node still runs, when nodes belong to different clusters, and when one cannot be asked: the missing
# one might have what the others have not. Leave a node that is gone for good out of the list.
#
# How a node is reached and what is run there may be changed from outside:
#   RUN        `ssh` by default; called as RUN HOST COMMAND
#   RUNNING    succeeds where the server runs
#   POSITION   prints the cluster's id and the last transaction's number, as 9f1c…:1234
#   BOOTSTRAP  starts the first node, JOIN the others; both return when the node answers
set -eu

RUN=${RUN:-ssh}
RUNNING=${RUNNING:-systemctl is-active --quiet mariadb}
POSITION=${POSITION:-galera_recovery}
BOOTSTRAP=${BOOTSTRAP:-sed -i 's/^safe_to_bootstrap:.*/safe_to_bootstrap: 1/' /var/lib/mysql/grastate.dat && galera_new_cluster}
JOIN=${JOIN:-systemctl start mariadb}

[ $# -ge 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }

for host in "$@"; do
    if $RUN "$host" "$RUNNING"; then
        echo "$host runs: this is for a cluster of which no node does" >&2
        exit 1
    fi
done

first='' highest=-2 cluster=''
for host in "$@"; do
    found=$($RUN "$host" "$POSITION" | grep -oE '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:-?[0-9]+' | tail -n 1) || found=''
    [ -n "$found" ] || { echo "$host does not say what it has" >&2; exit 1; }
    id=${found%:*} number=${found##*:}
    echo "$host has $number of $id"
    if [ -n "$cluster" ] && [ "$id" != "$cluster" ]; then
        echo "$host belongs to another cluster: decide by hand which of them is right" >&2
        exit 1
    fi
    cluster=$id
    if [ "$number" -gt "$highest" ]; then first=$host highest=$number; fi
done

echo "starting the cluster from $first"
$RUN "$first" "$BOOTSTRAP"
for host in "$@"; do
    [ "$host" = "$first" ] && continue
    $RUN "$host" "$JOIN"
    echo "$host has joined"
done
