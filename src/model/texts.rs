//! Text on its way into a column: bytes known to be UTF-8, and a dictionary column that keeps each distinct one once.

use std::hash::{BuildHasher, Hasher};
use std::str;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, UInt16Array};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use hashbrown::{DefaultHashBuilder, HashTable};

use super::spans::{DICTIONARY_VALUES_MAX, OTHER, dictionary};

/// Bytes that are UTF-8. Made without the cost of a `str`'s own check where they are ASCII, as most text of
/// telemetry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8<'a>(&'a [u8]);

impl<'a> Utf8<'a> {
    pub const EMPTY: Utf8<'static> = Utf8(&[]);
    /// Stands for bytes that were no text: U+FFFD, the replacement character.
    pub const REPLACED: Utf8<'static> = Utf8("\u{fffd}".as_bytes());

    /// None when the bytes are not UTF-8.
    #[inline(always)]
    pub fn new(bytes: &'a [u8]) -> Option<Utf8<'a>> {
        (is_ascii(bytes) || str::from_utf8(bytes).is_ok()).then_some(Utf8(bytes))
    }

    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    pub fn as_str(self) -> &'a str {
        // `new` has found it valid, or it came from a `str`.
        str::from_utf8(self.0).expect("valid UTF-8")
    }

    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// What comes before the first `sign`, and after it; None where there is none. A sign of ASCII never lies within a character.
    pub fn split_at(self, sign: u8) -> Option<(Utf8<'a>, Utf8<'a>)> {
        debug_assert!(sign.is_ascii());
        self.0.iter().position(|byte| *byte == sign).map(|at| (Utf8(&self.0[..at]), Utf8(&self.0[at + 1..])))
    }

    /// The same of the last `sign`.
    pub fn split_at_last(self, sign: u8) -> Option<(Utf8<'a>, Utf8<'a>)> {
        debug_assert!(sign.is_ascii());
        self.0.iter().rposition(|byte| *byte == sign).map(|at| (Utf8(&self.0[..at]), Utf8(&self.0[at + 1..])))
    }

    /// What comes before the first of some signs of ASCII, or all of it.
    pub fn up_to<const N: usize>(self, signs: [u8; N]) -> Utf8<'a> {
        debug_assert!(signs.is_ascii());
        self.0.iter().position(|byte| signs.contains(byte)).map_or(self, |at| Utf8(&self.0[..at]))
    }

    /// Two texts with a sign of ASCII between them, written into `scratch`.
    pub fn join<'s>(self, sign: u8, after: Utf8<'_>, scratch: &'s mut Vec<u8>) -> Utf8<'s> {
        debug_assert!(sign.is_ascii());
        scratch.clear();
        scratch.extend_from_slice(self.0);
        scratch.push(sign);
        scratch.extend_from_slice(after.0);
        Utf8(scratch)
    }

    /// This text without this beginning.
    pub fn strip(self, beginning: Utf8<'_>) -> Option<Utf8<'a>> {
        self.0.strip_prefix(beginning.0).map(Utf8)
    }

    /// This text, or the other where this is empty.
    pub const fn or(self, other: Utf8<'a>) -> Utf8<'a> {
        if self.is_empty() { other } else { self }
    }
}

impl<'a> From<&'a str> for Utf8<'a> {
    fn from(text: &'a str) -> Utf8<'a> {
        Utf8(text.as_bytes())
    }
}

/// Eight bytes at a time, inlined: the texts are 5 to 40 bytes long, for which the standard library's call costs more
/// than its work.
#[inline(always)]
fn is_ascii(bytes: &[u8]) -> bool {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let Some(last) = bytes.last_chunk::<8>() else {
        return bytes.iter().fold(0, |all, byte| all | byte) < 0x80;
    };
    // What is left over past the last whole chunk lies within the last eight bytes.
    let chunks = bytes.as_chunks::<8>().0;
    let all = chunks.iter().fold(u64::from_ne_bytes(*last), |all, chunk| all | u64::from_ne_bytes(*chunk));
    all & HIGH_BITS == 0
}

/// What goes into a cell of a text column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    Text(Utf8<'a>),
    /// Written in decimal digits.
    Number(i64),
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Cell<'a> {
        Cell::Text(text.into())
    }
}

/// One text column being built: each distinct value stored once.
#[derive(Default)]
pub(super) struct TextColumn {
    values: Values,
    keys: Vec<u16>,
    /// Keys already looked up: of the last text, of no text, of the last number. Neighbours mostly repeat.
    last: Option<u16>,
    empty: Option<u16>,
    number: Option<(i64, u16)>,
    overflowed: u64,
    cut: u64,
}

/// Longest text of a column: the longest routes and statements that are of use as a name. A text is held as often as there
/// are tables that name it, so that longer ones would be a way to fill memory.
pub const TEXT_BYTES_MAX: usize = 1024;
const CUT: &str = "…";

/// The beginning of a text that is too long, marked as such.
#[cold]
fn shortened(text: Utf8<'_>) -> String {
    let text = text.as_str();
    let end = text.floor_char_boundary(TEXT_BYTES_MAX - CUT.len());
    format!("{}{CUT}", &text[..end])
}

impl TextColumn {
    pub fn with_capacity(rows: usize) -> TextColumn {
        TextColumn { keys: Vec::with_capacity(rows), ..TextColumn::default() }
    }

    #[inline]
    pub fn append(&mut self, cell: Cell<'_>) {
        let key = match cell {
            Cell::Text(text) => self.key(text),
            Cell::Number(number) => self.key_of_number(number),
        };
        self.keys.push(key);
    }

    /// A row of a key that was handed out.
    pub fn push(&mut self, key: u16) {
        self.keys.push(key);
    }

    /// Repeats `key` until the column has `rows` rows.
    pub fn fill(&mut self, key: u16, rows: usize) {
        self.keys.resize(rows, key);
    }

    /// The key of a text.
    #[inline]
    pub fn key(&mut self, text: Utf8<'_>) -> u16 {
        match (text.is_empty(), self.empty, self.last) {
            (true, Some(key), _) => key,
            (false, _, Some(key)) if self.values.get(key) == text.0 => key,
            _ => self.look_up(text),
        }
    }

    fn look_up(&mut self, text: Utf8<'_>) -> u16 {
        if text.0.len() > TEXT_BYTES_MAX {
            self.cut += 1;
            return self.look_up(shortened(text).as_str().into());
        }
        let key = self.values.intern(text).unwrap_or_else(|| {
            self.overflowed += 1;
            // There is room for one more than may be asked for.
            self.values.force(OTHER.into())
        });
        if text.is_empty() {
            self.empty = Some(key);
        } else {
            self.last = Some(key);
        }
        key
    }

    fn key_of_number(&mut self, number: i64) -> u16 {
        if let Some((known, key)) = self.number
            && known == number
        {
            return key;
        }
        let key = self.look_up(number.to_string().as_str().into());
        self.number = Some((number, key));
        key
    }

    /// Values that became [`OTHER`].
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Values that were too long.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    pub fn finish(self) -> ArrayRef {
        let mut keys = self.keys;
        keys.shrink_to_fit();
        dictionary(UInt16Array::from(keys), self.values.finish())
    }
}

/// Distinct texts, one after the other, found by their hash.
struct Values {
    bytes: Vec<u8>,
    /// Where each text ends; the first entry is where the first begins.
    offsets: Vec<i32>,
    keys: HashTable<u16>,
    /// Seeded once a process, so that no sender can choose texts that collide. The order of the texts does not depend
    /// on it.
    hasher: DefaultHashBuilder,
}

impl Default for Values {
    fn default() -> Values {
        Values { bytes: Vec::new(), offsets: vec![0], keys: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

/// The text of `key`, which is one of those handed out: their bounds are offsets that lie within the bytes.
#[inline]
fn value<'a>(bytes: &'a [u8], offsets: &[i32], key: u16) -> &'a [u8] {
    let at = usize::from(key);
    &bytes[offsets[at] as usize..offsets[at + 1] as usize]
}

impl Values {
    fn get(&self, key: u16) -> &[u8] {
        value(&self.bytes, &self.offsets, key)
    }

    /// The key of a text; None when it is new and there is no more room.
    fn intern(&mut self, text: Utf8<'_>) -> Option<u16> {
        let hash = self.hash(text.0);
        match self.find(hash, text) {
            Some(key) => Some(key),
            None if self.keys.len() < DICTIONARY_VALUES_MAX => self.insert(hash, text),
            None => None,
        }
    }

    /// The same for a text that must have a key however many there are.
    fn force(&mut self, text: Utf8<'_>) -> u16 {
        let hash = self.hash(text.0);
        // Offsets and keys reach past what `intern` uses by far more than this one text.
        self.find(hash, text).or_else(|| self.insert(hash, text)).unwrap_or_default()
    }

    fn find(&self, hash: u64, text: Utf8<'_>) -> Option<u16> {
        self.keys.find(hash, |key| self.get(*key) == text.0).copied()
    }

    fn insert(&mut self, hash: u64, text: Utf8<'_>) -> Option<u16> {
        let end = self.bytes.len().checked_add(text.0.len())?;
        let (end, key) = (i32::try_from(end).ok()?, u16::try_from(self.keys.len()).ok()?);
        self.bytes.extend_from_slice(text.0);
        self.offsets.push(end);
        let Values { bytes, offsets, keys, hasher } = self;
        keys.insert_unique(hash, key, |key| hash_of(hasher, value(bytes, offsets, *key)));
        Some(key)
    }

    fn hash(&self, text: &[u8]) -> u64 {
        hash_of(&self.hasher, text)
    }

    fn finish(self) -> StringArray {
        let Values { mut bytes, mut offsets, .. } = self;
        bytes.shrink_to_fit();
        offsets.shrink_to_fit();
        // The offsets only grow, and between two of them lies what was UTF-8.
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        StringArray::try_new(offsets, Buffer::from(bytes), None).expect("whole texts between the offsets")
    }
}

#[inline]
fn hash_of(hasher: &DefaultHashBuilder, text: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(text);
    hasher.finish()
}

/// Values of an enumeration as a dictionary's, shared by all batches.
pub(super) fn names(names: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(names))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::UInt16Type;

    use super::*;

    #[test]
    fn bytes_are_text_exactly_when_a_str_says_so() {
        let texts = ["", "a", "seven..", "eight...", "nine.....", "ümlaut", "twenty characters ü", "exactly sixteen!"];
        for text in texts {
            assert_eq!(Utf8::new(text.as_bytes()).map(Utf8::as_str), Some(text));
            for at in 0..text.len() {
                let mut broken = text.as_bytes().to_vec();
                broken[at] = 0xff;
                assert_eq!(Utf8::new(&broken), None, "{text:?} broken at {at}");
            }
        }
    }

    #[test]
    fn a_text_is_cut_at_signs() {
        let text = Utf8::from("ü:b:c/d");
        assert_eq!(text.split_at(b':'), Some(("ü".into(), "b:c/d".into())));
        assert_eq!(text.split_at_last(b':'), Some(("ü:b".into(), "c/d".into())));
        assert_eq!((text.up_to(*b"/?"), text.up_to(*b"#")), ("ü:b:c".into(), text));
        assert_eq!((text.strip("ü:".into()), text.strip("b".into())), (Some("b:c/d".into()), None));
        assert_eq!(Utf8::EMPTY.split_at(b':'), None);
        assert_eq!(text.join(b' ', "ö".into(), &mut Vec::new()).as_str(), "ü:b:c/d ö");
    }

    #[test]
    fn a_value_is_stored_once_and_numbers_are_written_out() {
        let mut column = TextColumn::default();
        for cell in
            [Cell::from("b"), "".into(), Cell::Number(200), "b".into(), "200".into(), Cell::Number(-7), "".into()]
        {
            column.append(cell);
        }
        let column = column.finish();
        let column = column.as_dictionary::<UInt16Type>();
        assert_eq!(column.keys().values(), &[0, 1, 2, 0, 2, 3, 1]);
        let values = column.values().as_string::<i32>();
        assert_eq!(values.iter().flatten().collect::<Vec<_>>(), ["b", "", "200", "-7"]);
    }

    #[test]
    fn a_long_text_is_cut_where_a_character_ends_and_marked() {
        let mut column = TextColumn::default();
        let long = "ü".repeat(TEXT_BYTES_MAX);
        for text in [long.as_str(), &format!("{long}x"), "short", &"y".repeat(TEXT_BYTES_MAX)] {
            column.append(Cell::from(text));
        }
        assert_eq!(column.cut(), 2);
        let column = column.finish();
        let column = column.as_dictionary::<UInt16Type>();
        assert_eq!(column.keys().values(), &[0, 0, 1, 2], "the same beginning is the same text");
        let cut = column.values().as_string::<i32>().value(0);
        assert!(cut.len() <= TEXT_BYTES_MAX && cut.starts_with("üüü") && cut.ends_with("ü…"));
    }

    #[test]
    fn a_full_column_takes_others_in_and_still_knows_its_own() {
        let mut column = TextColumn::default();
        (0..DICTIONARY_VALUES_MAX as i64 + 3).for_each(|n| column.append(Cell::Number(n)));
        column.append(Cell::from("7"));
        assert_eq!(column.overflowed(), 3);
        let column = column.finish();
        let column = column.as_dictionary::<UInt16Type>();
        assert_eq!(column.values().len(), DICTIONARY_VALUES_MAX + 1);
        assert_eq!(column.keys().values()[DICTIONARY_VALUES_MAX + 3], 7);
    }
}
