//! The contract of yourturn, and everything that is written once over it.
//!
//! Users depend on the facade, `yourturn`; this crate is for those who add a store. [`backend`] is the seam
//! that a store implements, [`mod@line`] the pure rule of who is granted, [`Memory`] the in-process store,
//! which is also the reference for every other.
#![forbid(unsafe_code)]

mod answer;
pub mod backend;
#[cfg_attr(not(feature = "testkit"), doc(hidden))]
pub mod bug;
mod capability;
mod claim;
mod coordinator;
mod error;
mod guard;
pub mod line;
mod memory;
mod name;
mod options;
mod recipe;
mod record;
mod replacement;
pub mod runtime;
mod session;
pub mod sync;
mod token;
mod uri;
mod work;

pub use backend::{Line, LinePlace};
pub use capability::{
    Capabilities, Consistency, Fairness, Liveness, Modes, Names, Requirement, TokenScope, WakeUp,
};
pub use claim::{Claim, ClaimId, Fate, Grant, Payload, Ticket};
pub use coordinator::{Coordinator, HealthWatch};
pub use error::{Effect, Error, ErrorKind, Result};
pub use guard::{Guard, Lost};
pub use line::Mode;
pub use memory::Memory;
#[cfg(feature = "testkit")]
pub use memory::Residue;
pub use name::{Kind, LineId, Name};
pub use options::Options;
pub use recipe::{
    Barrier, DoubleBarrier, Election, Group, GroupWatch, Inside, Latch, Leader, Leadership, Member, Members,
    Membership, MultiGuard, MultiLock, Mutex, Observer, OnLoss, Outcome, ReentrantGuard, ReentrantMutex,
    RwLock, Semaphore, Standing, Task, Turn, WriteGuard,
};
#[cfg(feature = "testkit")]
pub use recipe::{Claims, Mutant};
pub use runtime::Moment;
pub use session::{Health, Lease, LostReason, SessionId, SessionOptions};
pub use token::FencingToken;
pub use uri::{Uri, UriOptions};
