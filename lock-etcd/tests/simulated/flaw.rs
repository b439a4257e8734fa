//! What can be wrong with the simulated etcd, so that the simulation is seen to find it.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Transactions succeed whatever they compare.
    ComparesIgnored,
    /// What a transaction compares with a whole range is taken to hold.
    RangesNotCompared,
    /// Keys can be put under a lease that has ended, and stay.
    DeadLeasesTaken,
    /// Leases end after half of their ttl.
    LeasesEndEarly,
    /// Now and then a watch is not told of an event, and goes on as if nothing were. What finds it is the
    /// observers' view of a line.
    EventsDropped,
    /// A request that was answered lands once more, later on. No network does so to etcd: it is what the
    /// protocol rests on.
    AnsweredRequestsRepeated,
}

impl Flaw {
    pub(crate) const ALL: [Self; 6] = [
        Self::ComparesIgnored,
        Self::RangesNotCompared,
        Self::DeadLeasesTaken,
        Self::LeasesEndEarly,
        Self::EventsDropped,
        Self::AnsweredRequestsRepeated,
    ];
}
