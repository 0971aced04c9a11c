#!/usr/bin/env python3
"""An open-loop load driver: requests leave on the clock, whether or not earlier ones came back.

    load.py --url http://127.0.0.1:8000/checkout/book --rate 50 --seconds 20

Latency counts from the instant a request was due, so a server that stalls cannot hide it.
Standard library only. Prints one JSON document when done, or when stopped by SIGTERM or SIGINT:

    {"sent", "ok", "failed", "statuses": {"200": n, …}, "errors": {"timeout": n, …},
     "seconds", "rate", "mean_ms", "p50_ms", "p99_ms", "max_ms"}

`failed` counts answers other than 2xx and requests without an answer; sent = ok + failed.
"""

import argparse
import collections
import http.client
import json
import queue
import signal
import threading
import time
import urllib.parse


def options():
    parser = argparse.ArgumentParser(description="An open-loop load driver.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, default=50, help="requests a second (default 50)")
    parser.add_argument("--seconds", type=float, default=10, help="how long (default 10)")
    parser.add_argument("--method", default="GET")
    parser.add_argument("--timeout", type=float, default=10, help="seconds a request may take (default 10)")
    parser.add_argument("--connections", type=int, default=128,
                        help="at most so many requests at once (default 128); more wait, and their wait counts")
    parser.add_argument("--traces", metavar="FILE",
                        help="write the X-Trace-Id of each 2xx answer here, one a line")
    return parser.parse_args()


def main():
    chosen = options()
    url = urllib.parse.urlsplit(chosen.url)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    due = queue.SimpleQueue()       # the instants at which requests are due, then one None a worker
    results = queue.SimpleQueue()   # (latency in s, status or the error's name, trace id or None)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def work():
        connection = None
        while (at := due.get()) is not None:
            fresh = connection is None
            for _ in range(2):
                if connection is None:
                    connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=chosen.timeout)
                try:
                    connection.request(chosen.method, path)
                    answer = connection.getresponse()
                    answer.read()
                    outcome, trace = str(answer.status), answer.headers.get("X-Trace-Id")
                    break
                except (OSError, http.client.HTTPException) as error:
                    connection.close()
                    connection = None
                    outcome, trace = type(error).__name__, None
                    # Only a kept connection that the server closed meanwhile is tried anew.
                    if fresh or not isinstance(error, ConnectionError):
                        break
                    fresh = True
            results.put((time.monotonic() - at, outcome, trace))

    threads = []
    began = time.monotonic()
    for number in range(int(chosen.rate * chosen.seconds)):
        at = began + number / chosen.rate
        if stop.wait(max(0.0, at - time.monotonic())):
            break
        due.put(at)
        # A thread is started only while all others are busy.
        if len(threads) < chosen.connections and due.qsize() > 0:
            threads.append(threading.Thread(target=work, daemon=True))
            threads[-1].start()
    for _ in threads:
        due.put(None)
    for thread in threads:
        thread.join()
    print(json.dumps(report(chosen, results, time.monotonic() - began)), flush=True)


def report(chosen, results, seconds):
    latencies, statuses, errors, traces = [], collections.Counter(), collections.Counter(), []
    while not results.empty():
        latency, outcome, trace = results.get()
        latencies.append(latency * 1000)
        (statuses if outcome.isdigit() else errors)[outcome] += 1
        if trace and outcome.startswith("2"):
            traces.append(trace)
    if chosen.traces:
        with open(chosen.traces, "w") as file:
            file.writelines(f"{trace}\n" for trace in traces)
    latencies.sort()
    sent = len(latencies)
    ok = sum(count for status, count in statuses.items() if status.startswith("2"))

    def quantile(share):
        return round(latencies[min(sent - 1, int(share * sent))], 1) if sent else None

    return {
        "sent": sent,
        "ok": ok,
        "failed": sent - ok,
        "statuses": dict(sorted(statuses.items())),
        "errors": dict(sorted(errors.items())),
        "seconds": round(seconds, 2),
        "rate": round(sent / seconds, 1) if seconds else 0,
        "mean_ms": round(sum(latencies) / sent, 1) if sent else None,
        "p50_ms": quantile(0.5),
        "p99_ms": quantile(0.99),
        "max_ms": quantile(1.0),
    }


if __name__ == "__main__":
    main()
