//! Programs whose reader closes the pipe early, as `head` does.

use std::io;
use std::process::{Command, Stdio};

#[test]
fn a_reader_who_has_gone_is_no_failure() {
    for arguments in [&["info"][..], &["--help"], &["doctor", "--settings"]] {
        let (reader, writer) = io::pipe().unwrap();
        // Gone before the program runs, so that its first write finds nobody.
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_deepstream"));
        let output = command.args(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_some_and(|code| code <= 1) && !said.contains("panic"), "{arguments:?}: {said}");
    }
}
