//! headroom closes the loop between tracing and capacity: it receives OpenTelemetry traces, finds the
//! bottleneck service, and acts on that service alone.
//!
//! Data flows one way, and a module imports only from those above it in this list:
//!
//! - [`model`]: the words (time, identities, the `spans` table, the state of a cluster)
//! - [`clock`]: the one place that reads the time, for the shell
//! - [`disk`]: files that people name, read within bounds and written for their owner alone
//! - [`net`]: connections that others open, within bounds and deadlines
//! - [`receive`]: OTLP to Arrow, over gRPC, HTTP and from files
//! - [`window`]: spans in time slices, traces assembled
//! - [`analyse`]: critical path, rollups, SQL, the bottleneck and its verdict
//! - [`action`]: what headroom can do, one file an action
//! - [`shape`]: what a front door lets in, for the sake of one service behind it
//! - [`decide`]: rhai rules turn findings into proposals
//! - [`guard`]: proposals become permits, or refusals with a reason
//! - [`act`]: the `Cluster` trait; takes permits only
//! - [`verify`]: did it help?
//! - [`journal`]: every step, queryable
//! - [`engine`]: the functional core, all of the above driven by `ingest`, `observe` and `tick`
//! - [`simulate`]: a cluster of pretend services, with its references
//! - [`schedule`]: events that are planned, and the floors that they mean
//! - [`forecast`]: series of requests in, quantiles of what is to come out
//! - [`import`]: lines of access logs in, requests a minute out
//! - [`history`]: what was seen, by the minute, in files of an object store
//! - [`config`]: what the operator wrote, checked, as each station's settings
//! - [`gateway`]: Envoy asks whether a request may come in, and is answered from the limits of the last tick
//! - [`sql`]: SQL for people, in processes that may die of it
//! - [`notices`]: what people should know, delivered to webhooks, Alertmanager, Slack and PagerDuty
//! - [`api`]: HTTP API and metrics
//! - [`commands`]: one file a subcommand, the imperative shell around the engine
#![forbid(unsafe_code)]

#[cfg(feature = "daemon")]
pub mod act;
pub mod action;
pub mod analyse;
#[cfg(feature = "daemon")]
pub mod api;
#[cfg(feature = "daemon")]
pub mod clock;
#[cfg(feature = "daemon")]
pub mod commands;
#[cfg(feature = "daemon")]
pub mod config;
pub mod decide;
#[cfg(feature = "daemon")]
pub mod disk;
pub mod engine;
#[cfg(feature = "forecast")]
pub mod forecast;
#[cfg(feature = "daemon")]
pub mod gateway;
pub mod guard;
#[cfg(feature = "daemon")]
pub mod history;
#[cfg(feature = "daemon")]
pub mod import;
pub mod journal;
pub mod model;
#[cfg(feature = "daemon")]
pub mod net;
#[cfg(feature = "daemon")]
pub mod notices;
#[cfg(feature = "daemon")]
pub mod receive;
#[cfg(feature = "daemon")]
pub mod schedule;
pub mod shape;
#[cfg(feature = "daemon")]
pub mod simulate;
#[cfg(feature = "daemon")]
pub mod sql;
pub mod verify;
pub mod window;
