//! Texts as small numbers while spans are assembled and added up: comparing and hashing a number is cheap, and a text
//! is stored once.
//!
//! A symbol carries the generation of the table that made it. When texts are renewed, older symbols stand for `_other`:
//! never for another text, and never for a panic.

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::spans::OTHER;
use super::{ServiceId, Text};

/// A text known to [`Symbols`]: its place there in the low bits, the generation above them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(u32);

/// Room for more places than [`TEXTS_MAX`]; the 14 bits that are left count generations.
const PLACE_BITS: u32 = 18;
const GENERATIONS: u32 = 1 << (u32::BITS - PLACE_BITS);
/// `_other` and the empty text: the same symbols in every generation.
const FIXED: usize = 2;

impl Symbol {
    /// The text `_other`.
    pub const OTHER: Symbol = Symbol(0);
    /// The empty text.
    pub const EMPTY: Symbol = Symbol(1);

    pub const fn is_empty(self) -> bool {
        self.0 == Symbol::EMPTY.0
    }

    fn new(place: usize, generation: u32) -> Symbol {
        let place = place as u32; // below TEXTS_MAX
        if place < FIXED as u32 { Symbol(place) } else { Symbol(generation << PLACE_BITS | place) }
    }

    fn place(self) -> usize {
        (self.0 & ((1 << PLACE_BITS) - 1)) as usize
    }

    fn is_of(self, generation: u32) -> bool {
        self.place() < FIXED || self.0 >> PLACE_BITS == generation
    }
}

/// Texts known at once, about 100 bytes each: a large system has some ten thousand operations and pods. A source
/// that puts identifiers into names reaches it; what comes then is `_other` until they are renewed.
const TEXTS_MAX: usize = 200_000;
/// And their bytes: as many texts of usual length fit well.
const TEXT_BYTES_SUM_MAX: usize = 32 << 20;

/// Texts, and what is made of them.
#[derive(Debug)]
pub struct Symbols {
    generation: u32,
    texts: IndexSet<Text, RandomState>,
    /// Of all texts.
    bytes: usize,
    /// Identities of services, made of cluster, namespace and name.
    services: IndexMap<[Symbol; 3], Symbol, RandomState>,
    /// Entry operations, of service and operation.
    entries: IndexMap<(Symbol, Symbol), Symbol, RandomState>,
    /// All places in the order of their texts when [ranks](Symbols::sort) were last given, and the rank of each.
    sorted: Vec<usize>,
    ranks: Vec<u32>,
}

impl Default for Symbols {
    fn default() -> Symbols {
        Symbols {
            generation: 0,
            // In the order of their fixed symbols.
            texts: [OTHER, ""].into_iter().map(Text::from).collect(),
            bytes: 0,
            services: IndexMap::default(),
            entries: IndexMap::default(),
            sorted: Vec::new(),
            ranks: Vec::new(),
        }
    }
}

impl Symbols {
    /// An empty table of the next generation.
    pub fn next_generation(&self) -> Symbols {
        Symbols { generation: (self.generation + 1) % GENERATIONS, ..Symbols::default() }
    }

    /// Changes when texts are renewed: what was kept by symbol is void then.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    pub fn of(&mut self, text: &str) -> Symbol {
        match self.texts.get_index_of(text) {
            Some(place) => Symbol::new(place, self.generation),
            None if self.texts.len() >= TEXTS_MAX || self.bytes + text.len() > TEXT_BYTES_SUM_MAX => Symbol::OTHER,
            None => {
                self.bytes += text.len();
                Symbol::new(self.texts.insert_full(text.into()).0, self.generation)
            }
        }
    }

    /// The text of a symbol; `_other` for one of another generation.
    pub fn text(&self, symbol: Symbol) -> &Text {
        let known = self.texts.get_index(symbol.place()).filter(|_| symbol.is_of(self.generation));
        // The first text is there from the start.
        known.unwrap_or(&self.texts[0])
    }

    /// The service of this cluster, namespace and name, as [`ServiceId`] writes it.
    pub fn service(&mut self, cluster: Symbol, namespace: Symbol, name: Symbol) -> Symbol {
        if cluster.is_empty() && namespace.is_empty() {
            return name;
        }
        let parts = [cluster, namespace, name];
        if let Some(&known) = self.services.get(&parts) {
            return known;
        }
        let [cluster, namespace, name] = parts.map(|part| &**self.text(part));
        let symbol = self.of(ServiceId::new(cluster, namespace, name).as_str());
        if symbol != Symbol::OTHER {
            self.services.insert(parts, symbol);
        }
        symbol
    }

    /// Service and operation of a root, as objectives and people name it.
    pub fn entry(&mut self, service: Symbol, operation: Symbol) -> Symbol {
        if let Some(&known) = self.entries.get(&(service, operation)) {
            return known;
        }
        let text = format!("{} {}", self.text(service), self.text(operation));
        let symbol = self.of(&text);
        if symbol != Symbol::OTHER {
            self.entries.insert((service, operation), symbol);
        }
        symbol
    }

    /// Gives every symbol the place of its text among all texts, so that rows can be sorted by numbers.
    pub fn sort(&mut self) {
        if self.ranks.len() == self.texts.len() {
            return;
        }
        let Symbols { texts, sorted, ranks, .. } = self;
        sorted.extend(sorted.len()..texts.len());
        // What was sorted before is one run, and merged with the few that are new.
        sorted.sort_by(|&a, &b| texts[a].cmp(&texts[b]));
        ranks.resize(sorted.len(), 0);
        sorted.iter().zip(0..).for_each(|(&place, rank)| ranks[place] = rank);
    }

    /// Where the text stood when symbols were last [sorted](Symbols::sort); of a newer one, behind all others.
    pub fn rank(&self, symbol: Symbol) -> u32 {
        self.ranks.get(symbol.place()).copied().unwrap_or(u32::MAX)
    }

    /// Whether it has grown so far that what is no longer used should be forgotten.
    pub fn is_crowded(&self) -> bool {
        self.texts.len() > TEXTS_MAX / 2 || self.bytes > TEXT_BYTES_SUM_MAX / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_and_entries_are_written_as_people_write_them() {
        let mut symbols = Symbols::default();
        let [eu, shop, name, get] = ["eu", "shop", "auth", "GET /"].map(|text| symbols.of(text));
        let auth = symbols.service(eu, shop, name);
        let entry = symbols.entry(auth, get);
        assert_eq!((&**symbols.text(auth), &**symbols.text(entry)), ("eu/shop/auth", "eu/shop/auth GET /"));
        assert_eq!(symbols.service(eu, shop, name), auth);
        assert_eq!(symbols.service(Symbol::EMPTY, Symbol::EMPTY, name), name);
        assert_eq!(symbols.of(""), Symbol::EMPTY);
        assert_eq!(symbols.of(OTHER), Symbol::OTHER);
    }

    #[test]
    fn a_symbol_of_an_older_generation_is_other() {
        let mut before = Symbols::default();
        let [auth, page] = ["auth", "page"].map(|text| before.of(text));
        let mut after = before.next_generation();
        after.of("content");
        assert_eq!([auth, page].map(|stale| &**after.text(stale)), [OTHER; 2], "neither `content` nor a panic");
        assert_eq!(&**after.text(Symbol::EMPTY), "", "fixed symbols stay");
        let mut symbols = Symbols::default();
        (0..GENERATIONS).for_each(|_| symbols = symbols.next_generation());
        assert_eq!(symbols.generation(), 0);
        const { assert!(TEXTS_MAX <= 1 << PLACE_BITS) };
    }

    #[test]
    fn past_the_limit_texts_are_other() {
        let mut symbols = Symbols::default();
        (0..TEXTS_MAX).for_each(|n| _ = symbols.of(&n.to_string()));
        assert_eq!(symbols.of("one more"), Symbol::OTHER);
        let seven = symbols.of("7");
        assert_ne!(seven, Symbol::OTHER);
        assert!(symbols.is_crowded());
        assert_eq!(symbols.service(Symbol::EMPTY, seven, seven), Symbol::OTHER);
        assert_eq!(symbols.entry(seven, seven), Symbol::OTHER);
    }

    #[test]
    fn ranks_follow_the_texts() {
        let mut symbols = Symbols::default();
        let texts = ["pear", "apple", "fig", "", "apple pie", OTHER];
        for known in [3, texts.len()] {
            let mut by_rank: Vec<Symbol> = texts[..known].iter().map(|text| symbols.of(text)).collect();
            symbols.sort();
            by_rank.sort_by_key(|&symbol| symbols.rank(symbol));
            let mut by_text = texts[..known].to_vec();
            by_text.sort_unstable();
            assert_eq!(by_rank.iter().map(|&symbol| &**symbols.text(symbol)).collect::<Vec<_>>(), by_text);
        }
    }
}
