//! `headroom give-back`: takes everything of headroom's off a cluster, for whoever removes it.

use std::io::Write;

use super::answer::Answer;
use super::error::Error;
use crate::act::kubernetes::{connect, give_back};
use crate::clock::Clock;
use crate::guard::ActError;

/// Give back what headroom holds on a cluster, before it is removed: floors under autoscalers, CPU lent to pods, records.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom give-back --dry-run
  headroom give-back --context production
  headroom give-back --context production --replicas

It goes by the annotations that headroom leaves on what it changes, with your rights and not
headroom's. First end the headroom that leads, or it takes all of it again:
  kubectl scale statefulset headroom --replicas 0 --namespace headroom
A minimum that somebody else changed meanwhile stays as it is.

Exit codes: 0 given back, or nothing is held; 1 something is still held, and why; 2 usage or input error, or no cluster.")]
pub struct Args {
    /// The cluster of this context of the kubeconfig; without it the current one
    #[arg(long)]
    context: Option<String>,
    /// Say what would be given back, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Set workloads back to the replicas from before an intervention that is still open; without it they keep what they
    /// have, as their load may need it
    #[arg(long)]
    replicas: bool,
    /// Do it although a headroom leads, which may take it again
    #[arg(long)]
    force: bool,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(all(args, out))
}

async fn all(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let client = connect(args.context.as_deref()).await?;
    if !args.force
        && !args.dry_run
        && let Some((lease, holder)) = give_back::leader(&client, Clock::system().now()).await?
    {
        return Err(Error::StillLeads { lease, holder });
    }
    let mut still_held = 0;
    let mut given_back = 0;
    for held in give_back::held(&client).await? {
        let steps = held.steps(args.replicas).join("; ");
        let done = if args.dry_run { Ok(()) } else { held.give_back(&client, args.replicas).await };
        match done {
            Ok(()) => {
                given_back += 1;
                writeln!(out, "{}: {steps}", held.name())?;
            }
            Err(error) => {
                still_held += 1;
                writeln!(out, "{}: still held: {}", held.name(), in_words(&error))?;
            }
        }
    }
    writeln!(out, "{}", total(given_back, still_held, args.dry_run))?;
    Ok(if still_held == 0 { Answer::Yes } else { Answer::No })
}

/// Somebody wrote the object in between: nothing is wrong, and a second try reads it anew.
fn in_words(error: &ActError) -> String {
    match error {
        ActError::Conflict { .. } => "it changed meanwhile; run this again".to_owned(),
        error => error.to_string(),
    }
}

fn total(given_back: usize, still_held: usize, dry_run: bool) -> String {
    let objects = |count: usize| format!("{count} object{}", if count == 1 { "" } else { "s" });
    match (given_back, still_held) {
        (0, 0) => "nothing is held on this cluster".to_owned(),
        (given, 0) if dry_run => format!("{} would be given back; nothing was changed", objects(given)),
        (given, 0) => format!("{} given back; nothing is held any more", objects(given)),
        (given, held) => format!("{} given back, {} still held", objects(given), objects(held)),
    }
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn the_last_line_says_whether_anything_is_still_held() {
        assert_eq!(total(0, 0, true), "nothing is held on this cluster");
        assert_eq!(total(1, 0, true), "1 object would be given back; nothing was changed");
        assert_eq!(total(3, 0, false), "3 objects given back; nothing is held any more");
        assert_eq!(total(3, 1, false), "3 objects given back, 1 object still held");
    }
}
