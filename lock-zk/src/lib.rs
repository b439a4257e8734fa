//! ZooKeeper as a store of yourturn.
#![forbid(unsafe_code)]
