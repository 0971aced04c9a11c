//! Leaving a demo with a key, where somebody sits at the terminal.

use std::io::{self, IsTerminal};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::commands::keys::{Key, Keys};

/// Listens until it is dropped; then the terminal is as it was.
pub struct Quit {
    told: Option<oneshot::Receiver<()>>,
    reading: Option<JoinHandle<()>>,
}

impl Quit {
    /// Hears nothing where standard input or output is no terminal, or where keys cannot be read one by one.
    pub fn listen(is_wanted: bool) -> Quit {
        let sits_there = is_wanted && io::stdin().is_terminal() && io::stdout().is_terminal();
        let Some(mut keys) = sits_there.then(Keys::read).and_then(Result::ok) else {
            return Quit { told: None, reading: None };
        };
        let (tell, told) = oneshot::channel();
        let reading = thread::spawn(move || {
            while !tell.is_closed() {
                match keys.next() {
                    Ok(Some(Key::Quit)) => {
                        drop(keys);
                        // Whoever listened may have gone.
                        let _ = tell.send(());
                        return;
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        Quit { told: Some(told), reading: Some(reading) }
    }

    /// Ends when `q`, Escape or Ctrl-C is pressed; never where nobody can press it.
    pub async fn pressed(&mut self) {
        if let Some(told) = &mut self.told
            && told.await.is_ok()
        {
            return;
        }
        self.told = None;
        std::future::pending().await
    }
}

impl Drop for Quit {
    fn drop(&mut self) {
        drop(self.told.take());
        // It looks every tenth of a second whether anybody still listens.
        if let Some(reading) = self.reading.take() {
            let _ = reading.join();
        }
    }
}
