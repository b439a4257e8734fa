//! From a URI to a coordinator of the store that it names.

use std::{ops::Deref, sync::Arc};

use lock_core::{Error, ErrorKind, Memory, Options, Result, Uri, UriOptions, backend::Backend};

/// The way to one store, named by a URI: hands out locks and tasks.
///
/// Everything but the connecting is that of [`lock_core::Coordinator`], which this derefs to.
#[derive(Clone, Debug)]
pub struct Coordinator(lock_core::Coordinator);

impl Coordinator {
    /// Connects to the store that `uri` names: `memory://demo?ttl=10s`.
    ///
    /// Every store takes the options `ttl` (how long it keeps the claims of a process that went silent;
    /// default `10s`) and `owner` (who is shown as holding or waiting; default host and process id).
    ///
    /// # Errors
    ///
    /// Before any I/O: [`ErrorKind::UnknownScheme`] for a store that this build does not have,
    /// [`ErrorKind::InvalidOption`] for an option that is unknown or malformed,
    /// [`ErrorKind::RuntimeStopped`] outside a tokio runtime. Then whatever keeps the store from being used,
    /// within its connect timeout.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the session is closed in the background.
    pub async fn connect(uri: &str) -> Result<Self> {
        Self::connect_with(uri, Options::default()).await
    }

    /// As [`connect`](Self::connect), with options for what the URI does not say. Where both say something, the
    /// URI counts.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(uri: &str, options: Options) -> Result<Self> {
        let (backend, options) = configure(uri, options).map_err(|error| error.during("connect"))?;
        Self::open(backend, options).await
    }

    /// Connects to a store that was configured by hand.
    ///
    /// # Errors
    ///
    /// As [`lock_core::Coordinator::open`].
    ///
    /// # Cancel safety
    ///
    /// As [`lock_core::Coordinator::open`].
    pub async fn open(backend: Arc<dyn Backend>, options: Options) -> Result<Self> {
        lock_core::Coordinator::open(backend, options).await.map(Self)
    }
}

impl Deref for Coordinator {
    type Target = lock_core::Coordinator;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// A store that a URI can name.
struct Scheme {
    name: &'static str,
    /// The feature that compiles it in; `None`: always there.
    feature: Option<&'static str>,
    /// What reads its URI, when it is compiled in. Takes its own options out of those given.
    configure: Option<Configure>,
}

type Configure = fn(&Uri, &mut UriOptions) -> Result<Arc<dyn Backend>>;

#[cfg(feature = "etcd")]
const ETCD: Option<Configure> = Some(|uri, options| {
    let config = lock_etcd::Config::from_uri(uri, options)?;
    Ok(Arc::new(lock_etcd::Etcd::new(config)))
});
#[cfg(not(feature = "etcd"))]
const ETCD: Option<Configure> = None;

#[cfg(feature = "zookeeper")]
const ZOOKEEPER: Option<Configure> = Some(|uri, options| {
    let config = lock_zk::Config::from_uri(uri, options)?;
    Ok(Arc::new(lock_zk::Zk::new(config)?))
});
#[cfg(not(feature = "zookeeper"))]
const ZOOKEEPER: Option<Configure> = None;

const SCHEMES: &[Scheme] = &[
    Scheme { name: "memory", feature: None, configure: Some(|uri, _| Ok(Arc::new(Memory::from_uri(uri)?))) },
    Scheme { name: "etcd", feature: Some("etcd"), configure: ETCD },
    Scheme { name: "zk", feature: Some("zookeeper"), configure: ZOOKEEPER },
];

fn configure(uri: &str, options: Options) -> Result<(Arc<dyn Backend>, Options)> {
    let uri: Uri = uri.parse()?;
    let scheme = SCHEMES.iter().find(|scheme| scheme.name == uri.scheme());
    let Some(configure) = scheme.and_then(|scheme| scheme.configure) else {
        return Err(unknown(uri.scheme(), scheme.and_then(|scheme| scheme.feature)));
    };
    let mut given = uri.options();
    // A store may have names of its own for what every store takes.
    let backend = configure(&uri, &mut given)?;
    let options = options.with_uri(&mut given)?;
    given.finish()?;
    Ok((backend, options))
}

fn unknown(scheme: &str, feature: Option<&str>) -> Error {
    let compiled = SCHEMES.iter().filter(|scheme| scheme.configure.is_some());
    let compiled = compiled.map(|scheme| format!("{}://", scheme.name)).collect::<Vec<_>>().join(", ");
    let why = match feature {
        Some(feature) => {
            format!("{scheme}:// needs the feature `{feature}`, which this build of yourturn does not have")
        }
        None => format!("no store is called {scheme:?}"),
    };
    Error::new(ErrorKind::UnknownScheme, format!("{why}; it has {compiled}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c13_a_store_that_was_left_out_is_refused_with_the_feature_that_it_needs() {
        let error = unknown("zk", Some("zookeeper"));
        assert_eq!(error.kind(), ErrorKind::UnknownScheme);
        let said = "zk:// needs the feature `zookeeper`, which this build of yourturn does not have; it has memory://";
        assert!(error.to_string().starts_with(said), "{error}");
    }
}
