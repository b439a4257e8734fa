//! A throw-away cluster as a program: `PROGRAM [MEMBERS [FOLDER]]`.

use std::{env, ffi::OsString, future::Future, io, path::PathBuf, process::ExitCode};

/// Starts what the arguments of this process ask for: so many members, one when nothing is said, with their
/// data below a folder. Prints the addresses for clients, separated by commas, on one line, and ends the
/// cluster when the standard input ends: so with who started the program.
///
/// `start` gives the cluster, which ends when it is dropped, and its addresses.
pub async fn serve<T, F>(name: &str, start: impl FnOnce(usize, Option<PathBuf>) -> F) -> ExitCode
where
    F: Future<Output = Result<(T, Vec<String>), String>>,
{
    let outcome = async {
        let usage = || format!("usage: {name} [MEMBERS [FOLDER]]");
        let (members, folder) = parse(env::args_os().skip(1)).ok_or_else(usage)?;
        let (_cluster, addresses) = start(members, folder).await?;
        println!("{}", addresses.join(","));
        let input = io::copy(&mut io::stdin().lock(), &mut io::sink());
        input.map(drop).map_err(|error| error.to_string())
    };
    match outcome.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<(usize, Option<PathBuf>)> {
    let members = match arguments.next() {
        None => 1,
        Some(number) => number.to_str()?.parse().ok().filter(|number| *number > 0)?,
    };
    let folder = arguments.next().map(PathBuf::from);
    arguments.next().is_none().then_some((members, folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &str) -> Option<(usize, Option<PathBuf>)> {
        parse(arguments.split_whitespace().map(OsString::from))
    }

    #[test]
    fn members_and_folder_are_read() {
        assert_eq!(parsed(""), Some((1, None)));
        assert_eq!(parsed("3 /dev/shm"), Some((3, Some("/dev/shm".into()))));
        for wrong in ["0", "x", "-1", "3 /a /b"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
