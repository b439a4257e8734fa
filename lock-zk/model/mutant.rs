//! The protocol with one look or one step left out or changed.

macro_rules! mutants {
    ($($(#[doc = $doc:literal])* $name:ident in $setup:literal,)*) => {
        /// One way to get the protocol wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Mutant { $($(#[doc = $doc])* $name,)* }

        impl Mutant {
            pub(crate) const ALL: &[Mutant] = &[$(Mutant::$name,)*];

            /// The name of a configuration that refutes it; where joins must not read the queue for that, it says so.
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
    /// The deletion of the node ahead counts as a grant.
    DeletedGrants in "Q withdraw, crash",
    /// What an event said counts as if an answer had: the next server may not have come as far.
    EventIsALook in "G xs",
    /// A claim that is not the head raises the floor when it withdraws.
    WithdrawalWritesFloor in "Q withdraw, crash",
    /// A newcomer that is the queue's only child is the head, whatever has happened since it came.
    JoinTrustsCount in "Q evict, withdraw",
    /// A newcomer that finds the floor below it is the head, whether or not it is still there.
    JoinTrustsFloor in "Q evict, withdraw",
    /// A watch is set on a node that was there a moment ago.
    ReadThenWatch in "Q withdraw, crash",
    /// Of the nodes that it has listed a claim looks at the last one only.
    ListStopsEarly in "Q list",
    /// The watch on the own node is not heeded before a grant.
    OwnWatchIgnored in "Q evict, withdraw",
    /// A holder does not watch its own node.
    HolderUnwatched in "Q evict, withdraw",
    /// A claim whose session's deadline has passed is granted.
    DeadlineIgnored in "Q withdraw, crash",
    /// `try` looks without a `sync` before.
    TryWithoutSync in "Q try",
    /// `try` answers None and does not withdraw.
    TryStays in "Q try",
    // What a session knows of the floor.
    /// What was known of the queue before counts in the next one.
    FloorOfAnotherQueue in "Q one session reap, blind",
    /// Its floor is known as soon as a release has been sent.
    ReleaseIsBelieved in "Q one session, blind",
    /// A floor that was known before the create lets in a claim that has heard more since.
    FloorOfBeforeIsEnough in "Q one session evict",
    /// A floor that is not right below says who is behind the gate.
    OldFloorSaysHeld in "G one session, xxs",
    // Lost connections.
    /// After a create without an answer: once more.
    LostCreateForgotten in "Q reconnect, withdraw",
    /// What became of a write is looked up without an empty write before.
    LookUpWithoutWrite in "Q reconnect, withdraw",
    /// A cancelled join without an answer is forgotten.
    CancelForgetsCreate in "Q all",
    /// A claim that was found after a create without an answer is the head.
    AdoptedIsHead in "Q reconnect, withdraw",
    /// A delete without an answer is believed to be done.
    LostLeaveIsDone in "Q reconnect, withdraw",
    /// The watches are not set again.
    NoSetWatches in "Q reconnect, withdraw",
    /// A queue that is made again has the name of the one before: `q`, and not `q/<random>`.
    OneNameForAllQueues in "Q reap",
    // The gate.
    /// An exclusive claim that is head does not look at the holders.
    ExclusiveIgnoresHolders in "G xs",
    /// A shared claim that is head does not look for permits.
    SharedIgnoresPermits in "G sp",
    /// An exclusive claim looks at one of the holders that it has read, and not at the others.
    OneHolderIsAll in "G xss withdraw",
    /// The event that the last holder is gone lets an exclusive claim in.
    EventGrants in "G xs",
    /// A claim of permits watches one holder.
    PermitsWatchOne in "G ppp",
    /// An admission does not say that somebody holds.
    AdmissionWithoutHeld in "G xs",
    /// An admission is two transactions.
    AdmissionInTwo in "G xs",
    /// A head that withdraws at the gate says that nobody holds.
    GateWithdrawalClears in "G xsp withdraw",
    /// What was read on joining about the holders counts when the claim is head.
    GateReadBeforeHead in "G xs",
    /// What was read on joining about the queue counts when the claim is head.
    HeldReadBeforeHead in "G xs",
    /// A fresh queue says that nobody holds.
    FreshMeansFree in "G xs",
    /// An admission that finds no `h` is taken for an eviction.
    MissingGateIsEviction in "G sp",
    /// The event that its own admission causes is taken for an eviction.
    OwnAdmissionIsEviction in "G xs",
    /// After an admission without an answer nobody looks at the holders.
    AdmissionForgotten in "G xs",
}
