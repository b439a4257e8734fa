//! ZooKeeper's transaction log as it lies on a server's disk.
//!
//! A file is a header of 16 bytes, and then for each transaction a checksum, its length, its bytes and the
//! letter B; what follows the last one is zeros. Numbers are big-endian, strings and buffers begin with their
//! length. A transaction is who asked, a number of that, the zxid, the time, the type, and what is done.

/// A change of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Created {
        path: String,
        data: Vec<u8>,
        owner: Option<i64>,
    },
    Set {
        path: String,
        data: Vec<u8>,
    },
    Deleted {
        path: String,
    },
    /// All nodes of this session are deleted.
    SessionClosed {
        session: i64,
    },
}

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const SET_DATA: i32 = 5;
const MULTI: i32 = 14;
const CREATE2: i32 = 15;
const CREATE_CONTAINER: i32 = 19;
const DELETE_CONTAINER: i32 = 20;
const CLOSE_SESSION: i32 = -11;
const ERROR: i32 = -1;

/// All transactions of a file that are whole, by their zxids.
pub(super) fn read(file: &[u8]) -> Vec<(u64, Vec<Change>)> {
    let mut bytes = Bytes(file.get(16..).unwrap_or_default());
    let mut all = Vec::new();
    while let Some(transaction) = next(&mut bytes) {
        all.extend(changes(transaction));
    }
    all
}

/// The bytes of the next transaction; none at the end, or where one was being written.
fn next<'a>(bytes: &mut Bytes<'a>) -> Option<&'a [u8]> {
    bytes.take(8)?;
    let transaction = bytes.buffer().filter(|it| !it.is_empty())?;
    (bytes.take(1)? == b"B").then_some(transaction)
}

fn changes(transaction: &[u8]) -> Option<(u64, Vec<Change>)> {
    let mut bytes = Bytes(transaction);
    let (session, _) = (bytes.long()?, bytes.int()?);
    let (zxid, _, kind) = (bytes.long()?, bytes.long()?, bytes.int()?);
    let mut changes = Vec::new();
    if kind == MULTI {
        for _ in 0..bytes.int()? {
            let (kind, data) = (bytes.int()?, bytes.buffer()?);
            // One that fails is written down like the others, and none of them is done.
            if kind == ERROR {
                return Some((zxid.cast_unsigned(), Vec::new()));
            }
            changes.extend(change(kind, session, &mut Bytes(data)));
        }
    } else {
        changes.extend(change(kind, session, &mut bytes));
    }
    Some((zxid.cast_unsigned(), changes))
}

fn change(kind: i32, session: i64, bytes: &mut Bytes<'_>) -> Option<Change> {
    Some(match kind {
        CREATE | CREATE2 | CREATE_CONTAINER => {
            let (path, data) = (bytes.string()?, bytes.buffer()?.to_vec());
            for _ in 0..bytes.int()? {
                let (_, _, _) = (bytes.int()?, bytes.string()?, bytes.string()?);
            }
            let ephemeral = kind != CREATE_CONTAINER && bytes.take(1)? == [1];
            Change::Created { path, data, owner: ephemeral.then_some(session) }
        }
        SET_DATA => Change::Set { path: bytes.string()?, data: bytes.buffer()?.to_vec() },
        DELETE | DELETE_CONTAINER => Change::Deleted { path: bytes.string()? },
        CLOSE_SESSION => Change::SessionClosed { session },
        _ => return None,
    })
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn int(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    fn long(&mut self) -> Option<i64> {
        self.take(8)?.try_into().ok().map(i64::from_be_bytes)
    }

    /// −1 says that there is none.
    fn buffer(&mut self) -> Option<&'a [u8]> {
        let length = self.int()?;
        self.take(usize::try_from(length.max(0)).ok()?)
    }

    fn string(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.buffer()?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&i32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
    }

    fn created(path: &str, ephemeral: bool) -> Vec<u8> {
        let acl = [&1_i32.to_be_bytes()[..], &31_i32.to_be_bytes(), &text("world"), &text("anyone")].concat();
        [text(path), text("data"), acl, vec![u8::from(ephemeral)], 0_i32.to_be_bytes().to_vec()].concat()
    }

    fn transaction(zxid: i64, kind: i32, body: &[u8]) -> Vec<u8> {
        let head =
            [&7_i64.to_be_bytes()[..], &1_i32.to_be_bytes(), &zxid.to_be_bytes(), &0_i64.to_be_bytes()];
        let bytes = [&head.concat(), &kind.to_be_bytes()[..], body].concat();
        let length = i32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&0_i64.to_be_bytes()[..], &length, &bytes, b"B"].concat()
    }

    #[test]
    fn transactions_are_read_to_the_last_whole_one() {
        let multi = [
            2_i32.to_be_bytes().to_vec(),
            DELETE.to_be_bytes().to_vec(),
            text(&String::from_utf8(text("/a")).unwrap()),
            SET_DATA.to_be_bytes().to_vec(),
            text(&String::from_utf8([text("/b"), text("x"), vec![0; 4]].concat()).unwrap()),
        ];
        let failed = [
            2_i32.to_be_bytes().to_vec(),
            DELETE.to_be_bytes().to_vec(),
            text(&String::from_utf8(text("/a")).unwrap()),
            ERROR.to_be_bytes().to_vec(),
            text("1234"),
        ];
        let whole = [
            vec![0; 16],
            transaction(1, CREATE2, &created("/a", true)),
            transaction(2, MULTI, &multi.concat()),
            transaction(3, CLOSE_SESSION, &[]),
            transaction(4, MULTI, &failed.concat()),
        ];
        let broken = transaction(5, DELETE, &text("/a"));
        let file = [&whole.concat(), &broken[..broken.len() - 1]].concat();
        let expected = vec![
            (1, vec![Change::Created { path: "/a".to_owned(), data: b"data".to_vec(), owner: Some(7) }]),
            (
                2,
                vec![
                    Change::Deleted { path: "/a".to_owned() },
                    Change::Set { path: "/b".to_owned(), data: b"x".to_vec() },
                ],
            ),
            (3, vec![Change::SessionClosed { session: 7 }]),
            (4, Vec::new()),
        ];
        assert_eq!(read(&file), expected);
        assert_eq!(read(&[whole.concat(), vec![0; 64]].concat()), expected);
        assert_eq!(read(b""), []);
    }
}
