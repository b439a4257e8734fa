//! As much of ZooKeeper's protocol as it takes to tell requests and replies apart.
//!
//! Both are frames: their length in 4 bytes, then that many. A request begins with its number (xid) and what
//! is to be done, in 4 bytes each; a reply with the request's number, the transaction in 8 bytes, and the
//! error in 4. Numbers are big-endian. The first frame each way opens the session and has another form.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// More than any server takes. Without it, a connection that speaks something else would be waited for.
const LONGEST: u32 = 64 << 20;

const CHECK: i32 = 13;
const MULTI: i32 = 14;
const CREATE: i32 = 1;
const CREATE2: i32 = 15;
const CREATE_CONTAINER: i32 = 19;
const CREATE_TTL: i32 = 21;
const SASL: i32 = 102;
/// In place of an operation, after the last one of a multi.
const END: i32 = -1;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It keeps the session or the connection: a ping, watches set again, authentication, or a multi with
    /// nothing but one check, as who wants to hear from the leader sends it.
    Renewal,
    /// It creates one node of whatever kind.
    Create,
    /// Anything else.
    Other,
}

/// The next frame with its length; none when the sender has said everything.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut frame = vec![0; 4];
    if from.read(frame.get_mut(..1).unwrap_or_default()).await? == 0 {
        return Ok(None);
    }
    from.read_exact(frame.get_mut(1..).unwrap_or_default()).await?;
    let length = integer(&frame, 0).and_then(|length| u32::try_from(length).ok());
    let length = length.filter(|length| *length <= LONGEST).ok_or(io::ErrorKind::InvalidData)?;
    frame.resize(frame.len() + usize::try_from(length).unwrap_or(usize::MAX), 0);
    from.read_exact(frame.get_mut(4..).unwrap_or_default()).await?;
    Ok(Some(frame))
}

/// The number of a request, and what it is for.
pub(super) fn request(frame: &[u8]) -> io::Result<(i32, Kind)> {
    let (Some(number), Some(operation)) = (integer(frame, 4), integer(frame, 8)) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let kind = match operation {
        // Those that keep a connection have numbers of their own.
        _ if number < 0 => Kind::Renewal,
        SASL => Kind::Renewal,
        MULTI if is_one_check(frame) => Kind::Renewal,
        CREATE | CREATE2 | CREATE_CONTAINER | CREATE_TTL => Kind::Create,
        _ => Kind::Other,
    };
    Ok((number, kind))
}

/// The number of the request that a frame replies to, and whether it was done.
pub(super) fn reply(frame: &[u8]) -> io::Result<(i32, bool)> {
    match (integer(frame, 4), integer(frame, 16)) {
        (Some(number), Some(error)) => Ok((number, error == 0)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Whether a multi does no more than check one node's version: a header (operation, one byte, error), the
/// node's path behind its length, the version, and the header that is the last.
fn is_one_check(frame: &[u8]) -> bool {
    const FIRST: usize = 12;
    const HEADER: usize = 9;
    let path = integer(frame, FIRST + HEADER).and_then(|length| usize::try_from(length).ok());
    let last = path.map(|path| FIRST + HEADER + 4 + path + 4);
    integer(frame, FIRST) == Some(CHECK) && last.and_then(|last| integer(frame, last)) == Some(END)
}

fn integer(frame: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(*frame.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
    }

    fn number(number: i32) -> [u8; 4] {
        number.to_be_bytes()
    }

    fn multi(operations: &[i32]) -> Vec<u8> {
        let operation = |operation: &i32| {
            [&number(*operation)[..], &[0], &number(-1), &number(5), b"/node", &number(7)].concat()
        };
        let operations: Vec<u8> = operations.iter().flat_map(operation).collect();
        frame(&[&number(3), &number(MULTI), &operations, &number(END), &[1], &number(-1)])
    }

    #[test]
    fn requests_are_told_apart() {
        let kind = |xid: i32, operation: i32| request(&frame(&[&number(xid), &number(operation)])).unwrap();
        assert_eq!(kind(1, CREATE2), (1, Kind::Create));
        assert_eq!(kind(1, CREATE_CONTAINER), (1, Kind::Create));
        assert_eq!(kind(2, 4), (2, Kind::Other));
        assert_eq!(kind(-2, 11), (-2, Kind::Renewal));
        assert_eq!(kind(-8, 105), (-8, Kind::Renewal));
        assert_eq!(kind(3, SASL), (3, Kind::Renewal));
        assert_eq!(request(&multi(&[CHECK])).unwrap(), (3, Kind::Renewal));
        for more in [&[CHECK, 2][..], &[2], &[2, CHECK], &[CHECK, CHECK], &[]] {
            assert_eq!(request(&multi(more)).unwrap(), (3, Kind::Other), "{more:?}");
        }
        let cut = multi(&[CHECK]);
        for length in 0..cut.len() - 9 {
            assert!(request(&cut[..length]).map_or(true, |(_, kind)| kind == Kind::Other), "{length}");
        }
    }

    #[test]
    fn replies_say_whether_it_was_done() {
        let failed = |error: i32| reply(&frame(&[&number(5), &[0; 8], &number(error)])).unwrap();
        assert_eq!((failed(0), failed(-110)), ((5, true), (5, false)));
        assert!(reply(&frame(&[&number(5)])).is_err());
    }

    #[tokio::test]
    async fn frames_are_read_one_by_one() {
        let bytes = [frame(&[b"one"]), frame(&[]), frame(&[b"three"])].concat();
        let mut from = &bytes[..];
        let mut lengths = Vec::new();
        while let Some(frame) = read(&mut from).await.unwrap() {
            lengths.push(frame.len());
        }
        assert_eq!(lengths, [7, 4, 9]);
        assert!(read(&mut &bytes[..5]).await.is_err());
        // A four letter word is no length.
        assert_eq!(read(&mut &b"ruok"[..]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(read(&mut &number(-1)[..]).await.is_err());
    }
}
