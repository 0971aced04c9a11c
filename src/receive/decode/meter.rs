//! What a request takes while it is decoded, paid for as it grows, and what was mended in it.
//!
//! One request is decoded on one thread from its first byte to its last, and serde gives the readers of values nothing
//! to carry along: so the account is the thread's, opened and closed by [`metered`].

use std::cell::Cell;

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// Bytes that may still be taken.
    left: usize,
    /// More was asked for.
    is_spent: bool,
    repairs: Repairs,
}

/// What of a request is not read as it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Repairs {
    /// Texts that were not UTF-8 and were replaced.
    pub broken: u64,
    /// Attributes, events, links and fields that cannot be read and were left out.
    pub left_out: u64,
}

thread_local! {
    static ACCOUNT: Cell<Account> = const { Cell::new(Account { left: usize::MAX, is_spent: false, repairs: Repairs { broken: 0, left_out: 0 } }) };
}

/// Runs `decode` with so many bytes to take; then what was repaired, and whether more was asked for.
pub(super) fn metered<T>(bytes: usize, decode: impl FnOnce() -> T) -> (T, Repairs, bool) {
    ACCOUNT.set(Account { left: bytes, ..Account::default() });
    let decoded = decode();
    let Account { repairs, is_spent, .. } = ACCOUNT.replace(Account { left: usize::MAX, ..Account::default() });
    (decoded, repairs, is_spent)
}

/// Takes bytes; false when there are not so many left, now or before.
pub(super) fn pay(bytes: usize) -> bool {
    let mut account = ACCOUNT.get();
    match account.left.checked_sub(bytes) {
        Some(left) if !account.is_spent => account.left = left,
        _ => account.is_spent = true,
    }
    ACCOUNT.set(account);
    !account.is_spent
}

/// Counts a text that was replaced.
#[cold]
pub(super) fn mended() {
    count(|repairs| repairs.broken += 1);
}

/// Counts what was left out.
#[cold]
pub(super) fn left_out() {
    count(|repairs| repairs.left_out += 1);
}

fn count(change: impl FnOnce(&mut Repairs)) {
    let mut account = ACCOUNT.get();
    change(&mut account.repairs);
    ACCOUNT.set(account);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_spent_once_and_for_all_and_then_closed() {
        let (paid, repairs, is_spent) = metered(10, || {
            mended();
            left_out();
            [pay(6), pay(5), pay(1)]
        });
        assert_eq!((paid, repairs, is_spent), ([true, false, false], Repairs { broken: 1, left_out: 1 }, true));
        assert!(pay(1 << 40), "nothing is metered outside");
        assert_eq!(metered(10, || pay(10)), (true, Repairs::default(), false));
    }
}
