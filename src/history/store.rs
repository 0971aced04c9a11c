//! The place where a history lies: every call of it has a deadline and ends in an error with its remedy.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error as Cause, ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use super::Error;

/// A store that answers at all answers within this; a day's file of a large system has some megabytes.
const DEADLINE: Duration = Duration::from_secs(30);

/// A file that is larger is none of headroom's.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// See the module.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    /// As people name it.
    place: String,
    /// Where it is a folder.
    folder: Option<PathBuf>,
}

impl Store {
    /// Whether a text names such a place, and not a file.
    pub fn is_place(text: &str) -> bool {
        text.contains("://") || std::path::Path::new(text).is_dir()
    }

    /// Whether it is a folder with a history in it.
    pub fn is_history(text: &str) -> bool {
        std::path::Path::new(text).join(super::Of::Watch.name()).is_dir()
    }

    /// A folder, which must be there.
    pub fn open(place: &str) -> Result<Store, Error> {
        if place.contains("://") {
            return Err(Error::NoFolder { place: place.to_owned() });
        }
        let failed = |cause| Error::Folder { place: place.to_owned(), cause };
        let folder = std::fs::canonicalize(place).map_err(failed)?;
        let inner = LocalFileSystem::new_with_prefix(&folder).map_err(|cause| failed(std::io::Error::other(cause)))?;
        Ok(Store { inner: Arc::new(inner), place: place.to_owned(), folder: Some(folder) })
    }

    /// The same, made where it is not there yet.
    pub fn make(place: &str) -> Result<Store, Error> {
        if !place.contains("://") {
            std::fs::create_dir_all(place).map_err(|cause| Error::Folder { place: place.to_owned(), cause })?;
        }
        Store::open(place)
    }

    #[cfg(test)]
    pub fn of(inner: Arc<dyn ObjectStore>) -> Store {
        Store { inner, place: "memory".to_owned(), folder: None }
    }

    pub fn place(&self) -> &str {
        &self.place
    }

    async fn within<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, Cause>>,
    ) -> Result<Result<T, Cause>, Error> {
        let slow = |_| Error::Slow { place: self.place.clone(), what, seconds: DEADLINE.as_secs() };
        tokio::time::timeout(DEADLINE, call).await.map_err(slow)
    }

    fn refused(&self, what: &'static str) -> impl Fn(Cause) -> Error {
        let place = self.place.clone();
        move |cause| Error::Refused { place: place.clone(), what, cause: cause.to_string().replace('\n', " ") }
    }

    /// Every file below a folder, in the order of their names.
    pub async fn list(&self, below: Option<&Path>) -> Result<Vec<Path>, Error> {
        let listed = self.inner.list(below).map_ok(|file| file.location).try_collect::<Vec<_>>();
        let mut files = self.within("to list files", listed).await?.map_err(self.refused("to list files"))?;
        files.sort_unstable();
        Ok(files)
    }

    /// None where it is gone.
    pub async fn get(&self, path: &Path) -> Result<Option<Bytes>, Error> {
        const WHAT: &str = "to read a file";
        let read = async {
            let got = self.inner.get(path).await?;
            if got.meta.size > FILE_BYTES_MAX { Ok(Bytes::new()) } else { got.bytes().await }
        };
        match self.within(WHAT, read).await? {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Cause::NotFound { .. }) => Ok(None),
            Err(cause) => Err(self.refused(WHAT)(cause)),
        }
    }

    /// Whole or not at all, and the same again where it is tried again.
    pub async fn put(&self, path: &Path, bytes: Bytes) -> Result<(), Error> {
        const WHAT: &str = "to write a file";
        let put = self.inner.put(path, PutPayload::from_bytes(bytes));
        self.within(WHAT, put).await?.map_err(self.refused(WHAT)).map(|_| ())
    }

    /// The same where no file has the name; whether it was so. Of a folder it is on the disk then, as others are removed for its sake.
    pub async fn create(&self, path: &Path, bytes: Bytes) -> Result<bool, Error> {
        const WHAT: &str = "to write a file";
        let put = self.inner.put_opts(path, PutPayload::from_bytes(bytes), PutMode::Create.into());
        match self.within(WHAT, put).await? {
            Ok(_) => {}
            Err(Cause::AlreadyExists { .. } | Cause::Precondition { .. }) => return Ok(false),
            Err(cause) => return Err(self.refused(WHAT)(cause)),
        }
        if let Some(folder) = &self.folder {
            let written = folder.join(path.as_ref());
            let synced = tokio::task::spawn_blocking(move || {
                std::fs::File::open(&written)?.sync_all()?;
                written.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
            });
            let failed = |cause| Error::Folder { place: self.place.clone(), cause };
            synced.await.map_err(|cause| failed(cause.into()))?.map_err(failed)?;
        }
        Ok(true)
    }

    /// What is gone already is as good.
    pub async fn delete(&self, path: &Path) -> Result<(), Error> {
        const WHAT: &str = "to remove a file";
        match self.within(WHAT, self.inner.delete(path)).await? {
            Ok(()) | Err(Cause::NotFound { .. }) => Ok(()),
            Err(cause) => Err(self.refused(WHAT)(cause)),
        }
    }
}
