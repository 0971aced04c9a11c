//! Series from a history: what headroom saw itself, or what was imported into it.

use std::io::Write;

use tokio::runtime::Builder;

use super::Data;
use super::files::{Column, Counts, chosen};
use crate::commands::error::Error;
use crate::forecast::Step;
use crate::history::{Counted, MINUTE_S, Of, QUARTER_S, Reader, Store};

/// `partly`: also what was seen in buckets of which a part is not known.
pub fn read(data: &Data, partly: bool) -> Result<Counts, Error> {
    let of = if data.services { Of::Services } else { Of::Entries };
    let is_fine = data.step.is_some_and(|step| step < Step::QUARTER_HOUR);
    let mut reader = Reader::new(Store::open(&data.file)?);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let counted = runtime.block_on(async {
        let cluster = reader.cluster(data.cluster.as_deref()).await?;
        reader.counts(of, &cluster, if is_fine { MINUTE_S } else { QUARTER_S }, partly).await
    })?;
    let Counted { mut columns, broken, .. } = counted;
    if broken > 0 {
        let note = "files of the history are no Parquet of their table; what was in them is missing";
        writeln!(std::io::stderr(), "headroom: {broken} {note}")?;
    }
    let known: Vec<String> = columns.keys().cloned().collect();
    let wanted = chosen(&data.file, &known, &data.columns)?;
    let column = |name: String| Column { counts: columns.remove(&name).unwrap_or_default(), name, has_unknown: true };
    Ok(Counts::of(wanted.into_iter().map(column).collect(), &data.file)?)
}
