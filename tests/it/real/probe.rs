//! Asking the programs over HTTP, and waiting for what they will say.

use std::sync::LazyLock;
use std::time::Duration;

use headroom::clock::{Clock, Stopwatch};
use reqwest::{Client, Method};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// Between two questions: a tenth of what is measured with it.
const POLL: Duration = Duration::from_millis(50);

static CLIENT: LazyLock<(Runtime, Client)> = LazyLock::new(|| {
    // Programs end and start again at the same address: a connection kept from before would be a wrong answer.
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(Duration::from_secs(10));
    (Builder::new_current_thread().enable_all().build().unwrap(), client.build().unwrap())
});

/// The body of a 200; None for any other answer, or none.
pub fn ask(method: Method, url: &str, body: Option<&Value>) -> Option<String> {
    let (runtime, client) = &*CLIENT;
    runtime.block_on(async {
        let mut request = client.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        if response.status() == 200 { response.text().await.ok() } else { None }
    })
}

pub fn get(url: &str) -> Option<String> {
    ask(Method::GET, url, None)
}

pub fn get_json(url: &str) -> Option<Value> {
    serde_json::from_str(&get(url)?).ok()
}

/// The sum of a series over its labels, on a page of Prometheus' text format.
pub fn series(page: &str, name: &str) -> u64 {
    let values = page.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).sum::<f64>() as u64
}

/// Asks again and again until there is an answer, and how long that took. Fails when there is none `within` a time that
/// a slow, busy machine has plenty of.
pub fn until<T>(what: &str, within: Duration, answer: impl FnMut() -> Option<T>) -> (T, Duration) {
    let stopwatch = Stopwatch::start();
    let answer = self::within(within, answer).unwrap_or_else(|| panic!("waited {within:?} in vain until {what}"));
    (answer, stopwatch.elapsed())
}

/// The answer, or None where there is none within the time.
pub fn within<T>(within: Duration, mut answer: impl FnMut() -> Option<T>) -> Option<T> {
    let stopwatch = Stopwatch::start();
    loop {
        let found = answer();
        if found.is_some() || stopwatch.elapsed() >= within {
            return found;
        }
        CLIENT.0.block_on(Clock::system().sleep(POLL));
    }
}
