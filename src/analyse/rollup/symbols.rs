//! Texts as small numbers while a tick's traces are added up: comparing and hashing a number is cheap, and a text
//! is stored once.

use std::hash::{Hash, Hasher};

use foldhash::fast::RandomState;
use indexmap::{Equivalent, IndexMap, IndexSet};

use super::rows::Text;
use crate::model::spans::OTHER;
use crate::model::{ServiceId, SpanRow};

/// A text known to [`Symbols`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Symbol(u32);

impl Symbol {
    /// The text `_other`.
    pub const OTHER: Symbol = Symbol(0);
    /// The empty text.
    pub const EMPTY: Symbol = Symbol(1);
}

/// Texts known at once, about 100 bytes each: a large system has some ten thousand operations and pods. A source
/// that puts identifiers into names reaches it; what comes then is `_other` until the next tick.
const TEXTS_MAX: usize = 200_000;

/// Texts, and what is made of them.
#[derive(Debug)]
pub(super) struct Symbols {
    texts: IndexSet<Text, RandomState>,
    /// Identities of services, made of cluster, namespace and name.
    services: IndexMap<ServiceParts, Symbol, RandomState>,
    /// Entry operations, of service and operation.
    entries: IndexMap<(Symbol, Symbol), Symbol, RandomState>,
    /// Where a text, or a service, was found last, by the address of its text. Neighbouring rows share their dictionary's
    /// texts: comparing with what is expected is cheaper than hashing. Only a guess, and always compared.
    text_hints: Vec<u32>,
    service_hints: Vec<u32>,
}

/// Hints kept of each kind: a few thousand texts, 32 KiB.
const HINTS: usize = 1 << 13;

/// A place among the hints.
fn place(text: &str) -> usize {
    // Fibonacci hashing (Knuth, TAOCP 6.4): the upper bits of a product are well mixed.
    (text.as_ptr().addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> (usize::BITS - HINTS.ilog2())
}

impl Default for Symbols {
    fn default() -> Symbols {
        let mut symbols = Symbols {
            texts: IndexSet::default(),
            services: IndexMap::default(),
            entries: IndexMap::default(),
            text_hints: vec![0; HINTS],
            service_hints: vec![0; HINTS],
        };
        // The two that have fixed numbers.
        symbols.texts.extend([Text::from(OTHER), Text::from("")]);
        symbols
    }
}

/// Cluster, namespace and name.
#[derive(Debug, PartialEq, Eq)]
struct ServiceParts([Text; 3]);

/// The same, borrowed from a span.
struct Parts<'a>([&'a str; 3]);

impl Hash for ServiceParts {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|part| part.hash(state));
    }
}

impl Hash for Parts<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|part| part.hash(state));
    }
}

impl Equivalent<ServiceParts> for Parts<'_> {
    fn equivalent(&self, other: &ServiceParts) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| **own == **other)
    }
}

impl Symbols {
    pub fn of(&mut self, text: &str) -> Symbol {
        if text.is_empty() {
            return Symbol::EMPTY;
        }
        let hint = place(text);
        let expected = Symbol(self.text_hints[hint]);
        if **self.text(expected) == *text {
            return expected;
        }
        let found = match self.texts.get_index_of(text) {
            Some(index) => Symbol(index as u32), // fewer than TEXTS_MAX
            None if self.texts.len() >= TEXTS_MAX => return Symbol::OTHER,
            None => Symbol(self.texts.insert_full(text.into()).0 as u32),
        };
        self.text_hints[hint] = found.0;
        found
    }

    pub fn text(&self, symbol: Symbol) -> &Text {
        // Symbols are handed out by this table alone, and it only grows between two calls of `renew`.
        &self.texts[symbol.0 as usize]
    }

    /// The service of a span, as `model::ServiceId` writes it.
    pub fn service(&mut self, span: &SpanRow<'_>) -> Symbol {
        if span.namespace.is_empty() && span.cluster.is_empty() {
            return self.of(span.service);
        }
        let parts = Parts([span.cluster, span.namespace, span.service]);
        let hint = place(span.service);
        if let Some((expected, &symbol)) = self.services.get_index(self.service_hints[hint] as usize)
            && parts.equivalent(expected)
        {
            return symbol;
        }
        if let Some((index, _, &known)) = self.services.get_full(&parts) {
            self.service_hints[hint] = index as u32; // fewer than TEXTS_MAX
            return known;
        }
        let symbol = self.of(ServiceId::new(span.cluster, span.namespace, span.service).as_str());
        if symbol != Symbol::OTHER {
            self.services.insert(ServiceParts(parts.0.map(Text::from)), symbol);
        }
        symbol
    }

    /// Service and operation of a root, as objectives and people name it.
    pub fn entry(&mut self, root: &SpanRow<'_>) -> Symbol {
        let key = (self.service(root), self.of(root.operation));
        if let Some(&known) = self.entries.get(&key) {
            return known;
        }
        let text = format!("{} {}", self.text(key.0), self.text(key.1));
        let symbol = self.of(&text);
        if symbol != Symbol::OTHER {
            self.entries.insert(key, symbol);
        }
        symbol
    }

    /// Whether it has grown so far that it should be [renewed](Symbols::default) when nothing refers to it.
    pub fn is_crowded(&self) -> bool {
        self.texts.len() > TEXTS_MAX / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_and_entries_are_written_as_people_write_them() {
        let mut symbols = Symbols::default();
        let bare = SpanRow { service: "auth", operation: "GET /", ..SpanRow::default() };
        let full = SpanRow { namespace: "shop", cluster: "eu", ..bare };
        let (auth, entry) = (symbols.service(&full), symbols.entry(&full));
        assert_eq!((&**symbols.text(auth), &**symbols.text(entry)), ("eu/shop/auth", "eu/shop/auth GET /"));
        assert_eq!(symbols.service(&full), auth);
        assert_ne!(symbols.service(&bare), auth);
        assert_eq!(symbols.of(""), Symbol::EMPTY);
        assert_eq!(symbols.of(OTHER), Symbol::OTHER);
    }

    #[test]
    fn past_the_limit_texts_are_other() {
        let mut symbols = Symbols::default();
        (0..TEXTS_MAX).for_each(|n| _ = symbols.of(&n.to_string()));
        assert_eq!(symbols.of("one more"), Symbol::OTHER);
        assert_ne!(symbols.of("7"), Symbol::OTHER);
        assert!(symbols.is_crowded());
        let span = SpanRow { service: "s", namespace: "n", operation: "o", ..SpanRow::default() };
        assert_eq!((symbols.service(&span), symbols.entry(&span)), (Symbol::OTHER, Symbol::OTHER));
    }
}
