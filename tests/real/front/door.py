"""A real Envoy in front of the school, and a real `headroom serve` that it asks; or, in place of headroom's answer, one of Envoy's
own filters. All on loopback, all stopped by `Door.close`.

Envoy's configuration is deploy/gateway/envoy.yaml as it is shipped, with what it leaves open: traces, and the routes by name.
"""

import contextlib
import json
import math
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

from rush import KINDS, OBJECTIVE_S

ROOT = pathlib.Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "deploy" / "gateway" / "envoy.yaml"
STARTS_S, ENDS_S = 30, 12
# Entry operations as traces name them: the ingress, and the route's decorator.
ENTRIES = {
    "submit": "ingress POST /exam/{id}/submit",
    "page": "ingress GET /course/{id}/page",
    "video": "ingress GET /video/{id}",
}
ROUTES = {"submit": "/exam/[^/]+/submit", "page": "/course/[^/]+/page", "video": "/video/[^/]+"}
# The service that saturates.
BOTTLENECK = "store"


class Failed(Exception):
    pass


def programs():
    """Python with the OpenTelemetry SDK, and Envoy, as tests/real/setup.sh left word."""
    cache = pathlib.Path(os.environ.get("HEADROOM_CACHE", pathlib.Path.home() / ".cache" / "headroom")) / "real"
    lines = (cache / "env").read_text().splitlines() if (cache / "env").exists() else []
    said = dict(line.split("=", 1) for line in lines)
    missing = [part for part in ("HEADROOM_PYTHON", "HEADROOM_ENVOY") if not os.access(said.get(part, ""), os.X_OK)]
    if missing:
        raise Failed(f"{' and '.join(missing)} not in {cache}: run tests/real/setup.sh")
    return said["HEADROOM_PYTHON"], said["HEADROOM_ENVOY"]


def free_ports(count):
    """Held until all are known, so that none is given twice."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def get(url, timeout=2):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=timeout) as answer:
        return answer.read().decode()


# --- Envoy's configuration ----------------------------------------------------------------------------

TRACES = """                codec_type: AUTO
                tracing:
                  spawn_upstream_span: true
                  random_sampling: { value: 100 }
                  provider:
                    name: envoy.tracers.opentelemetry
                    typed_config:
                      "@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                      service_name: ingress
                      grpc_service: { envoy_grpc: { cluster_name: traces }, timeout: 5s }
                      resource_detectors:
                        - name: envoy.tracers.opentelemetry.resource_detectors.static_config
                          typed_config:
                            "@type": type.googleapis.com/envoy.extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig
                            attributes: { service.instance.id: ingress-0 }
"""
# By default spans leave after 5 s; headroom shall see them within a second.
FLUSH = """layered_runtime:
  layers:
    - name: static
      static_layer:
        tracing.opentelemetry.flush_interval_ms: 500
        tracing.opentelemetry.min_flush_spans: 50

"""
TRACES_CLUSTER = """    - name: traces
      type: STATIC
      connect_timeout: 1s
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: { http2_protocol_options: {} }
      load_assignment:
        cluster_name: traces
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: @OTLP_PORT@ } } }
"""
ROUTE_SHIPPED = """                        - match: { prefix: "/" }
                          route: { cluster: backend, timeout: 15s }
"""
FILTER, ROUTER = ("                  - name: envoy.filters.http.%s\n" % name for name in ("ratelimit", "router"))


def local_limit(per_s):
    """Envoy's token bucket: so many a second, and at most a tenth of a second's worth at once. It fills no more often than every 50 ms."""
    fill = math.ceil(per_s * 0.05)
    bucket = {
        "max_tokens": max(fill, round(per_s / 10)), "tokens_per_fill": fill, "fill_interval": f"{fill / per_s:.4f}s",
    }
    whole = {"numerator": 100, "denominator": "HUNDRED"}
    return {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "local",
        "token_bucket": bucket,
        "filter_enabled": {"runtime_key": "local.enabled", "default_value": whole},
        "filter_enforced": {"runtime_key": "local.enforced", "default_value": whole},
    }


def named(name, typed_config):
    # JSON is YAML.
    return f"                  - {json.dumps({'name': f'envoy.filters.http.{name}', 'typed_config': typed_config})}\n"


def nothing():
    return ""


def admission_control():
    """As Envoy's documentation has it, with a window that sees a rush of a minute."""
    number = lambda key, value: {"default_value": {"value": value}, "runtime_key": f"admission.{key}"}
    return named("admission_control", {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.admission_control.v3.AdmissionControl",
        "enabled": {"default_value": True, "runtime_key": "admission.enabled"},
        "sampling_window": "5s",
        "sr_threshold": number("sr_threshold", 95),
        "aggression": {"default_value": 1.5, "runtime_key": "admission.aggression"},
        "max_rejection_probability": number("max_rejection_probability", 80),
        "success_criteria": {"http_criteria": {"http_success_status": [{"start": 100, "end": 500}]}},
    })


def adaptive_concurrency():
    """As Envoy's documentation has it."""
    return named("adaptive_concurrency", {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency",
        "gradient_controller_config": {
            "sample_aggregate_percentile": {"value": 90},
            "concurrency_limit_params": {"concurrency_update_interval": "0.1s"},
            "min_rtt_calc_params": {"jitter": {"value": 10}, "interval": "60s", "request_count": 50},
        },
        "enabled": {"default_value": True, "runtime_key": "adaptive.enabled"},
    })


def local_rate_limit(per_s):
    return named("local_ratelimit", local_limit(per_s))


def local_rate_limit_by_route():
    """The filter that routes give their limits to."""
    typed = local_limit(1)
    return named("local_ratelimit", {"@type": typed["@type"], "stat_prefix": "local"})


def replaced(text, old, new):
    if text.count(old) != 1:
        raise Failed(f"{SHIPPED} has changed: {old.strip().splitlines()[0]!r} is there {text.count(old)} times")
    return text.replace(old, new)


def configuration(ports, filter_in_place=None, route_limits=None):
    """`filter_in_place` stands where headroom is asked; `route_limits` are local rate limits by kind."""
    text = SHIPPED.read_text()
    text = replaced(text, "static_resources:\n", FLUSH + "static_resources:\n")
    text = replaced(text, "                stat_prefix: ingress\n", "                stat_prefix: ingress\n" + TRACES)
    routes = ""
    for kind, regex in ROUTES.items():
        operation = ENTRIES[kind].split(" ", 1)[1]
        route = {
            "match": {"safe_regex": {"regex": regex}},
            "decorator": {"operation": operation, "propagate": False},
            "route": {"cluster": "backend", "timeout": "15s"},
        }
        if per_s := (route_limits or {}).get(kind):
            route["typed_per_filter_config"] = {"envoy.filters.http.local_ratelimit": local_limit(per_s)}
        routes += f"                        - {json.dumps(route)}\n"
    text = replaced(text, ROUTE_SHIPPED, routes)
    if filter_in_place is not None:
        begin, end = text.index(FILTER), text.index(ROUTER)
        text = text[:begin] + filter_in_place + text[end:]
    text += TRACES_CLUSTER
    for name, port in ports.items():
        text = text.replace(f"@{name}@", str(port))
    return text


# --- processes ----------------------------------------------------------------------------------------


def with_parent():
    """It ends when its starter is gone, however that died (Linux)."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Process:
    """A program, with its messages in a file, in a session of its own: Ctrl-C reaches its starter alone."""

    def __init__(self, name, command, directory, env=None):
        self.name, self.log = name, pathlib.Path(directory) / f"{name}.log"
        with open(self.log, "w") as log:
            self.child = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory,
                start_new_session=True, preexec_fn=with_parent, env={**os.environ, **(env or {})},
            )

    def last_words(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-5:]) or "no message"

    def ready(self, url, within=STARTS_S):
        until = time.monotonic() + within
        while time.monotonic() < until and self.child.poll() is None:
            with contextlib.suppress(OSError):
                get(url)
                return self
            time.sleep(0.1)
        raise Failed(f"{self.name} does not answer at {url}: {self.last_words()}")

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
        try:
            self.child.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def cpu_s(self):
        """Seconds of CPU time so far."""
        fields = pathlib.Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Door:
    """The school, headroom, and an Envoy in front; `open` says what the Envoy does."""

    def __init__(self, headroom, mode="enforce"):
        self.python, self.envoy_program = programs()
        self.room = tempfile.TemporaryDirectory(prefix="headroom-front-")
        self.running, self.envoy = [], None
        ports = free_ports(10)
        self.port, self.admin, self.grpc, self.http, self.api_port, self.gateway = ports[:6]
        services = dict(zip(("portal", "exam", "media", "store"), ports[6:]))
        self.portal = services["portal"]
        try:
            (pathlib.Path(self.room.name) / "headroom.yaml").write_text(self.settings(mode))
            self.headroom = self.start("headroom", [headroom, "serve", "--config", "headroom.yaml"])
            self.headroom.ready(f"http://127.0.0.1:{self.api_port}/metrics")
            options = [option for name, port in services.items() for option in (f"--{name}-port", port)]
            script = pathlib.Path(__file__).with_name("school.py")
            school = self.start("school", [self.python, script, *options, "--endpoint", f"127.0.0.1:{self.http}"])
            for port in services.values():
                school.ready(f"http://127.0.0.1:{port}/healthz")
        except BaseException:
            self.close()
            raise

    def settings(self, mode):
        priorities = "\n".join(
            f'    - {{entry: "{entry}", priority: {KINDS[kind][3]}}}' for kind, entry in ENTRIES.items()
        )
        return f"""mode: {mode}
receive: {{grpc: "127.0.0.1:{self.grpc}", http: "127.0.0.1:{self.http}"}}
api: {{listen: "127.0.0.1:{self.api_port}"}}
journal: {{path: journal.jsonl}}
default_objective: {{latency: {OBJECTIVE_S * 1e3:.0f}ms, quantile: 0.95, errors: 2%}}
gateway:
  listen: 127.0.0.1:{self.gateway}
  priorities:
{priorities}
cluster:
  fixed:
    services: [{{service: {BOTTLENECK}, instances: {BOTTLENECK}-0}}]
"""

    def start(self, name, command):
        process = Process(name, command, self.room.name)
        self.running.append(process)
        return process

    def open(self, filter_in_place=None, route_limits=None, patience=None):
        """Starts the Envoy anew: asking headroom, or with a filter of its own in that place. `patience`: how long an answer is
        waited for, on a machine that may stall for longer than the shipped 50 ms."""
        self.shut()
        ports = {
            "PORT": self.port, "ADMIN_PORT": self.admin, "BACKEND_PORT": self.portal, "HEADROOM_PORT": self.gateway,
            "OTLP_PORT": self.grpc,
        }
        text = configuration(ports, filter_in_place, route_limits)
        if patience:
            text = replaced(text, "timeout: 0.05s", f"timeout: {patience}")
        command = [self.envoy_program, "--config-yaml", text, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"]
        self.envoy = Process("envoy", command, self.room.name)
        self.envoy.ready(f"http://127.0.0.1:{self.admin}/ready")

    def shut(self):
        if self.envoy:
            self.envoy.stop()
            self.envoy = None

    def close(self):
        """Senders before what they send to."""
        self.shut()
        for process in reversed(self.running):
            process.stop()
        self.running.clear()
        self.room.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- what headroom says

    def api(self, path):
        return json.loads(get(f"http://127.0.0.1:{self.api_port}/api/v1/{path}", timeout=5))

    def verdict(self):
        """On the worst bottleneck: verdict and service, or `healthy`."""
        worst = self.api("bottleneck")["bottleneck"]
        return " ".join(filter(None, (worst.get("verdict"), worst.get("service"))))

    def is_limited(self):
        return bool(self.api("interventions")["interventions"])

    def load(self):
        """What headroom believes of the bottleneck: what is offered, what it can do, how long its queue is; or {}."""
        loads = self.api("findings")["findings"].get("loads", [])
        return next((load for load in loads if load["service"] == BOTTLENECK), {})

    def has_baseline(self):
        body = json.dumps({"query": "select count(*) as n from baseline_paths"}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.api_port}/api/v1/sql", data=body, headers={"content-type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return json.loads(answer.read())["rows"][0]["n"] > 0

    def let_in_unasked(self):
        """Requests that Envoy let in because headroom did not answer in time."""
        for line in get(f"http://127.0.0.1:{self.admin}/stats?filter=ratelimit").splitlines():
            if "failure_mode_allowed" in line:
                return int(line.rpartition(":")[2])
        return 0
