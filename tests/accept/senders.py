"""Real senders of spans: what each language's default instrumentation, a proxy and a browser make of one small shop
(tests/real/senders), and whether headroom names entry, callee and third party as a person would.

What a sender needs is installed into `~/.cache/headroom/real/senders`; what cannot be had is SKIPPED with the reason.
"""

import contextlib
import http.server
import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

from scorecard import ROOT, free_port
from siege import Daemon

HERE = ROOT / "tests" / "real" / "senders"
CACHE = pathlib.Path(os.environ.get("HEADROOM_CACHE", pathlib.Path.home() / ".cache" / "headroom")) / "real" / "senders"
AGENT = "io.opentelemetry.javaagent:opentelemetry-javaagent:2.20.1"
# Enough for endpoints behind a silent gateway to be known, and for some hundred requests.
SECONDS, PER_SECOND = 25, 20


class Missing(Exception):
    """Why a sender cannot be had here."""


def tool(*names):
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/local/go/bin")
        if found:
            return found
    raise Missing(f"{names[0]} is not on the PATH")


def install(name, *command, sources=()):
    """Runs a command in the folder of a sender with its sources, once."""
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    wanted = "".join((HERE / source).read_text() for source in sources) + " ".join(command)
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    for source in sources:
        shutil.copy(HERE / source, folder)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1200)
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise Missing(lines[-1] if lines else f"{command[0]} failed")
    stamp.write_text(wanted)
    return folder


# Each gives the command of the program, and what is added to its environment.


def node():
    folder = install("node", tool("npm"), "install", "--no-audit", "--no-fund", sources=["node/package.json", "node/shop.js"])
    return [tool("node"), "--require", "@opentelemetry/auto-instrumentations-node/register", str(folder / "shop.js")], {}, folder


def java():
    folder = install("java", tool("mvn"), "-q", "dependency:copy", f"-Dartifact={AGENT}", "-DoutputDirectory=.", sources=["java/Shop.java"])
    agent = next(folder.glob("opentelemetry-javaagent-*.jar"))
    return [tool("java"), f"-javaagent:{agent}", str(folder / "Shop.java")], {}, folder


def go():
    sources = ["go/main.go", "go/go.mod", "go/go.sum"]
    folder = install("go", tool("go"), "build", "-o", "shop", ".", sources=sources)
    return [str(folder / "shop")], {}, folder


def python():
    folder = install("python", tool("python3"), "-m", "venv", "venv", sources=["python/shop.py"])
    install("python/packages", str(folder / "venv/bin/pip"), "install", "--quiet", "-r", "requirements.txt", sources=["python/requirements.txt"])
    return [str(folder / "venv/bin/opentelemetry-instrument"), str(folder / "venv/bin/python"), str(folder / "shop.py")], {}, folder


# What a person calls the entry: the route as its framework writes it.
SENDERS = {
    "python": (python, "GET /item/<id>"),
    "node": (node, "GET /item/:id"),
    "java": (java, "GET /item/"),
    "go": (go, "GET /item/{id}"),
}


@contextlib.contextmanager
def running(command, folder, environment):
    log = open(CACHE / f"{folder.name}.log", "ab")
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


class ThirdParty(http.server.BaseHTTPRequestHandler):
    """Answers, and sends no spans. To a browser it gives its page, and passes on what the page asks of the shop and sends to
    the receiver, as a page may only ask where it came from."""

    protocol_version = "HTTP/1.1"
    page, passes = {}, {}

    def do_GET(self):
        self.answer(None)

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def answer(self, sent):
        kind, body = self.page.get(self.path, ("application/json", b"{}"))
        for prefix, to in self.passes.items():
            if self.path.startswith(prefix):
                headers = {key: self.headers[key] for key in ("traceparent", "content-type") if self.headers[key]}
                with urllib.request.urlopen(urllib.request.Request(to + self.path, sent, headers), timeout=10) as passed:
                    kind, body = passed.headers["Content-Type"] or kind, passed.read()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def third_party(page=None, passes=None):
    handler = type("Handler", (ThirdParty,), {"page": {} if page is None else page, "passes": {} if passes is None else passes})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def answers(port, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/nothing", timeout=2):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
    raise Missing("the program did not begin to answer within a minute")


@contextlib.contextmanager
def shop(sender, daemon, third):
    """The two services of a sender; gives the port of `shop`."""
    command, more, folder = sender()
    environment = {
        **more,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{daemon.http}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
    }
    shop_port, stock_port = free_port(), free_port()
    peers = [f"http://127.0.0.1:{stock_port}", f"http://localhost:{third}"]
    with running([*command, str(stock_port)], folder, {**environment, "OTEL_SERVICE_NAME": "stock"}):
        with running([*command, str(shop_port), *peers], folder, {**environment, "OTEL_SERVICE_NAME": "shop"}):
            answers(stock_port)
            answers(shop_port)
            yield shop_port


def ask_as_a_gateway(port):
    """Requests that a gateway which sends no spans passes on: each with a `traceparent` of a span that never comes."""
    until, number = time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        number += 1
        parent = f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"
        ask = urllib.request.Request(f"http://127.0.0.1:{port}/item/{4_000_000 + number}", headers={"traceparent": parent})
        with urllib.request.urlopen(ask, timeout=10) as answer:
            answer.read()
        time.sleep(1 / PER_SECOND)


def seen(daemon):
    """Entries by name, pairs of caller and callee, and what hinders seeing."""
    sight = json.loads(daemon.ask(daemon.api, "GET", "/api/v1/sight")[1])["sight"]
    status, answer = daemon.sql("select distinct caller, callee from service_edges order by caller, callee")
    if status != 200:
        raise OSError(answer.decode(errors="replace")[:300])
    pairs = [(row["caller"], row["callee"]) for row in json.loads(answer)["rows"]]
    return sight["entries"], pairs, sight


def item_3(card):
    for name, (sender, operation) in SENDERS.items():
        daemon = Daemon()
        try:
            with third_party() as third, shop(sender, daemon, third) as port:
                ask_as_a_gateway(port)
                time.sleep(5)
                entries, pairs, sight = seen(daemon)
            judge(card, f"3.{name}", entries, pairs, sight, f"shop {operation}")
        except Missing as why:
            card.skipped(f"3.{name}", why)
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            card.failed(f"3.{name}", error)
        finally:
            daemon.stop()
    browser(card)
    card.skipped("3.envoy_opentelemetry", "tests/it/real.rs runs it in each `make test`")
    for name in ("envoy_zipkin", "collector_tail_sampling"):
        card.skipped(f"3.{name}", "the Collector that tests/real/setup.sh builds has neither a zipkin receiver nor tail_sampling")


def judge(card, name, entries, pairs, sight, entry):
    named = [one["entry"] for one in entries]
    card.sample(name, {"entries": entries, "pairs": pairs, "sight": sight})
    card.figure(f"{name}.entry", entry if entry in named else named, "endpoint", f"=={entry.replace(' ', '')}", entry in named)
    card.equal(f"{name}.callee", ("shop", "stock") in pairs, "named", True)
    card.equal(f"{name}.third_party", ("shop", "localhost") in pairs, "named", True)


def browser(card):
    """A page in Chromium whose clock is an hour behind is the root of each trace; the shop behind it is Node's."""
    daemon = Daemon()
    try:
        sources = ["browser/package.json", "browser/page.js", "browser/load.js"]
        folder = install("browser", tool("npm"), "install", "--no-audit", "--no-fund", sources=sources)
        bundle = subprocess.run([str(folder / "node_modules/.bin/esbuild"), "page.js", "--bundle"], cwd=folder, capture_output=True, timeout=120)
        if bundle.returncode != 0:
            raise Missing(bundle.stderr.decode(errors="replace").strip().splitlines()[-1])
        page, passes = {}, {}
        with third_party(page, passes) as third, shop(node, daemon, third) as port:
            passes.update({"/v1/traces": f"http://127.0.0.1:{daemon.http}", "/item/": f"http://127.0.0.1:{port}"})
            origin = f"http://127.0.0.1:{third}"
            settings = {"collector": origin, "shop": origin, "every": 100}
            page["/page"] = "text/html", f"<script>window.settings={json.dumps(settings)}</script><script src=/page.js></script>".encode()
            page["/page.js"] = "text/javascript", bundle.stdout
            load = [tool("node"), "load.js", f"{origin}/page", str(-3_600_000)]
            with running(load, folder, {}):
                time.sleep(SECONDS + 10)
                entries, pairs, sight = seen(daemon)
        judge(card, "3.browser", entries, pairs, sight, "web GET")
        card.equal("3.browser.sight", sight["level"], "level", "clear")
    except Missing as why:
        card.skipped("3.browser", why)
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        card.failed("3.browser", error)
    finally:
        daemon.stop()
