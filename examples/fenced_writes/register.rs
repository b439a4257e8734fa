//! What the lock protects, in each store.

use std::sync::{Mutex, PoisonError};

use yourturn::{FencingToken, Guard};
#[cfg(feature = "zookeeper")]
use yourturn::{
    Uri,
    zookeeper::{
        Config,
        client::{Acls, Client, CreateMode, Error::NodeExists},
    },
};

use crate::Failure;

pub(crate) enum Register {
    /// In this process. It keeps the highest token that it has seen.
    Here(Here),
    /// A key in etcd.
    #[cfg(feature = "etcd")]
    Etcd,
    /// A node in ZooKeeper, and a client to read it.
    #[cfg(feature = "zookeeper")]
    ZooKeeper(Client),
}

impl Register {
    #[cfg(feature = "etcd")]
    const KEY: &str = "fenced_writes/register";
    #[cfg(feature = "zookeeper")]
    const NODE: &str = "/fenced_writes-register";

    pub(crate) async fn beside(uri: &str) -> Result<Self, Failure> {
        Ok(match uri.split_once(':') {
            #[cfg(feature = "etcd")]
            Some(("etcd", _)) => Self::Etcd,
            #[cfg(feature = "zookeeper")]
            Some(("zk", _)) => Self::ZooKeeper(client_with_node(&uri.parse()?, Self::NODE).await?),
            _ => Self::Here(Here::default()),
        })
    }

    /// Writes, while the guard holds.
    pub(crate) async fn write(&self, guard: &Guard, value: &str) -> Result<(), Failure> {
        match self {
            Self::Here(register) => register.write(guard.token(), value)?,
            #[cfg(feature = "etcd")]
            Self::Etcd => {
                let put = yourturn::etcd::client::TxnOp::put(Self::KEY, value, None);
                yourturn::etcd::transact(guard, [], [put]).await?;
            }
            #[cfg(feature = "zookeeper")]
            Self::ZooKeeper(_) => {
                let value = value.to_owned();
                let set = move |then: &mut yourturn::zookeeper::client::MultiWriter<'_>| {
                    then.add_set_data(Self::NODE, value.as_bytes(), None)
                };
                yourturn::zookeeper::transact(guard, set).await?;
            }
        }
        Ok(())
    }

    /// What it holds, for whoever has the lock.
    pub(crate) async fn read(&self, guard: &Guard) -> Result<String, Failure> {
        match self {
            Self::Here(register) => {
                guard.check()?;
                Ok(register.read())
            }
            #[cfg(feature = "etcd")]
            Self::Etcd => {
                use yourturn::etcd::client::{TxnOp, TxnOpResponse};
                let get = TxnOp::get(Self::KEY, None);
                let answers = yourturn::etcd::transact(guard, [], [get]).await?.op_responses();
                let Some(TxnOpResponse::Get(got)) = answers.first() else { return Err("no answer".into()) };
                Ok(got.kvs().first().ok_or("the register is gone")?.value_str()?.to_owned())
            }
            #[cfg(feature = "zookeeper")]
            Self::ZooKeeper(client) => {
                client.sync(Self::NODE).await?;
                let (value, _) = client.get_data(Self::NODE).await?;
                guard.check()?;
                Ok(String::from_utf8(value)?)
            }
        }
    }
}

#[cfg(feature = "zookeeper")]
async fn client_with_node(uri: &Uri, node: &str) -> Result<Client, Failure> {
    let config = Config::from_uri(uri, &mut uri.options())?;
    let client = Client::connect(&config.servers().collect::<Vec<_>>().join(",")).await?;
    match client.create(node, b"", &CreateMode::Persistent.with_acls(Acls::anyone_all())).await {
        Ok(_) | Err(NodeExists) => Ok(client),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, Default)]
pub(crate) struct Here(Mutex<(String, Option<FencingToken>)>);

impl Here {
    fn write(&self, token: FencingToken, value: &str) -> Result<(), String> {
        let mut register = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (current, last) = &mut *register;
        match last {
            Some(last) if token < *last => Err(format!("token {token} is older than {last}")),
            _ => {
                (*current, *last) = (value.to_owned(), Some(token));
                Ok(())
            }
        }
    }

    fn read(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}
