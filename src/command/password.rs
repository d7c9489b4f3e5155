//! Reads the password that is to be hashed: from the command line, the standard input, or the terminal.
//!
//! *Owns* the prompt. *Promises* that nothing of the password is shown, and that the terminal is restored afterwards.
//! *Does not* judge the password.

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::io::{self, IsTerminal, Read, Write};

/// Anything longer is not a password but probably a file that was piped in by mistake.
const BYTES_MAX: usize = 64 << 10;

/// The password of the command line; without it, or for `-`, what is read.
pub(super) fn obtain(argument: Option<String>) -> Result<String, String> {
    let password = match argument {
        Some(password) if password != "-" => password,
        _ if io::stdin().is_terminal() => asked()?,
        _ => piped(io::stdin().lock())?,
    };
    if password.is_empty() { Err("Must provide password to hash".to_owned()) } else { Ok(password) }
}

/// All that comes, without the line break that `echo` puts at its end.
fn piped(input: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    let taken = input.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
    taken.map_err(|fault| format!("the standard input cannot be read: {fault}"))?;
    if bytes.len() > BYTES_MAX {
        return Err(format!("the standard input is longer than {BYTES_MAX} bytes: give a password"));
    }
    let text = text(bytes)?;
    let line = text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.contains(['\n', '\r']) {
        return Err("the standard input has more than one line: give one password".to_owned());
    }
    Ok(line.to_owned())
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "the password is not UTF-8 text".to_owned())
}

/// Asks twice, because typing errors cannot be seen.
fn asked() -> Result<String, String> {
    let fault = |fault: rustix::io::Errno| format!("the terminal does not hide what is typed: {fault}; use a pipe");
    let _quiet = Quiet::new().map_err(fault)?;
    let mut answers = ["Password: ", "Again: "].into_iter().map(|question| {
        say(question);
        let answer = typed(&mut io::stdin().lock());
        say("\n");
        answer
    });
    let (first, second) = (answers.next().unwrap_or_else(nothing)?, answers.next().unwrap_or_else(nothing)?);
    if first == second { Ok(first) } else { Err("these were two different passwords".to_owned()) }
}

fn nothing() -> Result<String, String> {
    Err("nothing was hashed".to_owned())
}

/// To the standard error, because the standard output is for the hash.
fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// One line, key by key.
fn typed(keys: &mut impl Read) -> Result<String, String> {
    let mut line: Vec<u8> = Vec::new();
    let mut key = [0];
    loop {
        let count = keys.read(&mut key).map_err(|fault| format!("the terminal cannot be read: {fault}"))?;
        match key[0] {
            _ if count == 0 => break,
            // Control-C, and control-D where nothing was typed: it ends the input.
            3 => return nothing(),
            4 if line.is_empty() => return nothing(),
            b'\r' | b'\n' | 4 => break,
            // Backspace takes a character, control-U all of them.
            8 | 127 => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            21 => line.clear(),
            byte if line.len() < BYTES_MAX => line.push(byte),
            _ => return Err(format!("a password has at most {BYTES_MAX} bytes")),
        }
    }
    text(line)
}

/// A terminal that echoes nothing and sends no signals, until this is dropped.
struct Quiet {
    before: Termios,
}

impl Quiet {
    fn new() -> rustix::io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        // Control-C arrives as a key instead of a signal: a process that it ended would leave the terminal without
        // echo.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_brings_one_line() {
        for (input, password) in [
            ("open", Ok("open")),
            ("open\n", Ok("open")),
            ("a b \r\n", Ok("a b ")),
            ("", Ok("")),
            ("a\nb\n", Err("line")),
        ] {
            match (piped(input.as_bytes()), password) {
                (Ok(got), Ok(wanted)) => assert_eq!(got, wanted),
                (Err(got), Err(wanted)) => assert!(got.contains(wanted), "{got}"),
                (got, wanted) => panic!("{input:?}: {got:?} is not {wanted:?}"),
            }
        }
        assert!(piped(&b"\xff"[..]).unwrap_err().contains("UTF-8"));
        assert!(piped(io::repeat(b'a')).unwrap_err().contains("longer"));
    }

    #[test]
    fn keys_are_taken_back_and_the_line_is_given_up() {
        for (keys, line) in [
            ("open\n", Some("open")),
            ("opem\x7fn\r", Some("open")),
            ("öä\x08\x08\x08ab\n", Some("ab")),
            ("wrong\x15right\n", Some("right")),
            ("open\x04", Some("open")),
            ("\x04", None),
            ("ope\x03n\n", None),
            ("open", Some("open")),
        ] {
            assert_eq!(typed(&mut keys.as_bytes()).ok().as_deref(), line, "{keys:?}");
        }
    }
}
