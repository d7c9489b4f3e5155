//! Where a password comes from that is to be hashed: the command line, the standard input, or whoever sits at the terminal.
//!
//! *Owns* asking for it. *Promises* that nothing of it is shown, and that the terminal is afterwards as it was before. *Does
//! not* judge it.

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::io::{self, IsTerminal, Read, Write};

/// What is longer is no password, but a file that was taken for one.
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

/// Asks twice: nobody sees what is typed, nor that it is mistyped.
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

/// Beside the output, which is for the hash.
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

/// A terminal that shows nothing and ends nobody, until this is dropped.
struct Quiet {
    before: Termios,
}

impl Quiet {
    fn new() -> rustix::io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        // Interrupts come as keys: a process that ends would leave the terminal mute.
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
