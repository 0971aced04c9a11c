//! The signals that ask to leave: SIGTERM (an orchestrator) and SIGINT (a terminal).

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::commands::error::Error;

pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on the signals no longer end the process by themselves.
    pub fn listen() -> Result<Signals, Error> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate()).map_err(Error::Runtime)?,
            interrupt: signal(SignalKind::interrupt()).map_err(Error::Runtime)?,
        })
    }

    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
