//! The protocol with one compare or one step left out or changed.

macro_rules! mutants {
    ($($(#[doc = $doc:literal])* $name:ident in $setup:literal,)*) => {
        /// One way to get the protocol wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Mutant { $($(#[doc = $doc])* $name,)* }

        impl Mutant {
            pub(crate) const ALL: &[Mutant] = &[$(Mutant::$name,)*];

            /// The name of a configuration that refutes it.
            pub(crate) fn setup(self) -> &'static str {
                match self {
                    $(Mutant::$name => $setup,)*
                }
            }
        }
    };
}

mutants! {
    // The queue.
    /// A release rings the next claim without the compare that it still exists.
    RingWithoutNextNode in "A two",
    /// A leave does not compare the mod revision of its own node: it misses a link.
    LeaveWithoutModCompare in "A crash",
    /// A cancelled join whose outcome is unknown is forgotten.
    CancelWithoutVoid in "A two",
    /// A join does not look at the void.
    JoinWithoutVoidGuard in "A two",
    /// `try` answers None while an earlier attempt may still land.
    TryNoneWithoutVoid in "A two",
    /// The second attempt of `try` does not compare the tail that it has seen.
    SecondTryWithoutTail in "A try",
    /// A link does not compare that its own node exists.
    LinkWithoutOwnNode in "A try",
    /// A link does not compare that the predecessor's node exists.
    LinkWithoutPredNode in "A two",
    /// A refused link grants, without looking for another predecessor.
    RefusedLinkGrants in "A crash",
    /// The watch on the predecessor's session is created after the link.
    WatchAfterLink in "A two",
    /// A waiting tail that withdraws deletes `tail`.
    WithdrawDeletesTail in "A withdraw",
    /// A waiting tail that withdraws leaves `tail` as it is.
    WithdrawKeepsTail in "A two",
    /// `tail` is leased.
    LeasedTail in "A crash",
    /// A withdrawal does not compare that its predecessor exists.
    WithdrawWithoutPredNode in "A withdraw",
    /// A withdrawal tells the next claim that it is its turn.
    WithdrawRingsTurn in "A withdraw",
    /// A withdrawal tells nobody.
    WithdrawWithoutRing in "A withdraw",
    /// The end of the predecessor's session counts as a grant.
    GoneGrants in "A crash",
    /// The end of the predecessor's session is not heeded.
    GoneIgnored in "A two",
    /// After a gap in the news nobody looks again.
    GapWithoutFind in "A break, crash",
    /// After a gap only those who wait look again, and holders do not.
    GapSparesHolders in "A break, evict",
    /// After a gap only those that are in line look again, not those whose join is under way.
    GapSparesJoins in "A break, evict",
    /// A watch on the ends of sessions that opens again is not heeded.
    GapInEnds in "A break, crash",
    /// A watch on the holders that opens again is not heeded.
    GapAtTheGate in "B xs break",
    /// `try` does not look whether it has been voided: evicted, it asks for ever.
    TryMissesVoid in "A break, evict",
    /// An eviction leaves no void.
    EvictWithoutVoid in "A two",
    /// An eviction believes that the next claim named in the node is in line.
    EvictTrustsNext in "A evict, crash",
    /// An eviction of the head rings `turn`.
    EvictRingsTurn in "B xsp evict",
    /// Whoever was linked behind a claim that drops its node is not told.
    DropForgetsNext in "A two",
    /// After a drop without an answer nobody looks who was behind it.
    DropUnansweredForgets in "A two",
    /// After a drop without an answer whoever comes next is told that it is its turn.
    DropUnansweredTurns in "B xsp unanswered",
    /// Whoever is told after a drop is rung without the compare that it still exists.
    TellWithoutNextNode in "A two",
    /// Every newcomer writes on the tail that it came straight in.
    EveryTailIsHead in "A withdraw",
    /// A claim goes straight in over the tail that its session has left behind, without comparing it.
    AgainTrustsItsTail in "A one session",
    /// It does so without a look at the void.
    AgainWithoutVoidGuard in "A one session, unanswered",
    /// A claim enters under a lease that was granted once more after its session had ended.
    EnterWithoutLife in "A haunted",
    /// It does so over the tail that its session has left behind.
    AgainWithoutLife in "A haunted, one session",
    /// A claim follows another without comparing that this one is the last.
    FollowWithoutTail in "A follow",
    /// It follows one that is not there.
    FollowWithoutNode in "A follow, crash",
    /// It follows one whose end would not be noticed.
    FollowWithoutWatch in "A follow, crash",
    /// It forgets the news that came before the answer.
    FollowForgetsNews in "A follow two",
    /// It forgets that the session of the claim ahead ended before the answer came.
    FollowForgetsEnd in "A follow, crash",
    /// It forgets that this may have been missed while watches opened again.
    FollowForgetsGap in "A follow, break",
    /// Who leaves hands its turn on to the claim that was expected, whoever has linked.
    HandOnWithoutLink in "A follow",
    /// It does so though that one has gone again.
    HandOnWithoutNextNode in "A follow, crash",
    /// A claim that came behind another makes its session forget the tail that it has left behind.
    LaterClaimForgetsTail in "A together",
    /// The tail that was left behind is taken away without comparing it.
    SweepWithoutTail in "A two",
    /// A mark that another claim has left is believed.
    MarkOfAnother in "A five in sequence",
    /// A withdrawal leaves the mark of a head.
    WithdrawMarksHead in "A withdraw",
    /// Whoever deletes the tail leaves the mark.
    MarkIsKept in "A two",
    /// Who says here that it waits behind a claim while that one is leaving is not told.
    LateFollowerForgotten in "A together",
    /// It is told that it is its turn, though others may have passed the gate over the tail that was left.
    LateFollowerTurns in "B xx together, s try",
    /// Whoever waits for a claim of its session that has gone without a word does not look.
    GoneHereForgotten in "A together",
    /// Who is told by another claim of its session does not look, though news were missed.
    TurnHereHidesGap in "A together, break",
    /// A claim in doubt leaves without a void.
    LeaveWithoutVoid in "A two",
    // The gate.
    /// An exclusive claim that is head does not look at the holders.
    ExclusiveIgnoresHolders in "B xss",
    /// An admission does not compare its own node.
    AdmitWithoutOwnNode in "B xsp unanswered",
    /// An admission of a shared claim does not compare that nobody holds permits.
    AdmitIgnoresPermits in "B sp",
    /// An admission does not ring the next claim.
    AdmitWithoutRing in "B xss",
    /// An admission rings `turn`.
    AdmitRingsTurn in "B pq",
    /// The head reads the holders before its watch on them is there, and not after.
    GateReadBeforeWatch in "B xs",
    /// The fast path does not look at `tail`.
    FastPathIgnoresTail in "B xs",
    /// The fast path of a shared claim does not compare that nobody holds permits.
    FastPathIgnoresPermits in "B sp",
    /// The fast path of permits does not compare that nobody came since the read.
    FastPathWithoutBound in "B pq",
    /// The fast path does not compare that the claim does not hold already.
    EnterWithoutHolderGuard in "B xs",
    /// A void does not compare that the claim does not hold.
    VoidWithoutHolderGuard in "B xs",
    /// A release in doubt leaves no void.
    ReleaseWithoutVoid in "B xs",
    /// A leave that finds its node gone does not ask whether an admission of it has landed.
    LeaveMissesHolder in "B sp",
    /// `try` does not look at the holders.
    TryIgnoresHolders in "B xs",
    /// Who queues because others of its session do, and finds nobody ahead, does not look at the holders.
    QueueIgnoresHolders in "B xs together",
}
