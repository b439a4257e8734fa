//! How many requests of a session are under way at a time, and who makes them.
//!
//! As many as keep etcd busy, which commits one after another: more are not answered sooner, only too late, and what the
//! session needs to be renewed waits behind them. How many that is nobody knows beforehand, and others ask too. So it
//! is few at first, one more with each answer that comes soon, and half as many when answers come late or not at all, as
//! TCP does it (Jacobson, "Congestion avoidance and control", 1988).
//!
//! A caller makes a request itself when there is a slot, which costs least. Beyond that, requests wait in a line, and a
//! few tasks make one after another: thousands of claims that join at once cost no task each, and a caller who is not
//! polled any more, like those that [`buffer_unordered`](futures_util::StreamExt::buffer_unordered) keeps, holds up
//! nobody.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use lock_core::{
    Moment, Result,
    runtime::{BoxFuture, SharedRuntime},
    sync::locked,
};

use crate::task::for_who_waits;

/// How many requests of a session are under way at a time at first, at least, and at most. (etcd itself refuses
/// requests when 5,000 wait to be applied.)
pub(crate) const AT_FIRST: usize = 16;
const AT_LEAST: usize = 4;
const AT_MOST: usize = 64;

/// How many more there may be, of tasks: callers who are not polled any more may have taken all the others.
pub(crate) const RESERVE: usize = 8;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    AnsweredCaller,
    AnsweredTask,
    Failed,
}

/// Whoever has one makes a request.
pub(crate) struct Slots {
    runtime: SharedRuntime,
    /// An answer that takes longer is late.
    late: Duration,
    state: Mutex<State>,
}

struct State {
    of_callers: usize,
    of_tasks: usize,
    limit: usize,
    /// When the limit was lowered for the last time: what was asked for before says nothing new.
    lowered: Option<Moment>,
    /// In the order in which they were asked for. While there are any, tasks take them.
    waiting: VecDeque<BoxFuture<()>>,
}

impl State {
    fn taken(&self) -> usize {
        self.of_callers + self.of_tasks
    }

    /// Whether another task may make requests: always a few of them, whatever callers do.
    fn has_room_for_a_task(&self) -> bool {
        self.of_tasks < RESERVE || self.taken() < self.limit + RESERVE
    }
}

impl Slots {
    pub(crate) fn new(runtime: SharedRuntime, late: Duration) -> Arc<Self> {
        let (limit, waiting) = (AT_FIRST, VecDeque::new());
        let state = State { of_callers: 0, of_tasks: 0, limit, lowered: None, waiting };
        Arc::new(Self { runtime, late, state: Mutex::new(state) })
    }

    /// A slot for a caller, if there is one.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        let mut state = locked(&self.state);
        let free = state.taken() < state.limit;
        state.of_callers += usize::from(free);
        free.then(|| Slot(self.clone()))
    }

    /// Has a task make this request, when it is its turn; what it comes to. It is not made when nobody waits for it any
    /// more.
    pub(crate) fn leave_to_a_task<T, W, B>(
        self: &Arc<Self>,
        begin: B,
    ) -> impl Future<Output = Result<T>> + use<T, W, B>
    where
        T: Send + 'static,
        W: Future<Output = Result<T>> + Send,
        B: FnOnce() -> W + Send + 'static,
    {
        let (request, outcome) = for_who_waits(begin);
        let mut state = locked(&self.state);
        state.waiting.push_back(Box::pin(request));
        self.take_on(state);
        outcome
    }

    /// Waits until a request that is left to a task would be made.
    pub(crate) async fn turn(self: &Arc<Self>) {
        let taken = self.take();
        if taken.is_none() {
            let _runtime_has_ended = self.leave_to_a_task(async || Ok(())).await;
        }
    }

    /// Learns from what became, by `now`, of a request that was begun then, how many may be under way. What a caller was
    /// told late may have been there for long: it may not have been polled.
    pub(crate) fn learn(&self, begun: Moment, now: Moment, became: Became) {
        let took = now.saturating_since(begun);
        let mut state = locked(&self.state);
        if state.lowered.is_some_and(|lowered| begun < lowered) {
            return;
        }
        if became == Became::Failed || became == Became::AnsweredTask && took > self.late {
            (state.limit, state.lowered) = ((state.limit / 2).max(AT_LEAST), Some(now));
        } else if took < self.late / 2 {
            state.limit = (state.limit + 1).min(AT_MOST);
        }
    }

    /// How many are taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        locked(&self.state).taken()
    }

    /// Takes a slot for one more task, if there is something for it to do.
    fn take_on(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let takes = !state.waiting.is_empty() && state.has_room_for_a_task();
        state.of_tasks += usize::from(takes);
        drop(state);
        if takes {
            let worker = Worker { slots: self.clone(), done: false };
            self.runtime.spawn(Box::pin(worker.work()));
        }
    }
}

/// A caller's.
pub(crate) struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = locked(&self.0.state);
        state.of_callers -= 1;
        self.0.take_on(state);
    }
}

/// A task's.
struct Worker {
    slots: Arc<Slots>,
    done: bool,
}

impl Worker {
    async fn work(mut self) {
        while let Some(request) = self.next() {
            request.await;
        }
    }

    /// What is to be done next, unless there is nothing, or too much is under way.
    fn next(&mut self) -> Option<BoxFuture<()>> {
        let mut state = locked(&self.slots.state);
        state.of_tasks -= 1;
        let request = if state.has_room_for_a_task() { state.waiting.pop_front() } else { None };
        self.done = request.is_none();
        state.of_tasks += usize::from(!self.done);
        self.slots.take_on(state);
        request
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // Its runtime has ended, or a request has panicked: who waits is told, since there may be no other worker.
        let mut state = locked(&self.slots.state);
        state.of_tasks -= 1;
        let dropped = std::mem::take(&mut state.waiting);
        drop(state);
        drop(dropped);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, iter, time::Duration};

    use lock_core::{
        ErrorKind,
        runtime::{Runtime as _, TokioRuntime},
    };
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    const LATE: Duration = Duration::from_secs(1);

    /// With as many as there are at first.
    fn slots() -> Arc<Slots> {
        Slots::new(Arc::new(TokioRuntime::current().unwrap()), LATE)
    }

    /// Waits, without hanging when the test fails.
    async fn soon<T>(wait: impl Future<Output = T>) -> T {
        let runtime = TokioRuntime::current().unwrap();
        tokio::select! { biased;
            outcome = wait => outcome,
            () = runtime.sleep_until(runtime.now() + Duration::from_secs(30)) => panic!("it waits"),
        }
    }

    /// All that can go on without time has.
    async fn all_that_can_has_gone_on() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn all_are_free(slots: &Slots) {
        all_that_can_has_gone_on().await;
        let state = locked(&slots.state);
        assert_eq!((state.taken(), state.waiting.len()), (0, 0));
    }

    /// Requests that tell of their beginning and go on when they are told to.
    struct Requests {
        slots: Arc<Slots>,
        begin: mpsc::UnboundedSender<usize>,
        begun: mpsc::UnboundedReceiver<usize>,
    }

    impl Requests {
        fn new(slots: &Arc<Slots>) -> Self {
            let (begin, begun) = mpsc::unbounded_channel();
            Self { slots: slots.clone(), begin, begun }
        }

        fn leave(&self, number: usize) -> (oneshot::Sender<()>, impl Future<Output = Result<usize>> + use<>) {
            let (go_on, goes_on) = oneshot::channel();
            let begin = self.begin.clone();
            let outcome = self.slots.leave_to_a_task(move || async move {
                begin.send(number).unwrap();
                goes_on.await.unwrap();
                Ok(number)
            });
            (go_on, outcome)
        }

        async fn begun(&mut self) -> Vec<usize> {
            all_that_can_has_gone_on().await;
            iter::from_fn(|| self.begun.try_recv().ok()).collect()
        }
    }

    #[tokio::test]
    async fn callers_who_are_not_polled_hold_up_no_task() {
        let slots = slots();
        let idle: Vec<_> = iter::from_fn(|| slots.take()).collect();
        assert_eq!(idle.len(), AT_FIRST);
        for number in 0..3 * RESERVE {
            assert_eq!(soon(slots.leave_to_a_task(async move || Ok(number))).await.unwrap(), number);
            soon(slots.turn()).await;
        }
        drop(idle);
        all_are_free(&slots).await;
    }

    #[tokio::test]
    async fn requests_are_made_in_their_order_and_so_many_at_a_time() {
        let slots = slots();
        let mut requests = Requests::new(&slots);
        let mut callers: Vec<_> = iter::from_fn(|| slots.take()).collect();
        let mut left: VecDeque<_> = (0..RESERVE + 3).map(|number| requests.leave(number)).collect();
        assert_eq!(requests.begun().await, (0..RESERVE).collect::<Vec<_>>());
        // A task's slot is the next one's, and so is a caller's.
        let (go_on, outcome) = left.pop_front().unwrap();
        go_on.send(()).unwrap();
        assert_eq!(soon(outcome).await.unwrap(), 0);
        assert_eq!(requests.begun().await, [RESERVE]);
        drop(callers.pop());
        assert_eq!(requests.begun().await, [RESERVE + 1]);
        assert!(slots.take().is_none(), "it has been given to a task");
        drop(callers);
        assert_eq!(requests.begun().await, [RESERVE + 2]);
        for (go_on, outcome) in left {
            go_on.send(()).unwrap();
            soon(outcome).await.unwrap();
        }
        all_are_free(&slots).await;
    }

    #[tokio::test]
    async fn who_does_not_wait_any_more_has_nothing_asked() {
        let slots = slots();
        let mut requests = Requests::new(&slots);
        let callers: Vec<_> = iter::from_fn(|| slots.take()).collect();
        let (_go_on, mut left): (Vec<_>, Vec<_>) = (0..=RESERVE).map(|number| requests.leave(number)).unzip();
        assert_eq!(requests.begun().await.len(), RESERVE);
        // One that has not begun, and those that have.
        drop(left.pop());
        drop(left);
        assert!(requests.begun().await.is_empty());
        drop(callers);
        all_are_free(&slots).await;
    }

    #[tokio::test]
    async fn who_waits_is_told_when_the_task_is_gone() {
        let slots = slots();
        let _callers: Vec<_> = iter::from_fn(|| slots.take()).collect();
        let stuck: Vec<_> = (1..RESERVE).map(|_| slots.leave_to_a_task(pending::<Result<()>>)).collect();
        let panics = slots.leave_to_a_task(async || -> Result<()> { panic!("as the test wants") });
        let next = slots.leave_to_a_task(async || Ok(()));
        for outcome in [soon(panics).await, soon(next).await] {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unavailable);
        }
        soon(slots.leave_to_a_task(async || Ok(()))).await.unwrap();
        drop(stuck);
    }

    #[tokio::test]
    async fn there_are_more_while_answers_come_soon_and_half_as_many_when_they_come_late() {
        let slots = slots();
        let begun = slots.runtime.now();
        let learn = |begun, took, became| {
            slots.learn(begun, begun + took, became);
            locked(&slots.state).limit
        };
        let (soon, late) = (LATE / 4, 2 * LATE);
        assert_eq!(learn(begun, soon, Became::AnsweredTask), AT_FIRST + 1);
        assert_eq!(learn(begun, soon, Became::AnsweredCaller), AT_FIRST + 2);
        for _ in 0..100 {
            learn(begun, soon, Became::AnsweredTask);
        }
        assert_eq!(learn(begun, late, Became::AnsweredCaller), AT_MOST, "it may have been polled late");
        // All that was under way comes late: that is one thing to learn, and not sixty-four.
        for _ in 0..AT_MOST {
            learn(begun, late, Became::AnsweredTask);
        }
        assert_eq!(learn(begun, soon, Became::AnsweredTask), AT_MOST / 2, "it was asked for before");
        let mut begun = begun + late;
        assert_eq!(learn(begun, soon, Became::Failed), AT_MOST / 4);
        for _ in 0..10 {
            begun = begun + late;
            learn(begun, late, Became::AnsweredTask);
        }
        begun = begun + late;
        assert_eq!(learn(begun, LATE * 3 / 4, Became::AnsweredTask), AT_LEAST, "neither soon nor late");
    }

    #[tokio::test]
    async fn tasks_come_and_go_with_the_limit_and_a_few_of_them_always_work() {
        let slots = slots();
        let mut requests = Requests::new(&slots);
        let _idle: Vec<_> = iter::from_fn(|| slots.take()).collect();
        let mut left: VecDeque<_> = (0..100).map(|number| requests.leave(number)).collect();
        let mut ends = async |requests: &mut Requests| {
            let (go_on, outcome) = left.pop_front().unwrap();
            go_on.send(()).unwrap();
            soon(outcome).await.unwrap();
            requests.begun().await.len()
        };
        assert_eq!(requests.begun().await.len(), RESERVE);
        locked(&slots.state).limit = AT_FIRST + 10;
        // The next one to end has another begin beside its own, and so on.
        assert_eq!(ends(&mut requests).await, 1 + 10);
        locked(&slots.state).limit = AT_LEAST;
        for _ in 0..10 {
            assert_eq!(ends(&mut requests).await, 0);
        }
        assert_eq!(ends(&mut requests).await, 1, "callers who are not polled keep all the others");
    }

    #[test]
    fn nobody_waits_for_a_runtime_that_has_ended() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let slots = runtime.block_on(async { slots() });
        let callers: Vec<_> = iter::from_fn(|| slots.take()).collect();
        let all: Vec<_> = (0..100_000).map(|_| slots.leave_to_a_task(pending::<Result<()>>)).collect();
        drop(runtime);
        drop(callers);
        for outcome in all.into_iter().chain([slots.leave_to_a_task(pending::<Result<()>>)]) {
            let error = futures_util::FutureExt::now_or_never(outcome).expect("nobody is there").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        }
        assert_eq!(slots.taken(), 0);
    }
}
