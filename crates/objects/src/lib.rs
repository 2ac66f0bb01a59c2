//! Files to and from object storage, under a URL: `file:///backups/quiver`, or `s3://bucket/quiver` and `gs://bucket/quiver`
//! where this is built with the feature `cloud`.
//!
//! A [`Store`] is a place for the files of one server. What is uploaded becomes visible as a whole, and is looked at once
//! more for its size; what is downloaded is on disk when the call returns, under a name of its own: whether it is what
//! it should be, and when it takes another file's place, the caller decides. Calls block, each on a runtime of its own.
//!
//! Who may read and write there comes from the environment, by the names that the stores' own tools use
//! (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT`, `GOOGLE_APPLICATION_CREDENTIALS`, ...); nothing of it is kept or
//! shown here.
//!
//! Deliberately absent: what the files are, when they are uploaded, and how often that is tried again.
#![forbid(unsafe_code)]

mod name;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, ObjectStoreScheme, WriteMultipart, parse_url_opts};
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};
use url::Url;

pub use name::dated;

/// Bytes sent or asked for at once.
const PART_BYTES: usize = 8 << 20;
/// Parts on their way at once; so much memory an upload takes.
const PARTS_AT_ONCE: usize = 4;
/// What of the environment the stores are told.
const VARIABLES: [&str; 2] = ["AWS_", "GOOGLE_"];

/// Why a file did not get there.
#[derive(Debug, Error)]
pub enum ObjectError {
    /// The URL is none, or of a store that this was built without.
    #[error("{url:?} is no place for objects: {reason}")]
    Place {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store refused a step.
    #[error("cannot {step} {name}: {source}")]
    Store {
        /// What was to be done.
        step: &'static str,
        /// With which object.
        name: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// The file on this side.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The caller gave up.
    #[error("given up")]
    GivenUp,
    /// What is there is not what was sent.
    #[error("{name} has {found} bytes there in the place of {sent}")]
    Size {
        /// The object.
        name: String,
        /// Bytes sent.
        sent: u64,
        /// Bytes there.
        found: u64,
    },
    /// There is nothing to download.
    #[error("there is no {0}")]
    Nothing(String),
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name, without the place.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// A place for files.
#[derive(Debug)]
pub struct Store {
    store: Arc<dyn ObjectStore>,
    place: ObjectPath,
    runtime: Runtime,
}

impl Store {
    /// The place of a URL.
    ///
    /// # Errors
    /// The URL is none, or its store is unknown here.
    pub fn open(url: &str) -> Result<Self, ObjectError> {
        let wrong = |reason: String| ObjectError::Place { url: without_user(url), reason };
        let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        // Its own words quote the URL, and what may be a password in it.
        let unknown = |_| wrong("its kind of store is not known".to_owned());
        let (scheme, place) = ObjectStoreScheme::parse(&parsed).map_err(unknown)?;
        if scheme == ObjectStoreScheme::Local {
            // Safe on disk, like everything else that is said to be there.
            return Self::with(Arc::new(LocalFileSystem::new().with_fsync(true)), place);
        }
        let variables = std::env::vars().filter(|(name, _)| VARIABLES.iter().any(|prefix| name.starts_with(prefix)));
        let (store, place) = parse_url_opts(&parsed, variables).map_err(|error| wrong(error.to_string()))?;
        Self::with(Arc::from(store), place)
    }

    /// A place in a store.
    ///
    /// # Errors
    /// The system gives no runtime.
    pub fn with(store: Arc<dyn ObjectStore>, place: ObjectPath) -> Result<Self, ObjectError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { store, place, runtime })
    }

    /// The name a URL ends with, where that is one file: what is left is the place. `None` for a place.
    pub fn split(url: &str) -> Option<(&str, &str)> {
        let (place, name) = url.rsplit_once('/')?;
        Path::new(name).extension().is_some_and(|extension| extension == "rdb").then_some((place, name))
    }

    /// Uploads a file; gives its length. `goes_on` is asked before each part.
    ///
    /// # Errors
    /// The object is not there, or is the one that was there before.
    pub fn upload(&self, file: &mut File, name: &str, goes_on: &dyn Fn() -> bool) -> Result<u64, ObjectError> {
        let path = self.path(name);
        let fail = |step| move |source| ObjectError::Store { step, name: name.to_owned(), source };
        let sent = self.runtime.block_on(async {
            let upload = self.store.put_multipart(&path).await.map_err(fail("begin"))?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
            let (mut sent, mut part) = (0, vec![0; PART_BYTES]);
            loop {
                let read = if goes_on() { read_part(file, &mut part) } else { Err(ObjectError::GivenUp) };
                let len = match read {
                    Ok(0) => break,
                    Ok(len) => len,
                    Err(error) => {
                        // Parts that stay are the store's to remove.
                        let _ = upload.abort().await;
                        return Err(error);
                    }
                };
                upload.wait_for_capacity(PARTS_AT_ONCE).await.map_err(fail("send a part of"))?;
                upload.write(&part[..len]);
                sent += len as u64;
            }
            upload.finish().await.map_err(fail("finish"))?;
            Ok(sent)
        })?;
        let found = self.runtime.block_on(self.store.head(&path)).map_err(fail("look at"))?.size;
        if found != sent {
            return Err(ObjectError::Size { name: name.to_owned(), sent, found });
        }
        Ok(sent)
    }

    /// The objects of this place whose names begin with `prefix`, by name. None where the place does not exist.
    ///
    /// # Errors
    /// The store does not say.
    pub fn list(&self, prefix: &str) -> Result<Vec<Object>, ObjectError> {
        let listed = self.runtime.block_on(self.store.list_with_delimiter(Some(&self.place)));
        let listed = match listed {
            Ok(listed) => listed.objects,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(source) => return Err(ObjectError::Store { step: "list", name: self.place.to_string(), source }),
        };
        let objects = listed
            .into_iter()
            .filter_map(|object| Some(Object { name: object.location.filename()?.to_owned(), bytes: object.size }));
        let mut objects: Vec<Object> = objects.filter(|object| object.name.starts_with(prefix)).collect();
        objects.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(objects)
    }

    /// Downloads an object into a file that must not be there, and brings it to the disk; gives its length.
    ///
    /// # Errors
    /// The file is not whole; it is gone again.
    pub fn download(&self, name: &str, to: &Path) -> Result<u64, ObjectError> {
        let mut file = File::options().write(true).create_new(true).open(to)?;
        self.download_into(name, &mut file).inspect_err(|_| drop(std::fs::remove_file(to)))
    }

    fn download_into(&self, name: &str, file: &mut File) -> Result<u64, ObjectError> {
        let path = self.path(name);
        let fail = |step| {
            move |source| match source {
                object_store::Error::NotFound { .. } => ObjectError::Nothing(name.to_owned()),
                source => ObjectError::Store { step, name: name.to_owned(), source },
            }
        };
        let bytes = self.runtime.block_on(self.store.head(&path)).map_err(fail("look at"))?.size;
        let mut at = 0;
        while at < bytes {
            let end = bytes.min(at + PART_BYTES as u64);
            let part = self.runtime.block_on(self.store.get_range(&path, at..end)).map_err(fail("read"))?;
            if part.len() as u64 != end - at {
                return Err(ObjectError::Size { name: name.to_owned(), sent: at + part.len() as u64, found: bytes });
            }
            file.write_all(&part)?;
            at = end;
        }
        file.sync_all()?;
        Ok(bytes)
    }

    /// Removes an object.
    ///
    /// # Errors
    /// It stays.
    pub fn remove(&self, name: &str) -> Result<(), ObjectError> {
        let removed = self.runtime.block_on(self.store.delete(&self.path(name)));
        removed.map_err(|source| ObjectError::Store { step: "remove", name: name.to_owned(), source })
    }

    fn path(&self, name: &str) -> ObjectPath {
        self.place.clone().join(name)
    }
}

/// Fills a part as far as the file goes.
fn read_part(file: &mut File, part: &mut [u8]) -> Result<usize, ObjectError> {
    let mut filled = 0;
    while filled < part.len() {
        match file.read(&mut part[filled..])? {
            0 => break,
            len => filled += len,
        }
    }
    Ok(filled)
}

/// A URL without what may be a password in it.
fn without_user(url: &str) -> String {
    match (url.find("://"), url.find('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}://{}", &url[..scheme], &url[at + 1..]),
        _ => url.to_owned(),
    }
}
