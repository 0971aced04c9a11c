//! `headroom crd`: the definition of ServiceObjective, for `kubectl apply -f -`.

use std::io::Write;

use kube::CustomResourceExt;

use super::answer::Answer;
use super::error::Error;
use crate::act::kubernetes::objective::ServiceObjective;

/// Print the CustomResourceDefinition of ServiceObjective, YAML.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom crd | kubectl apply -f -

Exit codes: 0 printed; 2 usage or input error.")]
pub struct Args {}

pub fn run(_args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let yaml = serde_saphyr::to_string(&ServiceObjective::crd())
        .map_err(|error| Error::Output(std::io::Error::other(error)))?;
    out.write_all(yaml.as_bytes())?;
    Ok(Answer::Yes)
}
