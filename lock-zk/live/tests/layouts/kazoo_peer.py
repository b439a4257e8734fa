"""Takes turns as kazoo does, as it is told on its standard input.

turn LOCK NAME LOG   writes into the file LOG when it enters and leaves
hold LOCK            says "held" when it holds, until it is told
release
leader ELECTION      says who leads
"""

import os
import sys
import threading
import time
import traceback

from kazoo.client import KazooClient

SERVERS, TIMEOUT = sys.argv[1], float(sys.argv[2]) / 1000
RELEASE = threading.Event()


def turn(client, path, name, log):
    lock = client.Lock(path, name)
    lock.acquire()
    place = client.exists(path + "/" + lock.node).czxid
    write(log, f"enter {name} {place}")
    # So that another who is let in at the same time shows.
    time.sleep(0.01)
    write(log, f"leave {name}")
    lock.release()


def hold(client, path):
    lock = client.Lock(path, "held by kazoo")
    lock.acquire()
    say("held")
    RELEASE.wait()
    lock.release()
    say("released")


def leader(client, path):
    say(client.Election(path).contenders()[0])


def write(log, line):
    with open(log, "a") as file:
        file.write(line + "\n")


def say(text):
    print(text, flush=True)


def run(command, *arguments):
    # A session of its own.
    client = KazooClient(hosts=SERVERS, timeout=TIMEOUT)
    try:
        client.start()
        command(client, *arguments)
        client.stop()
    except Exception:
        traceback.print_exc()
        os._exit(1)


say("ready")
for line in sys.stdin:
    words = line.split()
    if words[0] == "release":
        RELEASE.set()
    else:
        command = {"turn": turn, "hold": hold, "leader": leader}[words[0]]
        threading.Thread(target=run, args=(command, *words[1:]), daemon=True).start()
