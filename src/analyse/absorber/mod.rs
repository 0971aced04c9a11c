//! The station that takes closed traces and makes rollup rows of them. There may be several, each with its share of the
//! traces; whatever they must know in common comes to them as the [`Reference`] that the judge publishes.

mod beginnings;
mod candidates;
mod clock_samples;
mod exemplar_rows;
mod groups;
mod portion;
mod tally;
mod works;

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::analyse::learned::reference::Reference;
use crate::analyse::telemetry::IdSpread;
use crate::analyse::trace::Tree;
use crate::analyse::trace::request::TOO_MANY_REQUESTS;
use crate::model::{ClockStep, Kind, Span, Symbol, Symbols, Text, Time, TimeUnit, Work};
use crate::window::{AssembledTrace, Beginning};
use beginnings::Beginnings;
use candidates::Candidates;
use clock_samples::ClockSamples;
use exemplar_rows::ExemplarRows;
pub use portion::{AnsweredCall, Arrived, Portion};
use tally::{Request, Tally, With};
pub use works::Kinds;
use works::Works;

#[derive(Default)]
pub struct Absorber {
    /// The tree of the trace at hand; kept for its memory.
    tree: Tree<Span>,
    tally: Tally,
    exemplars: ExemplarRows,
    candidates: Candidates,
    bounds: Bounds,
    beginnings: Beginnings,
    works: Works,
    clocks: ClockSamples,
    /// Requests of the trace at hand, and those of them whose caller's span never came; kept for their memory.
    requests: Vec<Request>,
    besides: Vec<usize>,
    /// Traces since the last take in which no request of an endpoint was seen.
    without_beginning: u64,
    ids: IdSpread,
    /// Requests since the last take whose traces a tail sampler says that it chose, by entry operation.
    chosen: HashMap<Symbol, u64, RandomState>,
}

/// Latency bounds by entry operation, looked up once for each reference and generation of symbols.
#[derive(Default)]
struct Bounds {
    version: u64,
    generation: u32,
    known: HashMap<(Symbol, Work), Option<i64>, RandomState>,
}

impl Bounds {
    fn of(&mut self, entry: Symbol, work: Work, reference: &Reference, symbols: &Symbols) -> Option<i64> {
        let from = (reference.version, symbols.generation());
        if (self.version, self.generation) != from {
            (self.version, self.generation) = from;
            self.known.clear();
        }
        let look_up = || match work {
            Work::Request => reference.objectives.of(symbols.text(entry)),
            work => reference.objectives.of_work(symbols.text(entry), work),
        };
        *self.known.entry((entry, work)).or_insert_with(|| look_up().map(|objective| objective.latency_ns))
    }
}

impl Absorber {
    /// Where a trace begins whose root has not come and of which this is the first span.
    pub fn begins(&mut self, span: &Span, symbols: &Symbols, reference: &Reference) -> Beginning {
        if self.beginnings.is_entry(span, symbols, reference) {
            return Beginning::Here;
        }
        let service = symbols.text(span.service);
        // Of a span that takes requests, others must have sent the spans of its callers; of a call, its service those of the
        // requests in which it calls.
        let is_usual = if span.kind.is_callee() {
            reference.callees.answers(service)
        } else {
            reference.remote_entries.takes_requests(service)
        };
        if is_usual { Beginning::Elsewhere } else { Beginning::Unknown }
    }

    /// Adds a closed trace; returns how many of its spans repeated another.
    pub fn absorb(
        &mut self,
        now: Time,
        trace: &mut AssembledTrace,
        symbols: &mut Symbols,
        reference: &Reference,
    ) -> usize {
        self.ids.add(trace.id);
        let begun = !trace.has_root && self.beginnings.root(&mut trace.spans, symbols, reference);
        self.tree.rebuild(&trace.spans);
        if self.tree.nodes.iter().any(|node| node.adjusted) {
            let ahead = self.tree.anchor(now);
            self.clocks.add(&self.tree, &ahead);
        }
        let tree = &self.tree;
        self.besides.clear();
        if !tree.orphans.is_empty() {
            self.beginnings.besides(tree, symbols, reference, &mut self.besides);
        }
        self.requests.clear();
        let tops = tree.root.map(|root| (root, begun)).into_iter();
        let is_message = |&node: &usize| {
            let top = &tree.nodes[node];
            top.span.kind == Kind::Consumer && top.parent.is_none() && tree.root != Some(node)
        };
        let messages = (0..tree.nodes.len()).filter(is_message).map(|node| (node, false));
        for (node, remote_parent) in tops.chain(self.besides.iter().map(|&node| (node, true))).chain(messages) {
            let top = &tree.nodes[node];
            let span = &top.span;
            let entry = symbols.entry(span.service, span.operation);
            let work = self.works.of(entry, span, symbols);
            let is_aside = !work.is_timed() || is_turned_away(tree, span, symbols.text(entry), reference);
            if is_aside && tree.root == Some(node) {
                return tree.duplicates;
            }
            self.requests.push(Request {
                node,
                entry,
                objective_ns: self.bounds.of(entry, work, reference, symbols),
                remote_parent,
                sent_at: (top.sent_at)
                    .or_else(|| self.works.sent_at(trace.id, span.parent))
                    .or_else(|| self.works.sent_by(symbols.text(span.link))),
            });
            if span.is_chosen {
                *self.chosen.entry(entry).or_default() += 1;
            }
        }
        for node in tree.nodes.iter().filter(|node| node.span.kind == Kind::Producer) {
            self.works.note_sent(trace.id, node.span.id, node.start);
        }
        let walked = self.tally.absorb(tree, &self.requests, &mut With { reference, symbols });
        self.without_beginning += u64::from(walked.is_none());
        if let Some(walked) = walked {
            self.exemplars.add(trace.id, tree, &walked, symbols);
            if tree.root == Some(walked.node) {
                self.candidates.offer(walked.entry, trace.id, tree);
            }
        }
        tree.duplicates
    }

    /// All clocks stepped: what is remembered of messages moves with them.
    pub fn step_clock(&mut self, step: ClockStep) {
        self.works.step_clock(step);
    }

    /// What was absorbed since the last call. `symbols` and `reference` must be those it was absorbed with.
    pub fn take(
        &mut self,
        symbols: &mut Symbols,
        reference: &Reference,
        arrived: Arrived,
        misdated: BTreeMap<(Text, TimeUnit), u64>,
    ) -> Portion {
        Portion {
            arrived,
            misdated,
            ids: std::mem::take(&mut self.ids),
            without_beginning: std::mem::take(&mut self.without_beginning),
            without_parent: self.beginnings.take(symbols),
            chosen: self.chosen.drain().map(|(entry, count)| (symbols.text(entry).clone(), count)).collect(),
            clocks: self.clocks.take(symbols),
            works: self.works.take(symbols),
            received: self.tally.take_received(symbols),
            answered: self.tally.take_answered(symbols),
            rollups: self.tally.take(&mut With { reference, symbols }),
            exemplars: self.exemplars.take(symbols),
            sample: self.candidates.take(symbols),
        }
    }
}

/// Whether a gateway that asks turned this request away: nobody behind it took a call (a gateway's own question to headroom
/// may have a span). Counted with those that were served, each request would seem to need fewer calls than it does, and more
/// than usual once all are let in again.
fn is_turned_away(tree: &Tree<Span>, span: &Span, entry: &Text, reference: &Reference) -> bool {
    span.http_status == TOO_MANY_REQUESTS
        && reference.turned_away.contains(entry)
        && tree.nodes.iter().filter(|node| node.span.kind.is_callee()).count() <= 1
}
