//! Lines of text, in which the parts of a program tell what they do, also across processes.

use std::{
    fmt::Display,
    io::{BufRead, BufReader, Read, Write},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tokio::sync::mpsc;

/// Where several parts of a program write lines.
///
/// When all of them write to one pipe, a line that was written before another is read before it, whichever
/// processes wrote them: each goes out in one piece.
#[derive(Clone)]
pub(crate) struct Reports(Arc<Mutex<Box<dyn Write + Send>>>);

impl Reports {
    pub(crate) fn to(writer: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(writer))))
    }

    pub(crate) fn line(&self, line: impl Display) {
        let line = format!("{line}\n");
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody reads any more once the program that judges has ended.
        let _ = writer.write_all(line.as_bytes()).and_then(|()| writer.flush());
    }
}

/// The lines that come from there, until its end.
pub(crate) fn read(from: impl Read + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (sender, lines) = mpsc::unbounded_channel();
    // A thread and no task: a runtime would not end before the next line has come.
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}
