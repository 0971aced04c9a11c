//! The station that takes closed traces and makes rollup rows of them. There may be several, each with its share of the
//! traces; whatever they must know in common comes to them as the [`Reference`] that the judge publishes.

mod candidates;
mod exemplar_rows;
mod groups;
mod portion;
mod tally;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::analyse::learned::reference::Reference;
use crate::analyse::trace::Tree;
use crate::model::{Span, Symbol, Symbols, Time, TraceId};
use candidates::Candidates;
use exemplar_rows::ExemplarRows;
pub use portion::{AnsweredCall, Portion};
use tally::{Tally, With};

#[derive(Default)]
pub struct Absorber {
    /// The tree of the trace at hand; kept for its memory.
    tree: Tree<Span>,
    tally: Tally,
    exemplars: ExemplarRows,
    candidates: Candidates,
    bounds: Bounds,
}

/// Latency bounds by entry operation, looked up once for each reference and generation of symbols.
#[derive(Default)]
struct Bounds {
    version: u64,
    generation: u32,
    known: HashMap<Symbol, Option<i64>, RandomState>,
}

impl Bounds {
    fn of(&mut self, entry: Symbol, reference: &Reference, symbols: &Symbols) -> Option<i64> {
        let from = (reference.version, symbols.generation());
        if (self.version, self.generation) != from {
            (self.version, self.generation) = from;
            self.known.clear();
        }
        let look_up = || reference.objectives.of(symbols.text(entry)).map(|objective| objective.latency_ns);
        *self.known.entry(entry).or_insert_with(look_up)
    }
}

impl Absorber {
    /// Adds a closed trace; returns how many of its spans repeated another.
    pub fn absorb(&mut self, id: TraceId, spans: &[Span], symbols: &mut Symbols, reference: &Reference) -> usize {
        self.tree.rebuild(spans);
        let tree = &self.tree;
        let entry = tree.root.map(|root| {
            let span = &tree.nodes[root].span;
            let entry = symbols.entry(span.service, span.operation);
            (entry, self.bounds.of(entry, reference, symbols))
        });
        let walked = self.tally.absorb(tree, entry, &mut With { reference, symbols });
        if let Some(walked) = walked {
            self.exemplars.add(id, tree, &walked, symbols);
            self.candidates.offer(walked.entry, id, tree);
        }
        tree.duplicates
    }

    /// What was absorbed since the last call. `symbols` and `reference` must be those it was absorbed with.
    pub fn take(
        &mut self,
        symbols: &mut Symbols,
        reference: &Reference,
        complete_to: Time,
        last_received: Option<Time>,
    ) -> Portion {
        Portion {
            complete_to,
            last_received,
            received: self.tally.take_received(symbols),
            answered: self.tally.take_answered(symbols),
            rollups: self.tally.take(&mut With { reference, symbols }),
            exemplars: self.exemplars.take(symbols),
            sample: self.candidates.take(symbols),
        }
    }
}
