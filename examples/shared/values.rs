//! Values beside the locks that protect them: keys in the same etcd, nodes in the same ZooKeeper, and in this
//! process when the store is in memory. A change is refused that comes too late: when the guard holds no more.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

#[cfg(feature = "etcd")]
use yourturn::etcd;
#[cfg(feature = "zookeeper")]
use yourturn::zookeeper::{
    self,
    client::{Acls, CreateMode, Error::NodeExists},
};
use yourturn::{Error, ErrorKind, FencingToken, Guard};

use crate::parts::Failure;

/// Each with a client of its own, that knows of no locks.
pub(crate) enum Values {
    Here,
    #[cfg(feature = "etcd")]
    Etcd(Box<etcd::client::Client>),
    #[cfg(feature = "zookeeper")]
    ZooKeeper(zookeeper::client::Client),
}

/// What was read.
pub(crate) struct Value {
    key: String,
    pub(crate) number: u64,
    /// Another after each change.
    version: i64,
}

/// What is to be there instead of what was read.
pub(crate) struct Change {
    key: String,
    /// Of the guard that protects it.
    token: FencingToken,
    number: u64,
    seen: i64,
}

impl Value {
    pub(crate) fn change(self, number: u64, token: FencingToken) -> Change {
        Change { key: self.key, token, number, seen: self.version }
    }
}

impl Values {
    /// Beside the locks of this store. Passwords and certificates are not used.
    pub(crate) async fn beside(uri: &str) -> Result<Self, Failure> {
        Ok(match uri.split_once(':') {
            #[cfg(feature = "etcd")]
            Some(("etcd", _)) => {
                let uri = uri.parse::<yourturn::Uri>()?;
                let config = etcd::Config::from_uri(&uri, &mut uri.options())?;
                let endpoints = config.endpoints().collect::<Vec<_>>();
                Self::Etcd(Box::new(etcd::client::Client::connect(endpoints, None).await?))
            }
            #[cfg(feature = "zookeeper")]
            Some(("zk", _)) => {
                let uri = uri.parse::<yourturn::Uri>()?;
                let config = zookeeper::Config::from_uri(&uri, &mut uri.options())?;
                let servers = config.servers().collect::<Vec<_>>().join(",");
                Self::ZooKeeper(zookeeper::client::Client::connect(&servers).await?)
            }
            _ => Self::Here,
        })
    }

    /// Puts a value there, whatever there was.
    pub(crate) async fn put(&self, key: &str, number: u64) -> Result<(), Failure> {
        match self {
            Self::Here => drop(here().insert(key.to_owned(), Kept { number, version: 0, last: None })),
            #[cfg(feature = "etcd")]
            Self::Etcd(client) => drop(client.kv_client().put(key, number.to_string(), None).await?),
            #[cfg(feature = "zookeeper")]
            Self::ZooKeeper(client) => {
                let text = number.to_string();
                let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
                match client.create(&node(key), text.as_bytes(), &options).await {
                    Err(NodeExists) => drop(client.set_data(&node(key), text.as_bytes(), None).await?),
                    created => drop(created?),
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn read(&self, key: &str) -> Result<Value, Failure> {
        let (number, version) = match self {
            Self::Here => {
                let here = here();
                let kept = here.get(key).ok_or("there is no such value")?;
                (kept.number, kept.version)
            }
            #[cfg(feature = "etcd")]
            Self::Etcd(client) => {
                let got = client.kv_client().get(key, None).await?;
                let kept = got.kvs().first().ok_or("there is no such key")?;
                (kept.value_str()?.parse()?, kept.mod_revision())
            }
            #[cfg(feature = "zookeeper")]
            Self::ZooKeeper(client) => {
                client.sync(&node(key)).await?;
                let (kept, stat) = client.get_data(&node(key)).await?;
                (str::from_utf8(&kept)?.parse()?, stat.version.into())
            }
        };
        Ok(Value { key: key.to_owned(), number, version })
    }

    /// Makes all of these changes or none of them, in one step of the store, while `guard` holds. `false`, and
    /// none: one of the values is not any more what was read.
    ///
    /// One guard speaks for all that this process holds, because they live and die together, with its session.
    /// Only an operator can end one of them alone, by evicting its claim: then whoever comes next has changed
    /// what we have read, or finds that we have changed what it has.
    pub(crate) async fn write(&self, guard: &Guard, changes: &[Change]) -> Result<bool, Error> {
        match self {
            Self::Here => {
                guard.check()?;
                write_here(changes)
            }
            #[cfg(feature = "etcd")]
            Self::Etcd(_) => {
                use etcd::client::{Compare, CompareOp, TxnOp};
                let as_seen = |change: &Change| {
                    Compare::mod_revision(change.key.as_str(), CompareOp::Equal, change.seen)
                };
                let put = |change: &Change| TxnOp::put(change.key.as_str(), change.number.to_string(), None);
                let (when, then) = (changes.iter().map(as_seen), changes.iter().map(put));
                Ok(etcd::transact(guard, when, then).await?.succeeded())
            }
            #[cfg(feature = "zookeeper")]
            Self::ZooKeeper(_) => {
                let all: Vec<_> = changes
                    .iter()
                    .map(|change| {
                        (node(&change.key), change.number.to_string(), i32::try_from(change.seen).ok())
                    })
                    .collect();
                let set = move |then: &mut zookeeper::client::MultiWriter<'_>| {
                    all.iter().try_for_each(|(node, number, seen)| {
                        then.add_set_data(node, number.as_bytes(), *seen)
                    })
                };
                match zookeeper::transact(guard, set).await {
                    Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
                    done => done.map(|_| true),
                }
            }
        }
    }
}

#[cfg(feature = "zookeeper")]
fn node(key: &str) -> String {
    format!("/{}", key.replace('/', "-"))
}

/// A value in this process. It knows the token of the last change, and refuses an older one.
struct Kept {
    number: u64,
    version: i64,
    last: Option<FencingToken>,
}

fn here() -> MutexGuard<'static, BTreeMap<String, Kept>> {
    static HERE: Mutex<BTreeMap<String, Kept>> = Mutex::new(BTreeMap::new());
    HERE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_here(changes: &[Change]) -> Result<bool, Error> {
    let mut here = here();
    for change in changes {
        let Some(kept) = here.get(&change.key) else { return Ok(false) };
        if let Some(last) = kept.last.filter(|last| change.token < *last) {
            let message = format!("token {} is older than {last}, the last of {}", change.token, change.key);
            return Err(Error::new(ErrorKind::NotHeld, message));
        }
        if kept.version != change.seen {
            return Ok(false);
        }
    }
    for Change { key, token, number, seen } in changes {
        here.insert(key.clone(), Kept { number: *number, version: seen + 1, last: Some(*token) });
    }
    Ok(true)
}
