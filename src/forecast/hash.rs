//! What a model was made of, in a word: two with the same hash are the same model.

use std::fmt;

use ring::digest::{Context, SHA256};

/// Changed with whatever makes another model of the same rows.
const REVISION: u32 = 1;

/// Of the rows, the code and the seed.
pub(super) struct ModelHash([u8; 16]);

impl ModelHash {
    pub(super) fn of(rows: impl Iterator<Item = [u8; 4]>, seed: u64) -> ModelHash {
        let mut context = Context::new(&SHA256);
        context.update(env!("CARGO_PKG_VERSION").as_bytes());
        context.update(&REVISION.to_le_bytes());
        context.update(&seed.to_le_bytes());
        let rows: Vec<u8> = rows.flatten().collect();
        context.update(&rows);
        let mut hash = [0; 16];
        hash.copy_from_slice(&context.finish().as_ref()[..16]);
        ModelHash(hash)
    }
}

impl fmt::Display for ModelHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
