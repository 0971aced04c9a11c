//! A store in memory that can be made to die, to fail now and then, and to answer in any order.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::super::Store;

/// Clones share the objects.
#[derive(Clone, Debug)]
pub struct Fragile {
    objects: Arc<InMemory>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// Changes until it is dead: then nothing is answered.
    changes_left: AtomicI64,
    /// The last one before that is done, and its answer is lost.
    does_the_last: AtomicBool,
    /// Every so many-eth call fails; 0: none.
    fails_every: AtomicU64,
    calls: AtomicU64,
    /// How often each call gives way to others, by the bits of a seed.
    seed: AtomicU64,
}

fn failure(cause: &'static str) -> Error {
    Error::Generic { store: "fragile", source: cause.into() }
}

impl Fragile {
    pub fn new() -> Fragile {
        let state = State {
            changes_left: AtomicI64::new(i64::MAX),
            does_the_last: AtomicBool::new(false),
            fails_every: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            seed: AtomicU64::new(0),
        };
        Fragile { objects: Arc::default(), state: Arc::new(state) }
    }

    pub fn store(&self) -> Store {
        Store::of(Arc::new(self.clone()))
    }

    /// Lets it live for so many changes.
    pub fn revive(&self, changes: i64, does_the_last: bool) {
        self.state.changes_left.store(changes, Ordering::Relaxed);
        self.state.does_the_last.store(does_the_last, Ordering::Relaxed);
    }

    pub fn fail_every(&self, calls: u64) {
        self.state.fails_every.store(calls, Ordering::Relaxed);
    }

    pub fn give_way_by(&self, seed: u64) {
        self.state.seed.store(seed | 1, Ordering::Relaxed);
    }

    async fn call(&self) -> Result<()> {
        let call = self.state.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let seed = self.state.seed.load(Ordering::Relaxed);
        if seed != 0 {
            let turns = seed.wrapping_mul(call.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1) >> 61;
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        }
        let fails_every = self.state.fails_every.load(Ordering::Relaxed);
        if fails_every > 0 && call.is_multiple_of(fails_every) {
            return Err(failure("slow down"));
        }
        if self.state.changes_left.load(Ordering::Relaxed) < 0 { Err(failure("dead")) } else { Ok(()) }
    }

    /// Whether a change may be done, and whether its answer comes.
    async fn change(&self) -> Result<bool> {
        self.call().await?;
        let left = self.state.changes_left.fetch_sub(1, Ordering::Relaxed) - 1;
        match left {
            0.. => Ok(true),
            _ if self.state.does_the_last.load(Ordering::Relaxed) => Ok(false),
            _ => Err(failure("dead")),
        }
    }
}

impl fmt::Display for Fragile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fragile")
    }
}

#[async_trait]
impl ObjectStore for Fragile {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let is_answered = self.change().await?;
        let put = self.objects.put_opts(location, payload, options).await;
        if is_answered { put } else { Err(failure("dead")) }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.call().await?;
        self.objects.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |location: Result<Path>| {
            let this = this.clone();
            async move {
                let location = location?;
                let is_answered = this.change().await?;
                let one = stream::once(async move { Ok(location) }).boxed();
                let mut deleted: Vec<Path> = this.objects.delete_stream(one).try_collect().await?;
                let location = deleted.pop().ok_or_else(|| failure("nothing was deleted"))?;
                if is_answered { Ok(location) } else { Err(failure("dead")) }
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            this.call().await?;
            this.objects.list(prefix.as_ref()).try_collect::<Vec<_>>().await
        };
        let flat = |listed: Result<Vec<ObjectMeta>>| match listed {
            Ok(files) => stream::iter(files.into_iter().map(Ok)).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        };
        stream::once(listed).flat_map(flat).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
