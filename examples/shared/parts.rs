//! The parts of a program, which run at the same time and have a session each: tasks of this process when the
//! store is in memory, for that is one process's own; with any other store, processes.
#![allow(dead_code, reason = "not every example needs all of it")]

use std::{
    error::Error,
    fmt::Display,
    io::{self, PipeWriter},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, sync::mpsc, task::JoinSet, time::timeout};
use yourturn::{Coordinator, Options};

use crate::{
    child::Child,
    hearing::Hearing,
    lines::{self, Reports},
};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// If something has not happened by then, it never will.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// What a part has to play with.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) uri: String,
    pub(crate) coordinator: Coordinator,
    reports: Reports,
}

/// What a part is told to do. When there can be no more, it is to come to an end.
pub(crate) struct Orders(mpsc::UnboundedReceiver<String>);

/// On paper as doing something while it lives.
pub(crate) struct Doing {
    reports: Reports,
    end: String,
}

impl Part {
    async fn open(name: &str, uri: &str, reports: Reports) -> Result<Self, Failure> {
        let coordinator = Coordinator::connect_with(uri, Options::default().owner(name)).await?;
        Ok(Self { name: name.to_owned(), uri: uri.to_owned(), coordinator, reports })
    }

    /// Writes down a line that begins with its name.
    pub(crate) fn tell(&self, what: impl Display) {
        self.reports.line(format_args!("{} {what}", self.name));
    }

    /// Writes down that something begins, and later that it has ended, also when the work is cut off.
    pub(crate) fn doing(&self, begin: impl Display, end: impl Display) -> Doing {
        self.tell(begin);
        Doing { reports: self.reports.clone(), end: format!("{} {end}", self.name) }
    }
}

impl Orders {
    pub(crate) async fn next(&mut self) -> Option<String> {
        self.0.recv().await
    }

    /// Whether this is the next order, and has come.
    pub(crate) fn next_is(&mut self, order: &str) -> bool {
        self.0.try_recv().is_ok_and(|next| next == order)
    }

    pub(crate) fn have_ended(&self) -> bool {
        self.0.is_closed()
    }

    /// Waits for their end.
    pub(crate) async fn ended(&mut self) {
        while self.next().await.is_some() {}
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        self.reports.line(&self.end);
    }
}

/// What a process does that is a part.
pub(crate) async fn play<F: Future<Output = Result<(), Failure>>>(
    name: &str,
    uri: &str,
    play: impl FnOnce(Part, Orders) -> F,
) -> Result<(), Failure> {
    let orders = Orders(lines::read(io::stdin()));
    let part = Part::open(name, uri, Reports::to(io::stdout())).await?;
    let coordinator = part.coordinator.clone();
    perform(coordinator, play(part, orders)).await
}

/// Leaves nothing behind.
async fn perform(
    coordinator: Coordinator,
    play: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    play.await?;
    let closed = match coordinator.close().await {
        // A store that said nothing for a moment is asked once more.
        Err(error) if error.is_retryable() => coordinator.close().await,
        closed => closed,
    };
    Ok(closed?)
}

/// Where parts are started, and the pipe into which all of them write.
pub(crate) struct Stage<P> {
    uri: String,
    play: P,
    reports: PipeWriter,
}

impl<P: Fn(Part, Orders) -> F, F: Future<Output = Result<(), Failure>> + Send + 'static> Stage<P> {
    /// Also gives what they will write.
    pub(crate) fn new(uri: &str, play: P) -> io::Result<(Self, mpsc::UnboundedReceiver<String>)> {
        let (written, reports) = io::pipe()?;
        Ok((Self { uri: uri.to_owned(), play, reports }, lines::read(written)))
    }

    /// What parts are here.
    pub(crate) fn kind(&self) -> &'static str {
        if self.in_memory() { "tasks" } else { "processes" }
    }

    pub(crate) async fn start(&self, name: &str) -> Result<Player, Failure> {
        let reports = self.reports.try_clone()?;
        if !self.in_memory() {
            let child = Child::start(name, [&self.uri, "--play", name], reports)?;
            return Ok(Player::Process(Box::new(child)));
        }
        let (orders, told) = mpsc::unbounded_channel();
        let part = Part::open(name, &self.uri, Reports::to(reports)).await?;
        let (coordinator, mut play) = (part.coordinator.clone(), JoinSet::new());
        play.spawn(perform(coordinator.clone(), (self.play)(part, Orders(told))));
        Ok(Player::Task(Task { name: name.to_owned(), coordinator, orders: Some(orders), play }))
    }

    pub(crate) async fn start_all<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Vec<Player>, Failure> {
        let mut players = Vec::new();
        for name in names {
            players.push(self.start(name.as_ref()).await?);
        }
        Ok(players)
    }

    /// Kills a part: it says nothing to the store, and does nothing any more when this is done. Writes down
    /// `anna dies` for it, since the dead do not write.
    pub(crate) async fn kill(&self, player: &mut Player) -> Result<(), Failure> {
        player.crash().await?;
        Reports::to(self.reports.try_clone()?).line(format_args!("{} dies", player.name()));
        Ok(())
    }

    /// Lets all parts come to their end, and the judge hear the rest.
    pub(crate) async fn end<J>(self, players: Vec<Player>, hearing: Hearing<J>) -> Result<J, Failure> {
        all_ended(players).await?;
        // Nobody can write any more.
        drop(self);
        Ok(hearing.rest().await)
    }

    fn in_memory(&self) -> bool {
        self.uri.starts_with("memory:")
    }
}

/// A part, as seen from outside.
pub(crate) enum Player {
    Task(Task),
    Process(Box<Child>),
}

pub(crate) struct Task {
    name: String,
    coordinator: Coordinator,
    orders: Option<mpsc::UnboundedSender<String>>,
    play: JoinSet<Result<(), Failure>>,
}

impl Player {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Task(task) => &task.name,
            Self::Process(child) => &child.name,
        }
    }

    pub(crate) async fn order(&mut self, order: &str) -> Result<(), Failure> {
        const LATE: &str = "it takes no orders any more";
        match self {
            Self::Task(task) => task.orders.as_ref().ok_or(LATE)?.send(order.to_owned())?,
            Self::Process(child) => {
                child.orders.as_mut().ok_or(LATE)?.write_all(format!("{order}\n").as_bytes()).await?;
            }
        }
        Ok(())
    }

    /// There will be no more orders.
    pub(crate) fn let_end(&mut self) {
        match self {
            Self::Task(task) => task.orders = None,
            Self::Process(child) => child.orders = None,
        }
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    ///
    /// When that was no success, and no fault of ours.
    pub(crate) async fn ended(mut self) -> Result<(), Failure> {
        self.let_end();
        let ended = async {
            match self {
                Self::Task(mut task) => task.play.join_next().await.unwrap_or(Ok(Ok(())))?,
                Self::Process(child) => Ok(child.ended().await?),
            }
        };
        timeout(PATIENCE, ended).await?
    }

    async fn crash(&mut self) -> Result<(), Failure> {
        match self {
            Self::Task(task) => {
                task.coordinator.abandon();
                task.play.shutdown().await;
            }
            Self::Process(child) => child.kill().await?,
        }
        Ok(())
    }
}

/// Lets all of them come to their end, and waits for it.
pub(crate) async fn all_ended(mut players: Vec<Player>) -> Result<(), Failure> {
    players.iter_mut().for_each(Player::let_end);
    for player in players {
        player.ended().await?;
    }
    Ok(())
}

pub(crate) fn named<'a>(players: &'a mut [Player], name: &str) -> Result<&'a mut Player, String> {
    let player = players.iter_mut().find(|player| player.name() == name);
    player.ok_or_else(|| format!("{name} is none of ours"))
}
