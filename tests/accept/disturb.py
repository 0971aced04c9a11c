"""Disturbances: what real telemetry does to a clean stream of spans, one respect at a time.

Each takes the requests of a file (one OTLP JSON request a line, in order of arrival) and changes them in place. The number and
the order of spans stay, so that the journal of the clean run still says when each came: the place of a span that is lost is
taken by a repetition of another of its request, which is dropped as such.

    disturb.py NAME FROM TO         writes the changed file; without arguments the names

To add one: a function with the decorator. What is right after it is said by `Expect`.
"""

import dataclasses
import json
import sys

SERVER, CLIENT = 2, 3


@dataclasses.dataclass(frozen=True)
class Expect:
    """What is right to find in a stream so disturbed."""

    # The service and the verdict of the clean stream, and its orders: otherwise no wrong action is enough.
    same: bool = True
    # A verdict `partial` or `blind` before the onset, where nothing is wrong yet.
    partial: bool = False
    # What `headroom doctor` names first.
    doctor: str | None = None


DISTURBANCES = {}

# Whether a lost span's place is kept, for a journal that counts spans; a file alone is better off without it.
PLACES_KEPT = True


def disturbance(**expected):
    def register(change):
        DISTURBANCES[change.__name__] = (change, Expect(**expected))
        return change

    return register


def spans(requests):
    """Each span with the attributes of its resource."""
    for request in requests:
        for resource in request["resourceSpans"]:
            pairs = resource["resource"].get("attributes", [])
            attributes = {pair["key"]: next(iter(pair["value"].values())) for pair in pairs}
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    yield attributes, span


def chance(text, salt=""):
    """A number from 0 to 1 of an id, the same every time."""
    value = 14695981039346656037
    for byte in (text + salt).encode():
        value = (value ^ byte) * 1099511628211 % 2**64
    return (value ^ value >> 29) * 0xBF58476D1CE4E5B9 % 2**64 / 2**64


def is_root(span):
    return not span.get("parentSpanId")


def shift(span, seconds):
    for end in ("startTimeUnixNano", "endTimeUnixNano"):
        span[end] = str(int(span[end]) + int(seconds * 1e9))


def lose(requests, is_lost):
    """Takes spans out: in their places stands the last one before that was kept."""
    for request in requests:
        for resource in request["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                if not PLACES_KEPT:
                    scope["spans"] = [span for span in scope["spans"] if not is_lost(span)]
                    continue
                kept = next((span for span in scope["spans"] if not is_lost(span)), None)
                for place, span in enumerate(scope["spans"]):
                    if not is_lost(span):
                        kept = span
                    elif kept is not None:
                        scope["spans"][place] = dict(kept)
                    else:
                        # None of the request is kept: a span that tells nothing of anybody.
                        scope["spans"][place] = dict(span, traceId="f" * 31 + "1", spanId="f" * 15 + "1", kind=1)


def entry_service(requests):
    return next(attributes["service.name"] for attributes, span in spans(requests) if is_root(span))


def busiest_callee(requests):
    """The service behind the entry that takes most requests."""
    entry, counts = entry_service(requests), {}
    for attributes, span in spans(requests):
        if span.get("kind") == SERVER and attributes["service.name"] != entry:
            counts[attributes["service.name"]] = counts.get(attributes["service.name"], 0) + 1
    return max(sorted(counts), key=counts.get)


@disturbance()
def clean(requests):
    """As it was sent."""


@disturbance(doctor="silent_caller")
def gateway(requests):
    """Somebody who sends no spans starts the traces."""
    for _, span in spans(requests):
        if is_root(span):
            span["parentSpanId"] = "ee" + span["spanId"][2:]


@disturbance(doctor="silent_caller")
def gateway_of_a_part(requests):
    """The same of four traces in ten."""
    for _, span in spans(requests):
        if is_root(span) and chance(span["traceId"]) < 0.4:
            span["parentSpanId"] = "ee" + span["spanId"][2:]


@disturbance(doctor="silent_caller")
def root_dropped(requests):
    """The root itself never comes; the calls that it made do."""
    lose(requests, is_root)


def clock_of_root(seconds):
    def change(requests):
        service = entry_service(requests)
        for attributes, span in spans(requests):
            if attributes["service.name"] == service:
                shift(span, seconds(span) if callable(seconds) else seconds)

    return change


def phones(span):
    """Most phones are right; some are off by minutes, hours or days."""
    kind, much = chance(span["traceId"], "kind"), chance(span["traceId"], "much")
    if kind < 0.6:
        return 0.6 * much - 0.3
    return [120 * much - 60, -120 - 259_080 * much, 700 + 85_700 * much][int((kind - 0.6) / 0.4 * 3)]


for name, seconds in [
    ("root_10_s_behind", -10),
    ("root_30_s_ahead", 30),
    ("root_120_s_ahead", 120),
    ("root_1_h_behind", -3_600),
    ("root_1_d_ahead", 86_400),
    ("root_phones", phones),
]:
    change = clock_of_root(seconds)
    change.__name__, change.__doc__ = name, f"The root's times are off: {name}."
    disturbance()(change)


def clock_of_service(seconds):
    def change(requests):
        service = busiest_callee(requests)
        for attributes, span in spans(requests):
            if attributes["service.name"] == service:
                shift(span, seconds)

    return change


for name, seconds, kind in [
    ("server_5_s_behind", -5, "clock_corrected"),
    ("server_5_s_ahead", 5, "clock_corrected"),
    ("server_10_min_behind", -590, "clock_corrected"),
    ("server_1_h_ahead", 3_600, "clock_far_off"),
]:
    change = clock_of_service(seconds)
    change.__name__, change.__doc__ = name, f"The clock of a service is off: {name}."
    disturbance(doctor=kind)(change)


def lost(share):
    def change(requests):
        lose(requests, lambda span: chance(span["traceId"], span["spanId"]) < share)

    return change


for name, share, expected in [
    ("lost_2_percent", 0.02, {}),
    ("lost_20_percent", 0.2, {"same": False, "partial": True, "doctor": "spans_lost"}),
    ("lost_50_percent", 0.5, {"same": False, "partial": True}),
    ("lost_80_percent", 0.8, {"same": False, "partial": True}),
]:
    change = lost(share)
    change.__name__, change.__doc__ = name, f"{share:.0%} of spans are lost at random."
    disturbance(**expected)(change)


@disturbance(same=False, partial=True)
def tail_sampled(requests):
    """Kept are traces slower than 250 ms or in error, and one in fifty of the others."""
    kept = set()
    for _, span in spans(requests):
        slow = int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) > 250_000_000
        failed = span.get("status", {}).get("code") == 2
        if slow or failed or chance(span["traceId"]) < 0.02:
            kept.add(span["traceId"])
    lose(requests, lambda span: span["traceId"] not in kept)


@disturbance(same=False, partial=True, doctor="tail_sampled")
def tail_sampled_and_said(requests):
    """The same by a Collector that writes its policy to each instrumentation scope (`recordpolicy`)."""
    tail_sampled(requests)
    for request in requests:
        for resource in request["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                policy = {"key": "tailsampling.policy", "value": {"stringValue": "slow-or-failed"}}
                scope.setdefault("scope", {}).setdefault("attributes", []).append(policy)


@disturbance(same=False)
def sampled_at_the_head(requests):
    """One trace in four, and each says so."""
    for _, span in spans(requests):
        span["traceState"] = "ot=th:c"
    lose(requests, lambda span: int(span["traceId"][-14:], 16) < 0xC0000000000000)


@disturbance(same=False, partial=True)
def service_not_instrumented(requests):
    """One service passes its context on and sends no span."""
    service = busiest_callee(requests)
    silent = {span["spanId"] for attributes, span in spans(requests) if attributes["service.name"] == service}
    lose(requests, lambda span: span["spanId"] in silent)


@disturbance(same=False, partial=True, doctor="wrong_unit")
def milliseconds(requests):
    """Milliseconds where nanoseconds belong."""
    for _, span in spans(requests):
        for end in ("startTimeUnixNano", "endTimeUnixNano"):
            span[end] = str(int(span[end]) // 1_000_000)


@disturbance(same=False, partial=True, doctor="wrong_unit")
def microseconds_of_one(requests):
    """Microseconds, of one service."""
    service = busiest_callee(requests)
    for attributes, span in spans(requests):
        if attributes["service.name"] == service:
            for end in ("startTimeUnixNano", "endTimeUnixNano"):
                span[end] = str(int(span[end]) // 1_000)


@disturbance(doctor="without_pod")
def no_pods(requests):
    """No resource says which pod it is."""
    for request in requests:
        for resource in request["resourceSpans"]:
            pairs = resource["resource"].get("attributes", [])
            resource["resource"]["attributes"] = [p for p in pairs if p["key"] not in ("k8s.pod.name", "service.instance.id")]


def is_call(span):
    """One with a path in its name, on either side."""
    return span.get("kind") in (CLIENT, SERVER) and " /" in span["name"]


def without_route(span):
    """Takes away what would name the operation better than the span's name."""
    span["attributes"] = [pair for pair in span.get("attributes", []) if pair["key"] not in ("http.route", "rpc.service")]


def numbered(name, text):
    return name.replace("{id}", text) if "{id}" in name else f"{name}/{text}"


@disturbance()
def ids_in_names(requests):
    """Each request and each call has a number of its own in its name."""
    for number, (_, span) in enumerate(spans(requests)):
        if is_call(span):
            without_route(span)
            span["name"] = numbered(span["name"], str(number))


@disturbance()
def words_in_names(requests):
    """Each request has a word of its own in its name, which no form gives away."""
    for _, span in spans(requests):
        if is_root(span) and is_call(span):
            without_route(span)
            digits = f"{int(chance(span['traceId'], 'word') * 1e8):08d}"
            span["name"] = numbered(span["name"], digits.translate(str.maketrans("0123456789", "abcdefghij")))


@disturbance()
def shared_ids(requests):
    """A callee's span has the id of its caller's, and that one's parent, as Zipkin's have."""
    by_id = {(span["traceId"], span["spanId"]): span for _, span in spans(requests)}
    becomes = {}
    for _, span in spans(requests):
        parent = by_id.get((span["traceId"], span.get("parentSpanId", "")))
        if span.get("kind") == SERVER and parent is not None and parent.get("kind") == CLIENT:
            becomes[span["traceId"], span["spanId"]] = parent["spanId"], parent.get("parentSpanId", "")
    for _, span in spans(requests):
        own = becomes.get((span["traceId"], span["spanId"]))
        parent = becomes.get((span["traceId"], span.get("parentSpanId", "")))
        if parent:
            span["parentSpanId"] = parent[0]
        if own:
            span["spanId"], span["parentSpanId"] = own


@disturbance(same=False, doctor="unnamed_service")
def unnamed(requests):
    """One service has no name but its SDK's, and nobody says which workload it is."""
    name = busiest_callee(requests)
    for request in requests:
        for resource in request["resourceSpans"]:
            pairs = resource["resource"].get("attributes", [])
            own = next((pair for pair in pairs if pair["key"] == "service.name"), None)
            if own and own["value"].get("stringValue") == name:
                own["value"]["stringValue"] = "unknown_service:java"
                pairs[:] = [pair for pair in pairs if pair["key"] != "k8s.deployment.name"]


def read(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines if line.strip()]


def write(path, requests):
    with open(path, "w") as file:
        for request in requests:
            file.write(json.dumps(request, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("\n".join(DISTURBANCES))
    changed = read(sys.argv[2])
    DISTURBANCES[sys.argv[1]][0](changed)
    write(sys.argv[3], changed)
