//! The parameters of a comparison of two stretches of time, which `headroom score --fit` can choose.

/// Times are compared as logarithms, so 0.1 is 10 %.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Parameters {
    /// Durations count from this share of the baseline's median trace: what takes less holds nobody back.
    pub floor_share: f64,
    /// Least typical spread (log) within one key: guards against a baseline too clean to be true.
    pub spread: f64,
    /// Least drift (log) between two healthy periods; the case's own drift is used when it is larger.
    pub drift: f64,
    /// Typical effect of a fault (log; 2 is about x7). Its tail is heavy, so x2 and x1000 stay possible.
    pub effect: f64,
    /// A key's own variance counts as its number of calls, the typical variance of all keys as this many: the variance
    /// of few calls is worth little.
    pub spread_calls: f64,
    /// Share of one caller's operations towards one callee that feel the fault of either.
    pub share_of_pair: f64,
    /// Share of a faulty service's callers that feel it.
    pub share_of_callers: f64,
    /// Share of a starved service's callees towards which it is slow: some calls are too rare to show it.
    pub share_of_callees: f64,
    /// Chance that a fault which shows in calls sits in the caller: a caller is starved or cut off towards everybody,
    /// which is rarer than a callee that is slow or gone.
    pub starved: f64,
    /// Log odds that what one edge alone shows is the callee's doing: as above, seen from the edge.
    pub callee_first: f64,
    /// Chance that spans of a healthy service go missing on their way: agents and collectors restart.
    pub lost_telemetry: f64,
    /// The same of one that is cut off: its calls fail towards everyone.
    pub share_of_cut_off: f64,
    /// Share of a faulty service's own operations that feel it: a fault may sit in one path of its code.
    pub share_of_operations: f64,
    /// Chance that a healthy operation simply changes which calls it makes (another mix of requests).
    pub other_mix: f64,
    /// Chance that errors begin in a healthy service: another mix does not make them, so ten times less.
    pub stray_errors: f64,
    /// Least drift (log odds) of how often an optional call is made in healthy time.
    pub mix_drift: f64,
    /// Chance that a caller of the culprit shows a symptom of its own (a queue, an exhausted pool).
    pub knock_on: f64,
    /// The same of errors, of calls that are no longer made after one failed, and of calls that are made again.
    pub pass_on: f64,
    /// Chance that a caller is slow itself since its calls fail: they end sooner, not later.
    pub slow_by_failure: f64,
    /// Chance that errors seem to begin at a caller since its calls fail: its failing calls are seen, and tell that they do not.
    pub errors_by_failure: f64,
    /// The same where spans are lost, and failing calls with them.
    pub errors_by_lost_failure: f64,
    /// Chance that calls of a slow or failing service are cut short: who gives it up, gives up what it calls.
    pub cut_short: f64,
    /// Callers' symptoms are credited to a callee once its own evidence passes ln(services), because one of so many
    /// services looks odd by chance, plus this (another factor e).
    pub knock_on_bar: f64,
    /// How soon below that bar nothing is credited any more, in powers of what is missing. A callee without evidence of its own
    /// would else explain all that its callers show, and be named for their faults.
    pub knock_on_slope: f64,
    /// Evidence is tempered twice by a square root, because keys of one service are not independent; this undoes it on
    /// the way to a probability. Chosen with `prior` by the log loss of drawn recordings (seeds 2001 to 2026), where
    /// healthy time keeps suspects low; `headroom score --drawn N --calibrate` fits both to other recordings.
    pub sharpness: f64,
    /// Log odds that spans shown to us hold a visible fault at all; drawn recordings, which all hold one, would have more.
    /// Larger, healthy time has suspects above 0.05.
    pub prior: f64,
    /// Log odds for the likeliest suspect beyond this are told by their logarithm: what speaks for it is not independent, and
    /// the fault may be of a kind that nothing here knows, so that more of the same adds ever less (P. Domingos and
    /// M. Pazzani, 1997, on naive Bayes). Chosen on seeds 240001 to 240140. Without it, one of forty cases told at 0.9999
    /// is wrong.
    pub knee: f64,
}

impl Default for Parameters {
    fn default() -> Parameters {
        Parameters {
            floor_share: 0.01,
            spread: 0.3,
            drift: 0.1,
            effect: 2.0,
            spread_calls: 4.0,
            share_of_pair: 0.8,
            share_of_callers: 0.8,
            share_of_callees: 0.7,
            share_of_cut_off: 0.95,
            starved: 0.3,
            callee_first: 0.7,
            lost_telemetry: 0.1,
            share_of_operations: 0.3,
            other_mix: 0.003,
            stray_errors: 0.0003,
            mix_drift: 0.3,
            knock_on: 0.3,
            pass_on: 0.6,
            slow_by_failure: 0.02,
            errors_by_failure: 0.02,
            errors_by_lost_failure: 0.6,
            cut_short: 0.3,
            knock_on_bar: 1.0,
            knock_on_slope: 4.0,
            sharpness: 3.0,
            prior: -0.5,
            knee: 3.0,
        }
    }
}
