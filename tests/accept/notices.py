"""Notices to four receivers in trouble: one is down for a minute, one slow, one answers 500 at first, one 429.

A rule of its own notifies of each of a hundred services at once, in a `headroom serve` that gets spans of all of them.
"""

import collections
import http.server
import json
import pathlib
import tempfile
import threading
import time

from scorecard import free_port
from scrapes import requests_to, until, word
from siege import Daemon

CAUSES = 100
DOWN_S, SLOW_S, REFUSALS = 60, 4, 3
# The pauses between tries grow to some 16 s within the minute that a receiver is down.
DEADLINE_S = DOWN_S + 60
RULE = """// Notify of every service that is seen.
fn evaluate(now) {
    now.services.filter(|s| s.service != "gateway").map(|s| notify(s.service, `${s.service} is seen`))
}
"""


class Receiver(http.server.ThreadingHTTPServer):
    """Answers each POST by `answers(n)`, the n-th it gets: seconds to wait, status, headers; keeps what it answered 200."""

    daemon_threads = True

    def __init__(self, port, answers):
        super().__init__(("127.0.0.1", port), Handler)
        self.answers, self.asked, self.taken, self.lock = answers, 0, [], threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number, self.server.asked = self.server.asked, self.server.asked + 1
        wait_s, status, headers = self.server.answers(number)
        time.sleep(wait_s)
        if status == 200:
            with self.server.lock:
                self.server.taken.append((time.monotonic(), message))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


ANSWERS = {
    "down": lambda number: (0, 200, {}),
    "slow": lambda number: (SLOW_S, 200, {}),
    "fails": lambda number: (0, 500 if number < REFUSALS else 200, {}),
    "limits": lambda number: (0, 429 if number < REFUSALS else 200, {"Retry-After": "2"}),
}


def causes_told(receiver):
    with receiver.lock:
        firing = [message for _, message in receiver.taken if message["data"]["state"] == "firing"]
    told = collections.Counter(cause["service"] for message in firing for cause in message["data"]["firing"])
    return firing, told


def item_4(card):
    ports = {name: free_port() for name in ANSWERS}
    receivers = {name: Receiver(port, ANSWERS[name]) for name, port in ports.items() if name != "down"}
    with tempfile.TemporaryDirectory(prefix="headroom-notices-") as directory:
        (pathlib.Path(directory) / "notify_all.rhai").write_text(RULE)
        hooks = [{"name": name, "kind": "webhook", "url": f"http://127.0.0.1:{port}/"} for name, port in ports.items()]
        # Each cause is told once in this time, whoever could not be told at once.
        guard = {"notify_again": "1h"}
        daemon = Daemon({"rules": {"directory": directory}, "notify": {"receivers": hooks}, "guard": guard})
        try:
            keep_sending(card, daemon, receivers, ports["down"])
        finally:
            daemon.stop()
            for receiver in receivers.values():
                receiver.shutdown()


def keep_sending(card, daemon, receivers, down_port):
    """All services are seen at once, and go on being seen: what is not seen any more would be told as over."""
    skipped = "headroom_engine_ticks_skipped_total"
    before = metric(daemon, skipped)
    began, ended = time.monotonic(), threading.Event()

    def send():
        while not ended.wait(1.0):
            for number in range(CAUSES):
                requests_to(daemon, b"service-" + word(number), [b"GET /" + word(0)])

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        while time.monotonic() < began + DEADLINE_S:
            if "down" not in receivers and time.monotonic() > began + DOWN_S:
                receivers["down"] = Receiver(down_port, ANSWERS["down"])
            if len(receivers) == len(ANSWERS) and all(len(causes_told(r)[1]) >= CAUSES for r in receivers.values()):
                break
            time.sleep(0.5)
        # Time for what might come twice.
        time.sleep(20)
    finally:
        ended.set()
        sender.join(30)
    for name, receiver in receivers.items():
        firing, told = causes_told(receiver)
        card.sample("4.messages", {"receiver": name, "asked": receiver.asked, "taken": [message for _, message in receiver.taken]})
        card.equal(f"4.{name}.causes_told", len(told), "causes", CAUSES)
        card.equal(f"4.{name}.told_twice", sum(times > 1 for times in told.values()), "causes", 0)
        ids = [message["id"] for message in firing]
        card.equal(f"4.{name}.sent_twice", len(ids) - len(set(ids)), "messages", 0)
        card.at_most(f"4.{name}.messages", len(firing), "messages", 5)
    card.at_least("4.fails.tries", receivers["fails"].asked, "requests", REFUSALS + 1)
    card.equal("4.ticks_skipped", metric(daemon, skipped) - before, "ticks", 0)


def metric(daemon, name):
    found = until(daemon, lambda text: name in text)
    return float(next(line.split()[1] for line in found.splitlines() if line.startswith(name + " ")))
