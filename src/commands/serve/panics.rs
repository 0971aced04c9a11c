//! Panics, wherever they happen: counted, and logged like everything else. What they end is their catcher's to say: a
//! request, a connection, a rule, or a task (`tasks`).

use std::any::Any;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::error;

use crate::model::printable;
use crate::net::Often;

/// Since the start.
pub static COUNT: AtomicU64 = AtomicU64::new(0);

/// One sender may bring about the same again and again.
static LOGGED: Often = Often::new();

/// From now on.
pub fn watch() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        COUNT.fetch_add(1, Ordering::Relaxed);
        if let Some(times) = LOGGED.happened() {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
            error!(times, place, thread, cause = %printable(words_of(panic.payload())), "panic; report this as a bug");
        }
    }));
}

/// What a panic says, where that is text.
pub fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
