"""What people see: dashboards, alerts and their pictures, from a real Prometheus that scraped real demos.

    see.py                       all items; twelve minutes, most of it demos at the pace of life
    see.py --only 1 3
    see.py --pictures            item 1's demos, then the pictures in dashboards/previews (make dashboards-preview)

Item 1: each query of each dashboard parses, answers in time, returns data in one of the runs, with legends that name what they
show and a unit that fits; each alert fires in one run and in none that is calm, and one reaches a receiver by Alertmanager.
Item 2: how soon a bottleneck that was found is in /metrics, and what a scrape of many names costs (scrapes.py). Item 4: notices to receivers in
trouble (notices.py). Item 5: what a scraper costs the loop, with the examples of the release build. Item 3: tsc, the difference check, the inventory, promtool.
Item 6: pictures of six drawn incidents for somebody who knows nothing else of them, in target/accept/see/incidents.
"""

import argparse
import contextlib
import http.server
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import notices
import scrapes
from scorecard import ROOT, Scorecard, binary, free_port, run_tests

CACHE = pathlib.Path(os.environ.get("HEADROOM_CACHE", pathlib.Path.home() / ".cache" / "headroom")) / "real"
OUT = ROOT / "target" / "accept" / "see"
DASHBOARDS = ROOT / "dashboards"
PREVIEWS = DASHBOARDS / "previews"
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"

# Scenario, how many of its seconds are played, and the service that is looked at in depth.
RUNS = [("exam-start", 200, "content-api"), ("locked-database", 150, "exam-api"), ("bad-pod", 150, "content-api"), ("calm", 130, "content-api")]
# More of them, for alerts alone.
ALERT_RUNS = [("beyond-capacity", 170), ("early-return", 120)]
QUERY_MS = 200
# In exam-start the burst begins after a minute, and its cause is named some seconds later.
IN_THE_BURST_S = 84

# Queries that none of these runs has data for, by what they ask for; each with the reason.
EXCUSED = {
    "headroom_act_api_attempts_total": "calls of the Kubernetes API server, which an embedded cluster has not",
    "headroom_notify_": "no receiver of notices is configured",
    "headroom_gateway_": "no gateway asks",
    "offset 7d": "needs a week of data; asked again below with a shorter time",
    "headroom_guard_breaker_open": "no breaker opened",
    'outcome="observed"': "the demos enforce",
    'stage="no_effect"': "every change had its effect",
    "headroom_decide_rule_errors_total": "no rule failed",
    "headroom_silent_failure_probability_ratio": "asked in the run of early-return",
    "headroom_entry_failures_total": "no request failed",
    "headroom_receive_refused_requests_total": "every request of a sender was taken",
    "headroom_receive_rejected_spans_total": "every span was valid",
}

# Alerts that no run here can bring about in minutes; deploy/prometheus/rules_test.yaml has each.
UNFIRED = {
    "HeadroomNoLeader": "the embedded cluster has no election",
    "HeadroomFlapping": "takes an hour of swinging load",
    "HeadroomStuck": "nothing makes the loop stand still while the API answers",
    "HeadroomSkipsTicks": "the same",
    "HeadroomChangesFail": "the embedded cluster takes every change",
    "HeadroomJournalFails": "needs a full disk",
    "HeadroomBreakerOpen": "needs a change without effect",
    "HeadroomNoticesWait": "no receiver of notices is configured",
}


def programs():
    """Folder of Prometheus' programs, and the packages of the dashboards."""
    env = dict(line.split("=", 1) for line in (CACHE / "env").read_text().splitlines() if "=" in line)
    return pathlib.Path(env["HEADROOM_PROMETHEUS"]), pathlib.Path(env["HEADROOM_NODE_MODULES"])


def get(url, **parameters):
    query = f"?{urllib.parse.urlencode(parameters, doseq=True)}" if parameters else ""
    with urllib.request.urlopen(url + query, timeout=10) as answer:
        return answer.read().decode()


def wait_for(what, ready, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if ready():
                return
        time.sleep(0.1)
    raise RuntimeError(f"{what}: not within {seconds} s")


class Process:
    """A program with its log, ended when the block is left."""

    def __init__(self, directory, name, *command, limits=None):
        self.log = (directory / f"{name}.log").open("w")
        self.process = subprocess.Popen([str(part) for part in command], stdout=self.log, stderr=self.log, cwd=directory, preexec_fn=limits)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


class Prometheus(Process):
    """A real one that scrapes these addresses each second, with the shipped rules."""

    def __init__(self, directory, targets, alertmanager=None):
        self.url = f"http://127.0.0.1:{free_port()}"
        # As shipped, but for the time that an alert waits: minutes in life, seconds here. promtool's tests hold the times.
        rules = re.sub(r"    for: \S+", "    for: 4s", RULES.read_text())
        (directory / "rules.yaml").write_text(rules)
        alerting = f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n" if alertmanager else ""
        (directory / "prometheus.yaml").write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 2s}\nrule_files: [rules.yaml]\n" + alerting +
            f"scrape_configs: [{{job_name: headroom, static_configs: [{{targets: {json.dumps(targets)}}}]}}]\n"
        )
        flags = ["--config.file=prometheus.yaml", "--storage.tsdb.path=tsdb", f"--web.listen-address={self.url[7:]}"]
        super().__init__(directory, "prometheus", programs()[0] / "prometheus", *flags, "--enable-feature=exemplar-storage")
        wait_for("Prometheus", lambda: get(f"{self.url}/-/ready"))

    def ask(self, query, **parameters):
        path = "query_range" if "start" in parameters else "query"
        return json.loads(get(f"{self.url}/api/v1/{path}", query=query, **parameters))["data"]["result"]

    def fired(self):
        """Names of the alerts that fired at any time."""
        return {one["metric"]["alertname"] for one in self.ask('count_over_time(ALERTS{alertstate="firing"}[1h])')}


class Run:
    """One demo at the pace of life, scraped from its first second."""

    def __init__(self, name, scenario, until, alertmanager=None, directory=None, options=()):
        self.name = name
        self.directory = pathlib.Path(directory or OUT / name)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.api = f"127.0.0.1:{free_port()}"
        self.prometheus = Prometheus(self.directory, [self.api], alertmanager)
        command = [binary(), "demo", "--scenario", scenario, "--until", until, "--speed", 1, "--api", self.api, "--json", "--journal", "journal.jsonl"]
        self.demo = Process(self.directory, "demo", *command, *options)
        wait_for(f"{name}: /metrics", lambda: get(f"http://{self.api}/metrics"))
        # With room for what is asked of the time before: a rate needs two scrapes.
        self.began = time.time() + 8
        self.ended = None

    def wait(self, seconds):
        """Until the demo has ended; its last seconds are of no interest."""
        deadline = time.monotonic() + seconds
        while self.demo.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        self.ended = time.time() - 6
        return self

    def fetch(self, accept):
        request = urllib.request.Request(f"http://{self.api}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def end(self):
        self.demo.end()
        self.prometheus.end()
        shutil.rmtree(self.directory / "tsdb", ignore_errors=True)


class Receiver:
    """Takes what Alertmanager sends."""

    def __init__(self):
        taken = self.taken = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


def alertmanager(directory, receiver):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "alertmanager.yaml").write_text(
        "route: {receiver: people, group_by: [alertname], group_wait: 1s, group_interval: 2s}\n"
        f"receivers: [{{name: people, webhook_configs: [{{url: '{receiver.url}'}}]}}]\n"
    )
    address = f"127.0.0.1:{free_port()}"
    flags = ["--config.file=alertmanager.yaml", "--storage.path=alertmanager", f"--web.listen-address={address}", "--cluster.listen-address="]
    process = Process(directory, "alertmanager", programs()[0] / "alertmanager", *flags)
    wait_for("Alertmanager", lambda: get(f"http://{address}/-/ready"))
    return process, address


# --- the dashboards' own program ------------------------------------------------------------------


def built():
    """The dashboards' program, compiled where the packages are."""
    link = DASHBOARDS / "node_modules"
    if not link.exists():
        link.symlink_to(programs()[1])
    subprocess.run(["node", link / "typescript" / "bin" / "tsc"], cwd=DASHBOARDS, check=True)
    return DASHBOARDS / "build" / "preview" / "main.js"


def draw(program, folder, prometheus, began, ended, service, *more):
    """Asks every query as Grafana would, keeps the answers, and draws."""
    folder.mkdir(parents=True, exist_ok=True)
    times = ["--from", int(began), "--to", int(ended), "--scrape", 1]
    command = ["node", program, "ask", folder, "--prometheus", prometheus.url, *times, "--service", service, *more]
    subprocess.run([str(part) for part in command], check=True)


def answers(folder):
    """Every panel's answers: dashboard, title, unit, and the query with what came back."""
    for path in sorted(folder.glob("*.answers.json")):
        name = path.name.replace(".answers.json", "")
        panels = {panel["id"]: panel for panel in json.loads((DASHBOARDS / f"{name}.json").read_text())["panels"]}
        for number, queries in json.loads(path.read_text())["panels"].items():
            panel = panels[int(number)]
            for query in queries:
                yield name, panel, query


# --- units ----------------------------------------------------------------------------------------

UNITS = {
    0: {"none", "short", "percentunit", "suffix:x"},  # a count, or a share
    1: {"s"},
    -1: {"reqps", "suffix:/s", "suffix: spans/s", "suffix: ticks/s"},
    "time": {"dateTimeAsLocal", "dateTimeFromNow"},
    "bytes": {"bytes", "binBps"},
}


def dimension(expression):
    """Powers of seconds of what a query returns: 1 for a time, -1 for a rate, 0 for counts and shares; or `bytes`, or `time`."""
    text = re.sub(r"\{[^}]*\}", "", expression)
    text = re.sub(r'"[^"]*"', "", text)
    text = re.sub(r"\b(by|on|ignoring|group_left|group_right|without)\s*\([^)]*\)", "", text)
    text = re.sub(r"\[[^\]]*\]|offset \w+|@ end\(\)|\bbool\b", "", text)
    if "timestamp" in text:
        return 1 if " - " in text else "time"
    return power(text.strip())


def split(text, operators):
    """At the first of these operators outside of brackets."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        for operator in operators:
            if depth == 0 and at > 0 and text.startswith(f" {operator} ", at):
                return text[:at].strip(), operator, text[at + len(operator) + 2 :].strip()
    return None


def power(text):
    for operators in (["and", "or", "unless"], [">", "<", ">=", "==", "+", "-"], ["/", "*"]):
        if part := split(text, operators):
            left, operator, right = part
            if operator == "*":
                return combined(power(left), power(right), 1)
            if operator == "/":
                return combined(power(left), power(right), -1)
            return power(left)
    if re.fullmatch(r"[\d.]+", text):
        return 0
    if call := re.fullmatch(r"(\w*)\s*\((.*)\)", text, re.DOTALL):
        function, inner = call.groups()
        if function == "histogram_quantile":
            return 1 if "_seconds_bucket" in inner else 0
        if function in ("count", "count_over_time", "changes", "vector"):
            return 0
        if function in ("label_join", "bottomk"):
            inner = inner.split(",", 1)[1] if function == "bottomk" else inner.split(",", 1)[0]
        of = power(inner.strip())
        return combined(of, 1, -1) if function == "rate" else of
    name = re.sub(r"_(total|bucket|sum)$", "", text)
    if name.endswith("_per_second"):
        return -1
    if name.endswith("_seconds"):
        return 1
    return "bytes" if name.endswith("bytes") else 0


def combined(left, right, sign):
    if "bytes" in (left, right):
        return "bytes" if sign == 1 or right != "bytes" else 0
    return left + sign * right


def units_of(panel):
    """The panel's unit, and those of its columns."""
    own = panel["fieldConfig"]["defaults"].get("unit", "none")
    overrides = {}
    for override in panel["fieldConfig"]["overrides"]:
        for setting in override["properties"]:
            if setting["id"] == "unit":
                overrides[override["matcher"]["options"]] = setting["value"]
    if panel["type"] != "table":
        legends = {target["refId"]: target.get("legendFormat", "") for target in panel["targets"]}
        return lambda ref: next((unit for name, unit in overrides.items() if re.search(name.strip("/"), legends[ref])), own)
    names = panel["transformations"][-1]["options"]["renameByName"]
    return lambda ref: overrides.get(names.get(f"Value #{ref}", names.get("Value", "")), "none")


def fits(panel, query):
    dimensions = dimension(query["expr"])
    unit = units_of(panel)(query["refId"])
    mapped = bool(panel["fieldConfig"]["defaults"].get("mappings"))
    # Seconds that a multiplication by a number of seconds makes: the interval of a sum over time.
    if re.search(r"_over_time\(.*\) \* \d+ / 1000", query["expr"]):
        dimensions = 1
    return mapped or unit in UNITS[dimensions], f"{panel['title']} {query['refId']}: {unit} for seconds^{dimensions}"


# --- items ----------------------------------------------------------------------------------------


def played(stack, address, chosen):
    """The demos of item 1, all at once: each takes a fraction of a core."""
    runs = [Run(name, name, until, address if name == "locked-database" else None) for name, until, _ in chosen]
    for run in runs:
        stack.callback(run.end)
    return runs


def somebody(run):
    """Asks and pauses, as people do, while it is looked at."""
    time.sleep(max(0, run.began + 5 - time.time()))
    server = ["--server", f"http://{run.api}"]
    for command in (["pause", "video-api", "--reason", "to be seen", "--by", "see.py"], ["sql", "select count(*) from spans"]):
        subprocess.run([binary(), *command, *server], check=True, capture_output=True)


def troubled(stack):
    """One daemon in every trouble that can be made here: a rule that fails, a cluster that goes, spans that stop, then its own end."""
    directory = OUT / "troubled"
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "rules").mkdir(parents=True)
    (directory / "rules" / "a_broken.rhai").write_text("fn evaluate(now) { now.bottlenecks[1_000_000] }\n")
    api, otlp = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    cluster = Process(directory, "cluster", binary(), "cluster", "--scenario", "exam-start", "--speed", 1, "--otlp-grpc", f"http://{otlp}")
    stack.callback(cluster.end)
    wait_for("the cluster", lambda: (directory / "cluster.log").read_text().startswith("http"))
    url = (directory / "cluster.log").read_text().split()[0]
    (directory / "headroom.yaml").write_text(
        f"receive: {{grpc: '{otlp}', http: '127.0.0.1:0'}}\napi: {{listen: '{api}'}}\nrules: {{directory: rules}}\n"
        f"cluster: {{embedded: {{url: '{url}'}}}}\nlimits: {{spans_per_second: 1000}}\nmetrics: {{operations_max: 1}}\n"
    )
    serve = [Process(directory, "serve", binary(), "serve", "--config", "headroom.yaml")]
    stack.callback(lambda: serve[0].end())
    other = f"127.0.0.1:{free_port()}"
    second = Process(directory, "second", binary(), "serve", "--config", write(directory / "second.yaml", f"receive: {{grpc: '127.0.0.1:0', http: '127.0.0.1:0'}}\napi: {{listen: '{other}'}}\n"))
    stack.callback(second.end)
    prometheus = Prometheus(directory, [api, other])
    stack.callback(prometheus.end)

    def course():
        time.sleep(75)
        cluster.process.kill()
        time.sleep(45)
        serve[0].end()
        second.end()
        time.sleep(20)

    thread = threading.Thread(target=course)
    thread.start()
    return thread, prometheus


def write(path, text):
    path.write_text(text)
    return path


def item_1(card, pictures_only=False):
    program = built()
    with contextlib.ExitStack() as stack:
        receiver = Receiver()
        manager, address = alertmanager(OUT / "alertmanager", receiver)
        stack.callback(manager.end)
        runs = played(stack, address, RUNS[:1] if pictures_only else RUNS)
        more = [] if pictures_only else [Run(name, name, until) for name, until in ALERT_RUNS]
        for run in more:
            stack.callback(run.end)
        trouble = None if pictures_only else troubled(stack)
        if not pictures_only:
            somebody(runs[-1])
        if not pictures_only:
            formats(card, runs[0])
        for run, (_, until, service) in zip(runs, RUNS):
            run.wait(until + 60)
            draw(program, run.directory, run.prometheus, run.began, run.ended, service)
        for run, (_, until) in zip(more, ALERT_RUNS):
            run.wait(until + 60)
        if pictures_only:
            return keep_pictures(program, runs[0], RUNS[0][2])
        silent_failures(card, more[-1])
        queries(card, runs)
        a_week_before(card, runs[0])
        rules_answer(card, runs[0])
        trouble[0].join()
        alerts(card, runs, more, trouble[1], receiver)
        journal_to_metrics(card, runs[0])


def formats(card, run):
    promtool = programs()[0] / "promtool"
    wait_for("a verdict in /metrics", lambda: b"headroom_service_verdict" in run.fetch("text/plain"), 60)
    for name, accept in [("text", "text/plain"), ("openmetrics", "application/openmetrics-text; version=1.0.0")]:
        done = subprocess.run([promtool, "check", "metrics"], input=run.fetch(accept), capture_output=True)
        if name == "openmetrics":
            # promtool 2.42 reads the text format alone; Prometheus itself, which asks for OpenMetrics, is the judge of the other.
            target = lambda: json.loads(get(f"{run.prometheus.url}/api/v1/targets"))["data"]["activeTargets"][0]
            # A busy machine may miss a deadline; what cannot be read stays so.
            with contextlib.suppress(RuntimeError):
                wait_for("a scrape without an error", lambda: target()["health"] == "up", 20)
            card.equal("1.scrape_error", target()["lastError"], "-", "")
        else:
            card.equal(f"1.promtool_{name}", f"{done.returncode} {(done.stdout + done.stderr).decode().strip()}".strip(), "exit", "0")


def queries(card, runs):
    """Over all runs: data, time, legends, units."""
    seen, slow, nameless, misfits, longest = {}, [], [], set(), 0.0
    for run in runs:
        for dashboard, panel, query in answers(run.directory):
            key = (dashboard, panel["title"], query["refId"])
            # What is so for a while only may be over at the end.
            seen[key] = seen.get(key, False) or bool(query["series"] or run.prometheus.ask(query["expr"], time=run.began + IN_THE_BURST_S))
            longest = max(longest, query["took"])
            if query["took"] > QUERY_MS:
                slow.append((run.name, *key, round(query["took"])))
            fit, why = fits(panel, query)
            if query["series"] and not fit:
                misfits.add(why)
            if query.get("legend") is not None:
                names = [legend(query["legend"], one["labels"]) for one in query["series"]]
                if len(set(names)) != len(names) or any(not re.search(r"\w", name) for name in names):
                    nameless.append((run.name, *key))
    texts = {(dashboard, panel["title"], query["refId"]): query["expr"] for dashboard, panel, query in answers(runs[0].directory)}
    excused = {key for key, text in texts.items() if any(part in text for part in EXCUSED)}
    empty = sorted(key for key, data in seen.items() if not data and key not in excused)
    card.sample("queries", {"all": len(seen), "with data": sum(seen.values()), "excused": sorted(key for key in excused if not seen[key])})
    card.figure("1.queries", len(seen), "queries", "parse and answer", True)
    card.equal("1.without_data", empty, "queries", [])
    card.at_most("1.slowest", longest, "ms", QUERY_MS)
    card.equal("1.nameless_legends", nameless, "panels", [])
    card.equal("1.units_that_do_not_fit", sorted(misfits), "panels", [])


def legend(form, labels):
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), form)


def a_week_before(card, run):
    """What is set beside the week before, asked of a minute before."""
    wanting = [(panel["title"], query["refId"]) for _, panel, query in answers(run.directory)
               if "offset 7d" in query["expr"] and not run.prometheus.ask(query["expr"].replace("offset 7d", "offset 60s"), time=run.ended)]
    card.equal("1.a_time_before", wanting, "queries", [])


def silent_failures(card, run):
    found = run.prometheus.ask("max_over_time(headroom_silent_failure_probability_ratio[1h])")
    card.at_least("1.silent_failures", len(found), "series", 1)


def rules_answer(card, run):
    """Recording rules have data; expressions of alerts are evaluated without an error."""
    groups = json.loads(get(f"{run.prometheus.url}/api/v1/rules"))["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    broken = [rule["name"] for rule in rules if rule["health"] != "ok"]
    records = {rule["name"] for rule in rules if rule["type"] == "recording"}
    card.equal("1.rules_in_trouble", broken, "rules", [])
    card.equal("1.records_without_data", sorted(name for name in records if not run.prometheus.ask(f"last_over_time({name}[10m])")), "rules", [])


def alerts(card, runs, more, trouble, receiver):
    known = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    # After its end every run is without a target: that is no alarm of the run.
    fired = {run.name: run.prometheus.fired() - {"HeadroomAbsent"} for run in [*runs, *more]}
    fired["troubled"] = trouble.fired()
    card.sample("fired", {name: sorted(alerts) for name, alerts in fired.items()})
    anywhere = set().union(*fired.values())
    card.equal("1.never_fired", sorted(known - anywhere - set(UNFIRED)), "alerts", [])
    card.equal("1.fired_in_calm", sorted(fired["calm"]), "alerts", [])
    for name in sorted(set(UNFIRED) - anywhere):
        card.skipped(f"1.fires.{name}", f"{UNFIRED[name]}: promtool's test alone")
    told = [alert for message in receiver.taken for alert in message["alerts"]]
    right = [alert for alert in told if alert["labels"]["alertname"].startswith("Headroom") and "/docs/runbooks/" in alert["annotations"]["runbook_url"]]
    card.at_least("1.alerts_received", len(right), "alerts", 1)


def journal_to_metrics(card, run):
    """Item 2: between the journal's entry that names the bottleneck and the first scrape that has it. Scrapes are a second apart."""
    found = None
    for line in (run.directory / "journal.jsonl").read_text().splitlines():
        if '"saturated"' in line and '"found"' in line:
            found = json.loads(line)["at"] / 1e9
            break
    series = run.prometheus.ask('min_over_time(timestamp(headroom_bottleneck{verdict="saturated"})[10m:1s])', time=run.ended)
    seen = min((float(one["value"][1]) for one in series), default=None)
    if found is None or seen is None:
        card.failed("2.found_to_scraped", f"found {found}, scraped {seen}")
    else:
        card.at_most("2.found_to_scraped", seen - found, "s", 2)


def item_3(card):
    run_tests(card, "3.tests", "dashboards::")


def keep_pictures(program, run, service):
    """What is looked at while it lasts is drawn as of then."""
    for name in ("headroom-bottleneck", "headroom-service"):
        draw(program, run.directory, run.prometheus, run.began, run.began + IN_THE_BURST_S, service, "--only", name)
    PREVIEWS.mkdir(exist_ok=True)
    for path in run.directory.glob("headroom-*"):
        if path.suffix in (".png", ".txt", ".json"):
            shutil.copy(path, PREVIEWS)


# Kinds of `headroom draw` that are felt, and how long after the beginning of the fault a person looks.
INCIDENTS = ["saturated", "slow_dependency", "bad_instance", "regression", "failing", "amplification"]
LOOK_S = 60


def item_6(card, seed):
    """Six incidents, each as the pictures of two dashboards at the moment when somebody is called; the truth lies apart."""
    from systems import ONSET_S, draw as drawn_system

    program = built()
    chance = random.Random(seed)
    kinds = INCIDENTS[:]
    chance.shuffle(kinds)
    folder = OUT / "incidents"
    shutil.rmtree(folder, ignore_errors=True)
    truth = {}
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as directory:
        runs = []
        for number, kind in enumerate(kinds, 1):
            system = drawn_system(kind, chance.randrange(1_000_000))
            path = write(pathlib.Path(directory) / f"{number}.yaml", json.dumps(system))
            run = Run(f"incident-{number}", path, ONSET_S + LOOK_S + 20, directory=pathlib.Path(directory) / f"{number}")
            stack.callback(run.end)
            runs.append(run)
            truth[number] = {"kind": kind, "truth": system["truth"], "faults": system["faults"]}
        for number, run in enumerate(runs, 1):
            looked = run.began + ONSET_S + LOOK_S - 10
            time.sleep(max(0, looked - time.time()))
            draw(program, folder / f"{number}", run.prometheus, run.began, looked, ".*", "--only", "headroom-bottleneck")
            (folder / f"{number}" / "headroom-bottleneck.answers.json").unlink()
            (folder / f"{number}" / "headroom-bottleneck.layout.txt").unlink()
    write(OUT / "incidents-truth.json", json.dumps(truth, indent=1) + "\n")
    card.figure("6.pictures", len(list(folder.glob("*/*.png"))), "pictures", f"read them; the truth is in {OUT / 'incidents-truth.json'}", True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", type=int, choices=range(1, 7), default=range(1, 7))
    parser.add_argument("--seed", type=int, default=1, help="of the six incidents")
    parser.add_argument("--rounds", type=int, default=5, help="of item 5")
    parser.add_argument("--pictures", action="store_true")
    args = parser.parse_args()
    card = Scorecard("see")
    if args.pictures:
        return item_1(card, pictures_only=True)
    if 1 in args.only:
        item_1(card)
    if 2 in args.only:
        scrapes.item_2(card)
    if 3 in args.only:
        item_3(card)
    if 4 in args.only:
        notices.item_4(card)
    if 5 in args.only:
        scrapes.item_5(card, args.rounds)
    if 6 in args.only:
        item_6(card, args.seed)
    return card.finish()


if __name__ == "__main__":
    sys.exit(main())
