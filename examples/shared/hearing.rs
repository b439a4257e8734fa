//! What the parts of a program write, before a judge: somebody who knows by these lines alone what happens.

use tokio::{sync::mpsc, time::timeout};

use crate::parts::{Failure, PATIENCE};

pub(crate) struct Hearing<J> {
    written: mpsc::UnboundedReceiver<String>,
    pub(crate) judge: J,
    note: fn(&mut J, &str),
}

impl<J> Hearing<J> {
    pub(crate) fn new(written: mpsc::UnboundedReceiver<String>, judge: J, note: fn(&mut J, &str)) -> Self {
        Self { written, judge, note }
    }

    /// Waits until it is so.
    pub(crate) async fn until(&mut self, what: &str, is_so: impl Fn(&J) -> bool) -> Result<(), Failure> {
        let heard = async {
            while !is_so(&self.judge) {
                let line = self.written.recv().await.ok_or("nobody writes any more")?;
                (self.note)(&mut self.judge, &line);
            }
            Ok(())
        };
        timeout(PATIENCE, heard).await.map_err(|_| format!("it never came about that {what}"))?
    }

    /// Hears the rest, until nobody can write any more.
    pub(crate) async fn rest(mut self) -> J {
        while let Some(line) = self.written.recv().await {
            (self.note)(&mut self.judge, &line);
        }
        self.judge
    }
}
