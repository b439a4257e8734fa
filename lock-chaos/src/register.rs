//! What the turns are for: two values for each line, kept by the program itself, to which whoever holds the
//! line alone reads, and then writes what it has read and an id of its own.
//!
//! One is *fenced*: it refuses a token that is older than the newest that it has seen. The other one takes
//! what comes, and so loses updates when a holder is late.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::record::Line;

/// What a holder asks of both registers of a line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) line: Line,
    pub(crate) token: u64,
    /// Nothing: which versions they have.
    pub(crate) write: Option<Write>,
}

/// An id is appended to what these versions of the registers were.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Write {
    pub(crate) id: u64,
    pub(crate) fenced: u64,
    pub(crate) unfenced: u64,
}

/// The version that each has, or has got; none when it refuses the token.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) fenced: Option<u64>,
    pub(crate) unfenced: Option<u64>,
}

/// A value, by all the writes that made it: the n-th made version n.
#[derive(Clone, Debug, Default)]
pub(crate) struct Register {
    newest: u64,
    pub(crate) writes: Vec<Accepted>,
}

/// A write that a register took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) id: u64,
    pub(crate) token: u64,
    /// The version that it was based on; 0 is the empty value.
    pub(crate) replaced: u64,
}

impl Register {
    fn version(&self) -> u64 {
        self.writes.len() as u64
    }

    fn write(&mut self, id: u64, token: u64, replaced: u64) -> u64 {
        self.writes.push(Accepted { id, token, replaced });
        self.version()
    }

    /// The ids that the value consists of, the last one first.
    pub(crate) fn value(&self) -> impl Iterator<Item = u64> {
        let mut version = self.version();
        std::iter::from_fn(move || {
            let write = self.writes.get(usize::try_from(version.checked_sub(1)?).ok()?)?;
            version = write.replaced;
            Some(write.id)
        })
    }

    /// How many writes it took that are not in its value.
    pub(crate) fn lost(&self) -> usize {
        self.writes.len() - self.value().count()
    }
}

/// Both registers of each line.
#[derive(Debug, Default)]
pub(crate) struct Registers {
    lines: Mutex<BTreeMap<Line, [Register; 2]>>,
    /// For tests: both take what comes.
    fencing_is_off: bool,
}

impl Registers {
    /// `fenced`: whether one of the two refuses older tokens.
    pub(crate) fn new(fenced: bool) -> Self {
        Self { fencing_is_off: !fenced, ..Self::default() }
    }

    fn answer(&self, question: Question) -> Answer {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let [fenced, unfenced] = lines.entry(question.line).or_default();
        let token = question.token;
        // Reading counts, too: or an older holder could write between a newer one's read and write.
        let refused = token < fenced.newest && !self.fencing_is_off;
        fenced.newest = fenced.newest.max(token);
        let [of_fenced, of_unfenced] = match question.write {
            None => [fenced.version(), unfenced.version()],
            Some(write) => {
                let made = if refused { 0 } else { fenced.write(write.id, token, write.fenced) };
                [made, unfenced.write(write.id, token, write.unfenced)]
            }
        };
        Answer { fenced: (!refused).then_some(of_fenced), unfenced: Some(of_unfenced) }
    }

    /// The registers of all lines, the fenced one first.
    pub(crate) fn all(&self) -> BTreeMap<Line, [Register; 2]> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves them at a loopback address, as long as the runtime lives.
    pub(crate) async fn serve(self: Arc<Self>) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let registers = Arc::clone(&self);
                tokio::spawn(async move { registers.talk(stream).await });
            }
        });
        Ok(address)
    }

    /// Answers one holder after the other until it hangs up.
    async fn talk(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.into_split();
        let mut questions = BufReader::new(read).lines();
        while let Some(question) = questions.next_line().await? {
            let answer = self.answer(serde_json::from_str(&question)?);
            write.write_all(format!("{}\n", serde_json::to_string(&answer)?).as_bytes()).await?;
        }
        Ok(())
    }
}

/// A holder's connection to the registers.
#[derive(Debug)]
pub(crate) struct Pen {
    write: OwnedWriteHalf,
    answers: Lines<BufReader<OwnedReadHalf>>,
}

impl Pen {
    pub(crate) async fn new(registers: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(registers).await?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        Ok(Self { write, answers: BufReader::new(read).lines() })
    }

    /// One question at a time, and not to be dropped half way.
    pub(crate) async fn ask(&mut self, question: Question) -> io::Result<Answer> {
        let text = format!("{}\n", serde_json::to_string(&question)?);
        self.write.write_all(text.as_bytes()).await?;
        let answer = self.answers.next_line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(serde_json::from_str(&answer)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(registers: &Registers, token: u64, write: Option<Write>) -> Answer {
        registers.answer(Question { line: Line(0), token, write })
    }

    #[test]
    fn a_late_write_is_refused_by_one_and_loses_an_update_of_the_other() {
        let registers = Registers::default();
        let late = ask(&registers, 1, None);
        let next = ask(&registers, 2, None);
        assert_eq!((late.fenced, next.fenced), (Some(0), Some(0)));
        let write = |id| Some(Write { id, fenced: 0, unfenced: 0 });
        assert_eq!(ask(&registers, 2, write(20)).fenced, Some(1));
        let late = ask(&registers, 1, write(10));
        assert_eq!((late.fenced, late.unfenced), (None, Some(2)));
        let all = registers.all();
        let [fenced, unfenced] = all.get(&Line(0)).unwrap();
        assert_eq!((fenced.value().collect::<Vec<_>>(), fenced.lost()), (vec![20], 0));
        assert_eq!((unfenced.value().collect::<Vec<_>>(), unfenced.lost()), (vec![10], 1));
    }

    #[tokio::test]
    async fn they_are_asked_over_a_connection() {
        let registers = Arc::new(Registers::default());
        let mut pen = Pen::new(Arc::clone(&registers).serve().await.unwrap()).await.unwrap();
        let write = Some(Write { id: 7, fenced: 0, unfenced: 0 });
        let answer = pen.ask(Question { line: Line(3), token: 5, write }).await.unwrap();
        assert_eq!((answer.fenced, answer.unfenced), (Some(1), Some(1)));
    }
}
