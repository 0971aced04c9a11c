//! Notices on their way to people: what the engine says stands is compared with what was told, grouped into few messages, and
//! delivered to each receiver until it has it.
//!
//! - [`groups`]: which causes are new, repeated or over; one message a group of them
//! - [`forms`]: how each kind of receiver wants to be told
//! - [`client`]: one request, and what its answer means
//! - [`outbox`]: messages that wait for one receiver, and what became of the others
//! - [`delivery`]: tries until a message is delivered or given up
//!
//! The engine waits for none of it: notices are read from what it publishes at each tick.

pub mod client;
pub mod delivery;
pub mod forms;
pub mod groups;
pub mod outbox;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::Sleep;

use crate::config;
use crate::config::ReceiverKind;
use client::Client;
pub use groups::Standing;
use groups::{Groups, Message};
use outbox::Outbox;

/// An Alertmanager takes an alert for resolved when it has not heard of it for its `resolve_timeout` (5 min by default), so
/// it hears of what stands this often.
const REMIND_ALERTMANAGER: Duration = Duration::from_secs(60);

/// All receivers, and what is on its way to them.
pub struct Notices {
    settings: config::Notify,
    outboxes: Vec<Arc<Outbox>>,
    groups: Groups,
}

impl Notices {
    pub fn new(settings: &config::Notify) -> Notices {
        let outbox = |receiver: &config::Receiver| Arc::new(Outbox::new(receiver.clone(), settings.queue_max));
        Notices {
            outboxes: settings.receivers.iter().map(outbox).collect(),
            settings: settings.clone(),
            groups: Groups::default(),
        }
    }

    /// What waits for each receiver, for who shows it.
    pub fn outboxes(&self) -> Vec<Arc<Outbox>> {
        self.outboxes.clone()
    }

    /// The tasks that deliver, one a receiver.
    ///
    /// # Errors
    /// The certificates of this machine cannot be read.
    pub fn deliveries(&self) -> Result<Vec<impl Future<Output = ()> + Send + use<>>, client::Error> {
        let client = Client::new(self.settings.timeout)?;
        let retry_for = self.settings.retry_for;
        let deliver =
            |outbox: &Arc<Outbox>| delivery::run(outbox.clone(), client.clone(), delivery::Pace::default(), retry_for);
        Ok(self.outboxes.iter().map(deliver).collect())
    }

    /// Follows what stands until nobody publishes it any more.
    pub async fn follow(mut self, mut standing: BoxStream<'static, Standing>) {
        let mut reminders = tokio::time::interval(REMIND_ALERTMANAGER);
        // What changes together is told together: the first change begins a short wait for the others.
        let mut waiting: Option<Pin<Box<Sleep>>> = None;
        loop {
            let waited = async {
                match &mut waiting {
                    Some(sleep) => sleep.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                next = standing.next() => {
                    let Some(next) = next else { return };
                    self.groups.see(next);
                    if self.groups.has_news() && waiting.is_none() {
                        waiting = Some(Box::pin(tokio::time::sleep(self.settings.group_wait)));
                    }
                }
                () = waited => {
                    waiting = None;
                    self.tell(|_| true, Groups::take_news);
                }
                _ = reminders.tick() => {
                    let forgets = |outbox: &Outbox| outbox.receiver().kind == ReceiverKind::Alertmanager;
                    self.tell(|outbox| forgets(outbox) && outbox.is_idle(), Groups::standing);
                }
            }
        }
    }

    fn tell(&mut self, wants: impl Fn(&Outbox) -> bool, messages: impl Fn(&mut Groups) -> Vec<Message>) {
        let wanting: Vec<&Arc<Outbox>> = self.outboxes.iter().filter(|outbox| wants(outbox)).collect();
        for message in messages(&mut self.groups).into_iter().map(Arc::new) {
            wanting.iter().for_each(|outbox| outbox.push(message.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
