//! Where traces begin whose root never came: at the first request that is seen to be taken, where its callers are known to
//! send no spans; at a span that is missing, where only the calls it made are seen.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::analyse::learned::reference::Reference;
use crate::analyse::trace::Tree;
use crate::model::{Kind, Span, Status, Symbol, Symbols, Text, first_top};

/// Service and operation; an empty operation where the span is no request taken.
type Top = (Symbol, Symbol);

#[derive(Default)]
pub struct Beginnings {
    /// Spans since the last call whose parent never came.
    without_parent: HashMap<Top, i64, RandomState>,
    /// Of the symbols, and of the reference's entries.
    generation: u32,
    version: u64,
    known: HashMap<Top, bool, RandomState>,
}

impl Beginnings {
    /// Whether traces are known to begin with such a span without its parent.
    pub fn is_entry(&mut self, span: &Span, symbols: &Symbols, reference: &Reference) -> bool {
        if span.kind == Kind::Consumer {
            return true;
        }
        let entries = &reference.remote_entries;
        let from = (symbols.generation(), entries.version());
        if (self.generation, self.version) != from {
            (self.generation, self.version) = from;
            self.known.clear();
        }
        let (service, operation) = top_of(span);
        let look_up = || entries.is_entry(symbols.text(service), symbols.text(operation));
        *self.known.entry((service, operation)).or_insert_with(look_up)
    }

    /// Gives a trace whose root never came a root, where traces are known to begin so. Returns whether it did.
    pub fn root(&mut self, spans: &mut Vec<Span>, symbols: &Symbols, reference: &Reference) -> bool {
        let Some(place) = first_top(spans) else { return false };
        let top = spans[place];
        let Some(parent) = top.parent else { return false };
        // What takes a message is a beginning by itself.
        if top.kind == Kind::Consumer {
            return false;
        }
        if top.kind.is_callee() {
            if !self.is_entry(&top, symbols, reference) {
                return false;
            }
            *self.without_parent.entry(top_of(&top)).or_default() += 1;
            spans[place].parent = None;
            return true;
        }
        *self.without_parent.entry(top_of(&top)).or_default() += 1;
        if !self.is_entry(&top, symbols, reference) {
            return false;
        }
        // Of the span that is missing, what its children show: it began before the first and ended after the last.
        let children = spans.iter().filter(|span| span.parent == Some(parent) && span.service == top.service);
        let end = children.map(Span::end).max().unwrap_or(top.end());
        spans.push(Span {
            id: parent,
            parent: None,
            duration_ns: end.nanos_since(top.start).max(0),
            kind: Kind::Server,
            status: Status::Unset,
            http_status: 0,
            peer: Symbol::EMPTY,
            ..top
        });
        true
    }

    /// The other requests of a trace whose caller's span never came, where traces are known to begin so.
    pub fn besides(&mut self, tree: &Tree<Span>, symbols: &Symbols, reference: &Reference, found: &mut Vec<usize>) {
        found.clear();
        for &orphan in &tree.orphans {
            let span = &tree.nodes[orphan].span;
            if span.parent.is_none() || span.kind != Kind::Server {
                continue;
            }
            *self.without_parent.entry(top_of(span)).or_default() += 1;
            if self.is_entry(span, symbols, reference) {
                found.push(orphan);
            }
        }
    }

    /// Spans since the last call whose parent never came, as far as they are the first of a trace or requests taken.
    pub fn take(&mut self, symbols: &Symbols) -> BTreeMap<[Text; 2], i64> {
        let named = |((service, operation), count): (Top, i64)| {
            ([service, operation].map(|text| symbols.text(text).clone()), count)
        };
        let mut counts = BTreeMap::new();
        for (top, count) in self.without_parent.drain().map(named) {
            *counts.entry(top).or_default() += count;
        }
        counts
    }
}

fn top_of(span: &Span) -> Top {
    (span.service, if span.kind.is_callee() { span.operation } else { Symbol::EMPTY })
}
