//! Commits whose answer is lost: a file system in front of the real one that carries out and then denies.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use deltalake::DeltaTable;
use deltalake::logstore::{StorageConfig, default_logstore};
use futures::stream::BoxStream;
use schemas::Offset;
use url::Url;

use super::support::{APP, Place, all_of, append_to, letters, to};
use crate::{LakeError, Table};

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What becomes of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It does not reach the disk.
    Lost,
    /// It lands, and the answer is an error.
    Denied,
    /// It lands, and a repeated request finds it there already.
    Repeated,
}

/// The table's files; the first so many commits suffer the fault.
#[derive(Debug)]
struct FaultyStore {
    files: Arc<dyn ObjectStore>,
    fault: Fault,
    left: AtomicU32,
}

impl std::fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "faulty {}", self.files)
    }
}

impl FaultyStore {
    async fn put(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let commit = location.as_ref().starts_with("_delta_log/") && location.extension() == Some("json");
        let fails =
            commit && self.left.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if !fails {
            return self.files.put_opts(location, payload, options).await;
        }
        if self.fault != Fault::Lost {
            self.files.put_opts(location, payload, options).await?;
        }
        let source = "connection closed".into();
        Err(match self.fault {
            Fault::Repeated => Error::AlreadyExists { path: location.to_string(), source },
            _ => Error::Generic { store: "faulty", source },
        })
    }
}

// The trait's asynchronous functions are written out, which saves a dependency for one test.
impl ObjectStore for FaultyStore {
    fn put_opts<'s, 'l, 'f>(
        &'s self,
        location: &'l Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Answer<'f, PutResult>
    where
        's: 'f,
        'l: 'f,
    {
        Box::pin(self.put(location, payload, options))
    }

    fn put_multipart_opts<'s, 'l, 'f>(
        &'s self,
        location: &'l Path,
        options: PutMultipartOptions,
    ) -> Answer<'f, Box<dyn MultipartUpload>>
    where
        's: 'f,
        'l: 'f,
    {
        self.files.put_multipart_opts(location, options)
    }

    fn get_opts<'s, 'l, 'f>(&'s self, location: &'l Path, options: GetOptions) -> Answer<'f, GetResult>
    where
        's: 'f,
        'l: 'f,
    {
        self.files.get_opts(location, options)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_delimiter<'s, 'p, 'f>(&'s self, prefix: Option<&'p Path>) -> Answer<'f, ListResult>
    where
        's: 'f,
        'p: 'f,
    {
        self.files.list_with_delimiter(prefix)
    }

    fn copy_opts<'s, 'a, 'b, 'f>(&'s self, from: &'a Path, to: &'b Path, options: CopyOptions) -> Answer<'f, ()>
    where
        's: 'f,
        'a: 'f,
        'b: 'f,
    {
        self.files.copy_opts(from, to, options)
    }
}

/// A handle whose first commits suffer the fault.
fn faulty_letters(place: &Place, fault: Fault, commits: u32) -> Table {
    let mut table = place.letters();
    table.frontier(APP).unwrap();
    let log = table.delta.log_store();
    let files = FaultyStore { files: log.object_store(None), fault, left: AtomicU32::new(commits) };
    let address = Url::from_directory_path(place.folder_of("dead_letters")).unwrap();
    let log = default_logstore(Arc::new(files), log.root_object_store(None), &address, &StorageConfig::default());
    let state = table.delta.state.take();
    table.delta = DeltaTable::new(log);
    table.delta.state = state;
    table
}

/// Fails if `append` believes the error without looking for its nonce in the log: it then reports a fence or an
/// unknown outcome, or writes the rows again.
#[test]
fn a_commit_that_landed_though_its_answer_was_lost_counts() {
    for fault in [Fault::Denied, Fault::Repeated] {
        let place = Place::new();
        append_to(&mut place.letters(), 2).unwrap();
        let mut table = faulty_letters(&place, fault, 1);
        let committed = table.append(&[letters(0, 2..5)], &[to(APP, 5)]).unwrap();
        assert_eq!((committed.version, committed.rows, committed.files), (2, 3, 1), "{fault:?}");
        assert_eq!(table.frontier(APP).unwrap(), Some(Offset(5)));
        append_to(&mut table, 6).unwrap();
        assert_eq!(place.stored(), all_of(0, 0..6), "{fault:?}");
    }
}

/// Fails if an unknown failure counts as landed, or if the handle cannot be opened anew after it.
#[test]
fn a_commit_that_never_landed_is_an_error_and_can_be_made_again() {
    let place = Place::new();
    let mut table = faulty_letters(&place, Fault::Lost, 1);
    let error = table.append(&[letters(0, 0..3)], &[to(APP, 3)]).unwrap_err();
    assert!(matches!(error, LakeError::Delta { doing: "commit", .. }), "{error}");
    assert!(error.to_string().contains("open the table again"), "{error}");
    assert_eq!(place.data_files("dead_letters").len(), 1, "its file is an orphan");
    let mut again = place.letters();
    assert_eq!(again.frontier(APP).unwrap(), None);
    append_to(&mut again, 3).unwrap();
    assert_eq!(place.stored(), all_of(0, 0..3));
}

/// Fails if `landed` takes another writer's commit for its own, for example by the frontier.
#[test]
fn another_writers_commit_to_the_same_offset_is_not_taken_for_the_lost_one() {
    let place = Place::new();
    let mut table = faulty_letters(&place, Fault::Lost, 1);
    let mut other = place.letters();
    append_to(&mut other, 3).unwrap();
    let error = table.append(&[letters(0, 0..3)], &[to(APP, 3)]).unwrap_err();
    assert!(matches!(error, LakeError::Fenced { expected: None, found: Some(Offset(3)), .. }), "{error}");
    assert_eq!(place.stored(), all_of(0, 0..3));
}
