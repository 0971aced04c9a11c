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
    /// Texts that were not UTF-8 and were replaced.
    broken: u64,
}

thread_local! {
    static ACCOUNT: Cell<Account> = const { Cell::new(Account { left: usize::MAX, is_spent: false, broken: 0 }) };
}

/// Runs `decode` with so many bytes to take; then the texts that were replaced, and whether more was asked for.
pub(super) fn metered<T>(bytes: usize, decode: impl FnOnce() -> T) -> (T, u64, bool) {
    ACCOUNT.set(Account { left: bytes, ..Account::default() });
    let decoded = decode();
    let Account { broken, is_spent, .. } = ACCOUNT.replace(Account { left: usize::MAX, ..Account::default() });
    (decoded, broken, is_spent)
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
    let account = ACCOUNT.get();
    ACCOUNT.set(Account { broken: account.broken + 1, ..account });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_spent_once_and_for_all_and_then_closed() {
        let (paid, broken, is_spent) = metered(10, || {
            mended();
            [pay(6), pay(5), pay(1)]
        });
        assert_eq!((paid, broken, is_spent), ([true, false, false], 1, true));
        assert!(pay(1 << 40), "nothing is metered outside");
        assert_eq!(metered(10, || pay(10)), (true, 0, false));
    }
}
