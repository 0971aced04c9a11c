//! `headroom crd`: the definitions of the custom resources, for `kubectl apply -f -`.

use std::io::Write;

use kube::CustomResourceExt;

use super::answer::Answer;
use super::error::Error;
use crate::act::kubernetes::capacity_event::CapacityEvent;
use crate::act::kubernetes::objective::ServiceObjective;
use crate::act::kubernetes::route_objective::RouteObjective;

/// Print the CustomResourceDefinitions of all custom resources, YAML.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom crd | kubectl apply -f -

Exit codes: 0 printed; 2 usage or input error.")]
pub struct Args {
    /// This one alone
    #[arg(value_name = "NAME", value_parser = ["serviceobjectives", "capacityevents", "routeobjectives"])]
    only: Option<String>,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let definitions = [
        ("serviceobjectives", ServiceObjective::crd()),
        ("capacityevents", CapacityEvent::crd()),
        ("routeobjectives", RouteObjective::crd()),
    ];
    let asked = definitions.iter().filter(|(name, _)| args.only.as_deref().is_none_or(|only| only == *name));
    for (n, (_, definition)) in asked.enumerate() {
        let yaml = serde_saphyr::to_string(definition).map_err(|error| Error::Output(std::io::Error::other(error)))?;
        write!(out, "{}{yaml}", if n > 0 { "---\n" } else { "" })?;
    }
    Ok(Answer::Yes)
}
