//! All integration tests, in one binary because each one links DataFusion again.
//!
//! - [`architecture`]: what may import what, and what the sources may not hold
//! - [`arrivals`]: what arrives at a saturated service, estimated against the simulator's truth
//! - [`bad_input`]: what a daemon, a demo and a configuration make of what is wrong
//! - [`clock`], [`faketime`]: clocks step while headroom serves, on virtual time and in the real daemon
//! - [`cli`]: the real binary, as a person or a script runs it
//! - [`dashboards`]: dashboards and alerts against what is exported, Grafana's types and `promtool`
//! - [`demo`]: the loop closes on the embedded cluster, whatever its services are called, and over kill -9
//! - [`diagnose`]: the service at fault, in a small shop whose faults we know; `diagnose` and `score`
//! - [`endurance`]: memory over virtual hours, and faults that grow
//! - [`engine_fuzz`]: the engine under arbitrary spans, events and times
//! - [`faults`]: disks that are full or hang, a process that stands still, few descriptors, rules that are gone
//! - [`formats`]: what an older version wrote is read
//! - [`gateway`]: a real Envoy asks which requests may come in, and is answered
//! - [`history`]: minutes kept by a real daemon over a kill -9, logs imported into them, forecasts made of them
//! - [`hostile`]: small inputs that would take the daemon down, its memory, or its time
//! - [`import`]: access logs to counts, and counts to a forecast
//! - [`kubernetes`]: on a real control plane, as `tests/control-plane` starts it
//! - [`learnt`]: a restart in mid-burst knows what is normal
//! - [`orders`]: findings do not depend on the order of names or batches, or on who absorbed a trace
//! - [`queries`]: an operator's own SQL, checked, reloaded, and what becomes of the findings
//! - [`real`]: the Python SDK, Envoy and the Collector in front of a real `headroom serve`
//! - [`receive`]: real OTLP clients against real sockets
//! - [`replay`]: kept spans and a journal make the same decisions again
//! - [`report`]: a simulated course in hindsight, and who ended its outage
//! - [`rules`]: rules as an operator writes them, through to the guard
//! - [`schedule`]: calendars shown and planned, a school day in small, and a registrar that changes it
//! - [`shapes`]: traces as real senders write them: names, ids, sidecars, messages, streams, probes
//! - [`sentences`]: what is said with numbers, read as a person reads it
//! - [`shaping`]: requests are turned away at the front door, the right ones and no longer than it helps
//! - [`simulate`]: the shipped scenarios are what they claim, and the simulated cluster is deterministic
//! - [`traces`]: traces as they really are: roots that never come, clocks that are off, spans that are lost
//!
//! [`process`] starts and stops the binary for the others; [`skip`] is what a test does that lacks a program.

mod architecture;
mod arrivals;
mod bad_input;
mod cli;
mod clock;
mod dashboards;
mod demo;
mod diagnose;
mod endurance;
mod engine_fuzz;
mod faketime;
mod faults;
mod formats;
#[cfg(feature = "gateway")]
mod gateway;
mod history;
mod hostile;
mod import;
mod kubernetes;
mod learnt;
mod orders;
mod process;
mod queries;
mod real;
mod receive;
mod replay;
mod report;
mod rules;
mod schedule;
mod sentences;
mod shapes;
mod shaping;
mod simulate;
mod skip;
mod traces;
