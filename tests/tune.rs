//! Tests `scripts/tune`: it prints what the doctor would set, sets it, and leaves a script that restores it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Rig(PathBuf);

impl Rig {
    /// A doctor that would set two files.
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("deepstream-tune-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let rig = Self(folder);
        fs::write(rig.file("governor"), "powersave\n").unwrap();
        fs::write(rig.file("pages"), "always").unwrap();
        let (governor, pages) = (rig.file("governor"), rig.file("pages"));
        let doctor = format!(
            "#!/bin/sh\n[ \"$*\" = 'doctor --settings -c a.yml' ] || exit 9\nprintf '{}\\tpowersave\\tperformance\\n{}\\talways\\tmadvise\\n'\n",
            governor.display(),
            pages.display()
        );
        fs::write(rig.file("doctor"), doctor).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(rig.file("doctor")).status().unwrap().success());
        rig
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap().trim().to_owned()
    }

    fn tune(&self, arguments: &[&str]) -> Output {
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tune"))
            .args(arguments)
            .env("DEEPSTREAM_BIN", self.file("doctor"))
            .env("DEEPSTREAM_UNDO", self.file("undo"))
            .output()
            .unwrap()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn commands_are_printed_and_nothing_is_changed() {
    let rig = Rig::new("print");
    let output = rig.tune(&["-c", "a.yml"]);
    assert!(output.status.success(), "{output:?}");
    let commands = String::from_utf8(output.stdout).unwrap();
    assert_eq!(commands.lines().count(), 2);
    assert!(commands.starts_with("echo performance > "), "{commands}");
    assert_eq!((rig.read("governor"), rig.file("undo").exists()), ("powersave".to_owned(), false));
    // Run by a shell, they do what they say.
    assert!(Command::new("sh").arg("-c").arg(&commands).status().unwrap().success());
    assert_eq!((rig.read("governor"), rig.read("pages")), ("performance".to_owned(), "madvise".to_owned()));
}

#[test]
fn what_is_applied_can_be_undone_but_not_applied_over() {
    let rig = Rig::new("apply");
    let output = rig.tune(&["--apply", "-c", "a.yml"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((rig.read("governor"), rig.read("pages")), ("performance".to_owned(), "madvise".to_owned()));
    assert!(!rig.tune(&["--apply", "-c", "a.yml"]).status.success(), "the first undo is kept");
    assert!(Command::new(rig.file("undo")).status().unwrap().success());
    assert_eq!((rig.read("governor"), rig.read("pages")), ("powersave".to_owned(), "always".to_owned()));
}

#[test]
fn what_cannot_be_set_is_said() {
    let rig = Rig::new("refused");
    fs::remove_file(rig.file("pages")).unwrap();
    fs::create_dir(rig.file("pages")).unwrap();
    let output = rig.tune(&["--apply", "-c", "a.yml"]);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("stays at always") && said.contains("1 could not be set"), "{said}");
    assert_eq!(rig.read("governor"), "performance");
}
