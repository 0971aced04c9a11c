//! The queries of a tick: the shipped texts, what each answers, and what an operator's own text must keep to.

/// One query of a tick.
#[derive(Debug)]
pub struct Query {
    /// An operator's own text lies in a file of this name with `.sql`.
    pub name: &'static str,
    /// In a line.
    pub answers: &'static str,
    pub text: &'static str,
    /// What the ORDER BY begins with. These columns tell one row from another, and the analysis reads rows in this order.
    pub order: &'static [Order],
    /// Columns of the answer and their meaning; names and types are those of the shipped text.
    pub columns: &'static [(&'static str, &'static str)],
}

/// A column of an ORDER BY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Up(&'static str),
    Down(&'static str),
}

impl Order {
    pub const fn column(self) -> &'static str {
        match self {
            Order::Up(column) | Order::Down(column) => column,
        }
    }

    /// As SQL has it.
    pub fn sql(self) -> String {
        match self {
            Order::Up(column) => column.to_owned(),
            Order::Down(column) => format!("{column} DESC"),
        }
    }
}

use Order::{Down, Up};

/// In the order in which a tick asks them.
pub const SHIPPED: [Query; 7] = [
    Query {
        name: "entries",
        answers: "how each endpoint did over the fast window: a histogram of durations, and how many requests missed",
        text: include_str!("../queries/entries.sql"),
        order: &[Up("entry"), Up("bucket")],
        columns: &[
            ("entry", "the endpoint: `service operation` of the root span"),
            ("bucket", "histogram bucket of the duration"),
            ("requests", "requests"),
            ("slow", "requests slower than the objective"),
            ("errors", "requests in error"),
            ("missed", "requests slow or in error"),
            ("at_risk", "requests not missed, but slower than half the objective"),
            ("duration_ns", "sum of durations"),
            ("adjusted_milli", "thousandths of the requests that these stand for (sampling)"),
        ],
    },
    Query {
        name: "blame",
        answers: "where missed requests spent more time than healthy ones, largest excess first",
        text: include_str!("../queries/blame.sql"),
        order: &[Up("entry"), Down("blame_ns"), Up("service"), Up("operation"), Up("peer"), Up("kind")],
        columns: &[
            ("entry", "the endpoint"),
            ("service", "the service whose time it is"),
            ("operation", "its operation"),
            ("peer", "the callee without spans for kind `peer`, else empty"),
            ("kind", "`own`, `queue`, `peer`, `error`, `refused` or `gave_up`"),
            ("blame_ns", "critical-path time above the baseline"),
            ("exclusive_ns", "critical-path time"),
            ("traces", "requests that the time is summed over"),
        ],
    },
    Query {
        name: "services",
        answers: "each service, second by second, over the slow window",
        text: include_str!("../queries/services.sql"),
        order: &[Up("service"), Up("second")],
        columns: &[
            ("service", "the service"),
            ("second", "second of event time"),
            ("requests", "requests taken and answered"),
            ("errors", "of these in error"),
            ("refused", "requests turned away at once"),
            ("gave_up", "calls that ended without an answer"),
            ("hold_ns", "time from taken to answered"),
            ("own_ns", "of that, self time"),
            ("wait_ns", "network and queue time of calls to it"),
            ("sojourn_ns", "hold and wait, of requests and calls given up"),
            ("adjusted_milli", "thousandths of the requests that these stand for"),
            ("compared_own_ns", "self time of requests whose operation is known from healthy time"),
            ("expected_own_ns", "self time that healthy requests of the same operations take"),
            ("expected_callees_ns", "and what their callees take"),
            ("compared", "requests whose operation is known from healthy time"),
            ("own_log", "their self time over what is expected, as a logarithm in sixteenths of an octave"),
            ("own_log_squares", "the squares of that"),
        ],
    },
    Query {
        name: "pods",
        answers: "each pod over the fast window",
        text: include_str!("../queries/pods.sql"),
        order: &[Up("service"), Up("pod"), Up("version")],
        columns: &[
            ("service", "the service"),
            ("pod", "the pod, never empty"),
            ("version", "its `service.version`"),
            ("requests", "requests taken and answered"),
            ("errors", "of these in error"),
            ("refused", "requests turned away at once"),
            ("gave_up", "calls that ended without an answer"),
            ("hold_ns", "time from taken to answered"),
            ("own_ns", "of that, self time"),
            ("wait_ns", "network and queue time of calls to it"),
            ("sojourn_ns", "hold and wait, of requests and calls given up"),
            ("adjusted_milli", "thousandths of the requests that these stand for"),
            ("compared_own_ns", "self time of requests whose operation is known from healthy time"),
            ("expected_own_ns", "self time that healthy requests of the same operations take"),
            ("expected_callees_ns", "and what their callees take"),
            ("compared", "requests whose operation is known from healthy time"),
            ("own_log", "their self time over what is expected, as a logarithm in sixteenths of an octave"),
            ("own_log_squares", "the squares of that"),
        ],
    },
    Query {
        name: "durations",
        answers: "a histogram of each service's request durations, waiting included, over the fast window",
        text: include_str!("../queries/durations.sql"),
        order: &[Up("service"), Up("bucket")],
        columns: &[
            ("service", "the service"),
            ("bucket", "histogram bucket of the duration"),
            ("requests", "requests"),
        ],
    },
    Query {
        name: "edges",
        answers: "which service calls which over the fast window",
        text: include_str!("../queries/edges.sql"),
        order: &[Up("caller"), Up("version"), Up("operation"), Up("callee"), Up("answered")],
        columns: &[
            ("caller", "the calling service"),
            ("version", "the caller's version"),
            ("operation", "the caller's operation that made the call"),
            ("callee", "the called service, or the peer without spans"),
            ("answered", "whether the callee sends spans"),
            ("calls", "calls"),
            ("errors", "of these in error"),
            ("caller_ns", "time as the caller saw it"),
            ("callee_ns", "time as the callee saw it"),
            ("gap_ns", "the difference: network and queue"),
            ("expected_milli", "thousandths of the calls that as many healthy requests make"),
        ],
    },
    Query {
        name: "crossings",
        answers: "what the requests of each endpoint ask of each service over the fast window",
        text: include_str!("../queries/crossings.sql"),
        order: &[Up("service"), Up("entry")],
        columns: &[
            ("service", "the service"),
            ("entry", "the endpoint"),
            ("calls", "requests that the service took for it"),
            ("work_ns", "what those hold a worker for in healthy time"),
        ],
    },
];

/// The query of this name.
pub fn query(name: &str) -> Option<&'static Query> {
    static ALL: [Query; 7] = SHIPPED;
    ALL.iter().find(|query| query.name == name)
}

/// `entries, blame, …`.
pub fn names() -> String {
    SHIPPED.iter().map(|query| query.name).collect::<Vec<_>>().join(", ")
}
