//! Answering late when a member measures the connection.
//!
//! gRPC for Go, which etcd is served by, sends a ping with each request that it reads, unless its last one is not
//! answered yet: it measures how much is on the way, to widen its windows for who sends a lot (`bdp_estimator.go`
//! there). Requests here fit into the first window a hundred times over, and answering each probe at once is every
//! second packet that is written. So one is answered a while later, and until then there is no other. All other pings,
//! which ask whether somebody is there, or has read the last word, are answered at once.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use lock_core::{Moment, runtime::SharedRuntime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a probe is left without an answer, at least: its answer goes with what happens next on the connection.
/// Short enough that windows still widen while much is sent over a link that is long.
const REST: Duration = Duration::from_millis(100);

/// The frame (RFC 9113, 6.7) that answers a probe: eight bytes, a PING, with ACK, of the connection, and what the probe
/// said.
const ANSWER: [u8; 17] = [0, 0, 8, 6, 1, 0, 0, 0, 0, 2, 4, 16, 16, 9, 14, 7, 7];

/// A connection below HTTP/2 that keeps answers to probes back.
pub(super) struct Probed<S> {
    stream: S,
    runtime: SharedRuntime,
    /// From when on the probe that has no answer is given one.
    due: Option<Moment>,
    /// What is left to write of an answer.
    answer: &'static [u8],
    /// What was written ends with a frame: HTTP/2 flushes whole ones only. Anywhere else, an answer would be the middle
    /// of another frame.
    is_between_frames: bool,
}

impl<S> Probed<S> {
    pub(super) fn new(stream: S, runtime: SharedRuntime) -> Self {
        Self { stream, runtime, due: None, answer: &[], is_between_frames: false }
    }

    /// Whether these are an answer that can wait.
    fn keeps_back(&mut self, slices: &[IoSlice<'_>]) -> bool {
        let [only] = slices else { return false };
        let keeps = self.is_between_frames && self.due.is_none() && **only == ANSWER;
        if keeps {
            self.due = Some(self.runtime.now() + REST);
        }
        keeps
    }
}

impl<S: AsyncWrite + Unpin> Probed<S> {
    /// The rest of an answer that has been begun.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.answer.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, self.answer))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.answer = self.answer.get(written..).unwrap_or_default();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Probed<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_answer(context))?;
        if self.keeps_back(slices) {
            return Poll::Ready(Ok(ANSWER.len()));
        }
        self.is_between_frames = false;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_between_frames = true;
        if self.due.is_some_and(|due| due <= self.runtime.now()) {
            self.due = None;
            self.answer = &ANSWER;
        }
        ready!(self.poll_answer(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Probed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use lock_core::runtime::SimulatedRuntime;
    use tokio::io::DuplexStream;

    use super::*;

    const FRAME: &[u8] = b"a whole frame";
    /// Another ping's, which is one of the connection's end.
    const OTHER: [u8; 17] = [0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 6, 1, 8, 0, 3, 3, 9];

    /// A connection on which so many bytes are on the way at most, with frames before.
    struct Wire {
        near: Probed<DuplexStream>,
        far: DuplexStream,
        machine: SimulatedRuntime,
    }

    impl Wire {
        fn new(bytes: usize) -> Self {
            let machine = SimulatedRuntime::new(1).unwrap();
            let (near, far) = tokio::io::duplex(bytes);
            let mut wire = Self { near: Probed::new(near, machine.shared()), far, machine };
            assert!(wire.flush());
            wire
        }

        /// Whether all was taken.
        fn write(&mut self, bytes: &[u8]) -> bool {
            let near = Pin::new(&mut self.near);
            match near.poll_write(&mut Context::from_waker(Waker::noop()), bytes) {
                Poll::Ready(written) => written.unwrap() == bytes.len(),
                Poll::Pending => false,
            }
        }

        /// Whether it is done.
        fn flush(&mut self) -> bool {
            Pin::new(&mut self.near).poll_flush(&mut Context::from_waker(Waker::noop())).is_ready()
        }

        /// What has come.
        fn read(&mut self) -> Vec<u8> {
            let mut bytes = [0; 64];
            let mut buffer = ReadBuf::new(&mut bytes);
            let far = Pin::new(&mut self.far);
            let _none_is_pending = far.poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer);
            buffer.filled().to_vec()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_is_answered_once_and_later() {
        let mut wire = Wire::new(64);
        assert!(wire.write(&ANSWER) && wire.flush());
        assert!(wire.write(FRAME) && wire.flush());
        assert_eq!(wire.read(), FRAME);
        wire.machine.suspend(REST);
        assert!(wire.write(FRAME) && wire.flush());
        assert_eq!(wire.read(), [FRAME, &ANSWER].concat());
        wire.machine.suspend(REST);
        assert!(wire.write(FRAME) && wire.flush());
        assert_eq!(wire.read(), FRAME);
    }

    #[tokio::test(start_paused = true)]
    async fn other_pings_are_answered_at_once() {
        let mut wire = Wire::new(64);
        assert!(wire.write(&OTHER) && wire.flush());
        assert_eq!(wire.read(), OTHER);
    }

    /// Whoever probes without waiting for answers is no such prober.
    #[tokio::test(start_paused = true)]
    async fn one_answer_is_kept_back_and_no_more() {
        let mut wire = Wire::new(64);
        assert!(wire.write(&ANSWER) && wire.flush());
        assert!(wire.write(&ANSWER) && wire.flush());
        assert_eq!(wire.read(), ANSWER);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_another_frame_stays_where_it_is() {
        let mut wire = Wire::new(64);
        assert!(wire.write(FRAME) && wire.write(&ANSWER) && wire.flush());
        assert_eq!(wire.read(), [FRAME, &ANSWER].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn no_frame_gets_into_an_answer() {
        let mut wire = Wire::new(10);
        assert!(wire.write(&ANSWER));
        wire.machine.suspend(REST);
        assert!(!wire.flush(), "there was room for ten bytes");
        assert!(!wire.write(b"frame"));
        assert_eq!(wire.read(), ANSWER[..10]);
        assert!(!wire.write(b"frame"), "there was room for three bytes of it");
        assert_eq!(wire.read(), [&ANSWER[10..], b"fra"].concat());
    }
}
