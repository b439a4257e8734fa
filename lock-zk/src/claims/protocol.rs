//! What a layout decides: which nodes say who is in line, and what a claim waits for.

use lock_core::{ClaimId, Line, LineId, Mode, Modes, Moment, Names, Result, backend::Record};

use super::{Claims, Counted, Seat, Standing, Watch, Work};
use crate::{error::Said, mirror::Mirror};

/// How claims take turns.
pub(crate) trait Protocol: Sized + Send + Sync + 'static {
    const NAMES: Names;

    /// The modes that there are.
    fn modes(&self) -> Modes;

    /// Where the nodes of a line lie.
    type Paths: Send + Sync;

    /// How far a claim has come on its way to its turn.
    type Way: Send;

    /// # Errors
    ///
    /// A name that cannot be used.
    fn paths(&self, line: &LineId) -> Result<Self::Paths>;

    /// Of a claim that has come here, about which nothing else is known.
    fn way(seat: &Seat) -> Self::Way;

    /// Whether it is the turn of a claim that has just come in, as far as is known.
    fn holds(work: &Work<Self>) -> bool;

    /// What a claim's node says.
    fn data(standing: &Standing<Self>, seat: &Seat, record: &Record) -> Vec<u8>;

    /// Makes the claim's node.
    fn come_in(
        claims: &Claims<Self>,
        standing: &Standing<Self>,
        work: &mut Work<Self>,
    ) -> impl Future<Output = Result<Said<()>>> + Send;

    /// Whether nothing in line keeps a claim out, where it stands or else at the end.
    fn looks_free(
        claims: &Claims<Self>,
        standing: &Standing<Self>,
        mode: Mode,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Whether a claim in line need not wait for any that conflicts with it.
    fn passes_soon(
        claims: &Claims<Self>,
        standing: &Standing<Self>,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Waits until the claim holds; the watch on its node, if there is one.
    fn take_turn(
        claims: &Claims<Self>,
        standing: &Standing<Self>,
        work: &mut Work<Self>,
    ) -> impl Future<Output = Result<Option<Watch>>> + Send;

    /// Where a claim is whose request to come in, made at `sent`, was not answered; and since which
    /// transaction.
    fn find(
        claims: &Claims<Self>,
        standing: &Standing<Self>,
        mode: Mode,
        sent: Moment,
    ) -> impl Future<Output = Result<Option<(Seat, i64)>>> + Send;

    /// What the session has in the line's queue.
    fn count(claims: &Claims<Self>, paths: &Self::Paths) -> impl Future<Output = Result<Counted>> + Send;

    /// Takes the claim's node at `path` away.
    fn go(
        claims: &Claims<Self>,
        work: &Work<Self>,
        path: &str,
    ) -> impl Future<Output = Result<Said<()>>> + Send;

    /// Makes the mode of a claim that holds that of `record`, which is weaker.
    fn weaken(
        claims: &Claims<Self>,
        standing: &Standing<Self>,
        work: &mut Work<Self>,
        record: Record,
    ) -> impl Future<Output = Result<()>> + Send;

    /// The line as the session's server has it.
    fn see(
        claims: &Claims<Self>,
        line: &LineId,
        mirror: &mut Mirror,
    ) -> impl Future<Output = Result<Line>> + Send;

    /// The nodes of anybody's claim, in the order in which a claim moves.
    fn nodes_of(
        claims: &Claims<Self>,
        line: &LineId,
        claim: ClaimId,
    ) -> impl Future<Output = Result<Vec<String>>> + Send;
}
