//! Files that people name: read only where they are regular files and not too large, written for their owner alone.
//!
//! A name may stand for a pipe that nobody writes into, or a device that never ends; opening one must not hang, nor
//! reading it take all memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// What only the owner may read or write: decisions, names of services, what was learnt.
const PRIVATE: u32 = 0o600;

/// Why a file's text is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    /// A pipe would hold the reader up for ever, and a device fill its memory.
    #[error("not a regular file")]
    NotRegular,
    #[error("larger than {bytes_max} bytes")]
    TooLarge { bytes_max: u64 },
}

impl From<Unfit> for io::Error {
    fn from(unfit: Unfit) -> io::Error {
        match unfit {
            Unfit::Unreadable(error) => error,
            Unfit::NotRegular | Unfit::TooLarge { .. } => {
                io::Error::new(io::ErrorKind::InvalidInput, unfit.to_string())
            }
        }
    }
}

/// The text of a regular file of at most so many bytes.
pub fn read_text(path: &Path, bytes_max: u64) -> Result<String, Unfit> {
    // Asked before it is opened: opening a pipe waits for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Unfit::NotRegular);
    }
    let file = File::open(path)?;
    // Another file may have come in its place.
    if !file.metadata()?.is_file() {
        return Err(Unfit::NotRegular);
    }
    let mut text = String::new();
    // One byte more tells a file of exactly the limit from a longer one, whatever length it claims to have.
    file.take(bytes_max.saturating_add(1)).read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max { Err(Unfit::TooLarge { bytes_max }) } else { Ok(text) }
}

/// Opens a file to append to, its owner's alone whatever the umask and its rights so far. A pipe is an error while nobody
/// reads it, rather than a wait for a reader.
pub fn append_private(path: &Path) -> io::Result<File> {
    let at_once = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().create(true).append(true).mode(PRIVATE).custom_flags(at_once).open(path)?;
    make_private(&file)?;
    Ok(file)
}

/// Replaces a file whole or not at all: a crash leaves the one before. Its owner's alone.
pub fn replace_private(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(PRIVATE).open(&beside)?;
    make_private(&file)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&beside, path)
}

/// A file that was there before keeps its rights when it is opened. One that is no file (`/dev/stdout`) is left as it is.
fn make_private(file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        file.set_permissions(PermissionsExt::from_mode(PRIVATE))?;
    }
    Ok(())
}

/// Whether others than the owner and its group may read it; false where that cannot be told.
pub fn is_readable_by_all(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero"), directory.path()] {
            let error = read_text(path, 100).unwrap_err().to_string();
            assert_eq!(error, "not a regular file", "{}", path.display());
        }
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        assert!(read_text(&link, 100).is_err());
    }

    /// A journal that is a pipe held the start up for ever, and SIGTERM with it.
    #[test]
    fn a_pipe_that_nobody_reads_is_an_error_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(append_private(&pipe).is_err());
        let _reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let mut file = append_private(&pipe).unwrap();
        let filled = (0..1_000).map(|_| file.write_all(&[0; 4_096])).find_map(Result::err).unwrap();
        assert_eq!(filled.kind(), io::ErrorKind::WouldBlock, "it does not wait for the reader either");
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("text");
        std::fs::write(&path, "0123456789").unwrap();
        assert_eq!(read_text(&path, 10).unwrap(), "0123456789");
        assert_eq!(read_text(&path, 9).unwrap_err().to_string(), "larger than 9 bytes");
    }

    #[test]
    fn what_is_written_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (journal, learnt) = (directory.path().join("journal"), directory.path().join("learnt.json"));
        std::fs::write(&journal, "old\n").unwrap();
        std::fs::set_permissions(&journal, PermissionsExt::from_mode(0o666)).unwrap();
        append_private(&journal).unwrap().write_all(b"new\n").unwrap();
        assert_eq!((mode(&journal), std::fs::read_to_string(&journal).unwrap().as_str()), (0o600, "old\nnew\n"));
        replace_private(&learnt, "{}").unwrap();
        assert_eq!(mode(&learnt), 0o600);
        assert!(!is_readable_by_all(&learnt));
    }
}
