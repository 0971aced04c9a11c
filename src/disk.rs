//! Files that people name: read only where they are regular files and not too large, written whole or not at all.
//!
//! A name may stand for a pipe that nobody writes into, or a device that never ends; opening one must not hang, nor
//! reading it take all memory, nor writing it put a file in its place.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

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

/// Opens a regular file to read.
pub fn open_regular(path: &Path) -> Result<File, Unfit> {
    // Asked before it is opened: opening a pipe waits for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Unfit::NotRegular);
    }
    let file = File::open(path)?;
    // Another file may have come in its place.
    if file.metadata()?.is_file() { Ok(file) } else { Err(Unfit::NotRegular) }
}

/// The text of a regular file of at most so many bytes.
pub fn read_text(path: &Path, bytes_max: u64) -> Result<String, Unfit> {
    let file = open_regular(path)?;
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
    match in_place(path)? {
        Some(mut file) => file.write_all(text.as_bytes()),
        None => put_in_place(path, |file| {
            make_private(file)?;
            file.write_all(text.as_bytes())
        }),
    }
}

/// The same for what is no secret: one that was there keeps its rights. A pipe is waited for until it is read.
pub fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    match in_place(path)? {
        Some(mut file) => {
            let flags = rustix::fs::fcntl_getfl(&file)?;
            rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
            write(&mut file)
        }
        None => put_in_place(path, |file| {
            if let Ok(before) = std::fs::metadata(path) {
                file.set_permissions(before.permissions())?;
            }
            write(file)
        }),
    }
}

/// What is there and no regular file (`/dev/null`, a pipe) is written into: a file in its place would be its end. None where a regular
/// file is to be replaced, or there is nothing yet.
fn in_place(path: &Path) -> io::Result<Option<File>> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            let at_once = OFlags::NONBLOCK.bits().cast_signed();
            OpenOptions::new().write(true).custom_flags(at_once).open(path).map(Some)
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Written beside it and then renamed, so that whoever reads it, or a kill, finds it whole. A link stays one: what it leads to is replaced.
fn put_in_place(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    // What an earlier run left, or somebody put there: never written through.
    let _ = std::fs::remove_file(&beside);
    let mut file = OpenOptions::new().create_new(true).write(true).open(&beside)?;
    let put = write(&mut file).and_then(|()| std::fs::rename(&beside, &path));
    if put.is_err() {
        // What was begun is of no use; the error says what stopped it.
        let _ = std::fs::remove_file(&beside);
    }
    put
}

/// Whether two names are of one regular file. False where that cannot be told.
pub fn is_same_file(a: &Path, b: &Path) -> bool {
    let identity = |path: &Path| {
        let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        Some((metadata.dev(), metadata.ino()))
    };
    identity(a).is_some_and(|one| identity(b) == Some(one))
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

/// Of a file that is not there, another is named; one that is there is not made better by that.
pub fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            "it is there, but damaged, or not of this kind"
        }
        _ => "name a file or directory that exists and is readable",
    }
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

    /// `import --to /dev/null` as root once left a regular file where the device was. A pipe stands for it: tests need no root.
    #[test]
    fn what_is_no_regular_file_is_written_into_and_stays_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(
            replace_private(&pipe, "x").is_err() && replace(&pipe, |file| file.write_all(b"x")).is_err(),
            "nobody reads"
        );
        let mut reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        replace_private(&pipe, "one ").unwrap();
        replace(&pipe, |file| file.write_all(b"two")).unwrap();
        let mut read = [0; 7];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"one two");
        assert!(!std::fs::metadata(&pipe).unwrap().is_file());
        replace(Path::new("/dev/null"), |file| file.write_all(b"x")).unwrap();
        assert!(replace(directory.path(), |_| Ok(())).is_err(), "a directory is no place");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside");
    }

    #[test]
    fn a_file_is_replaced_whole_through_its_link_and_with_its_rights() {
        let directory = tempfile::tempdir().unwrap();
        let [path, link, trap] = ["counts", "link", "counts.part"].map(|name| directory.path().join(name));
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        std::os::unix::fs::symlink("/dev/full", &trap).unwrap();
        replace(&link, |file| file.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        let failed = replace(&path, |file| file.write_all(b"half").and(Err(io::Error::other("stopped"))));
        assert!(failed.is_err() && !trap.exists());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert!(is_same_file(&path, &link) && !is_same_file(&path, directory.path()));
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
