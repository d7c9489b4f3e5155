use super::*;
use crate::config::{AuthMethod, FileAuth};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A part that takes over `auth`, and remembers what is in force.
struct Fake {
    in_force: Arc<Mutex<Vec<AuthMethod>>>,
    prepared: Arc<AtomicUsize>,
    fails: bool,
}

impl Part for Fake {
    fn name(&self) -> &'static str {
        "users"
    }

    fn prepare(&self, config: &Config) -> Result<Swap, String> {
        self.prepared.fetch_add(1, Ordering::Relaxed);
        if self.fails {
            return Err("out of luck".to_owned());
        }
        let (in_force, auth) = (self.in_force.clone(), config.auth.clone());
        Ok(Box::new(move || *in_force.lock().unwrap() = auth))
    }

    fn adopt(&self, from: &Config, to: &mut Config) {
        to.auth.clone_from(&from.auth);
    }
}

struct Setup {
    directory: std::path::PathBuf,
    arguments: StartArguments,
}

impl Setup {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("deepstream-reload-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let arguments = StartArguments { config: Some(directory.join("config.yml")), ..StartArguments::default() };
        let setup = Self { directory, arguments };
        setup.write("");
        setup
    }

    fn write(&self, text: &str) {
        std::fs::write(self.directory.join("config.yml"), text).unwrap();
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn everything_is_swapped_or_nothing() {
    let setup = Setup::new("swap");
    let config = config::load(&setup.arguments).unwrap().config;
    let in_force = Arc::new(Mutex::new(config.auth.clone()));
    let (fine, luckless) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let part = |prepared: &Arc<AtomicUsize>, fails| -> Box<dyn Part> {
        Box::new(Fake { in_force: in_force.clone(), prepared: prepared.clone(), fails })
    };
    let users = "auth: [{type: file, options: {users: {ann: {password: x}}}}]\n";
    let mut reloader = Reloader::new(&setup.arguments, &config, vec![part(&fine, false)]);
    setup.write(users);
    assert!(reloader.reload());
    assert!(in_force.lock().unwrap()[0].get::<FileAuth>().is_some());
    // With an error anywhere in the file no part is asked.
    setup.write("auth: [{type: none}]\nlogLevel: 77\n");
    assert!(!reloader.reload());
    assert_eq!(fine.load(Ordering::Relaxed), 1);
    assert!(in_force.lock().unwrap()[0].get::<FileAuth>().is_some());
    // If one part fails the others change nothing either.
    let mut reloader = Reloader::new(&setup.arguments, &config, vec![part(&fine, false), part(&luckless, true)]);
    setup.write("auth: [{type: none}]\n");
    assert!(!reloader.reload());
    assert_eq!((fine.load(Ordering::Relaxed), luckless.load(Ordering::Relaxed)), (2, 1));
    assert!(in_force.lock().unwrap()[0].get::<FileAuth>().is_some());
}

#[test]
fn what_no_part_takes_up_stays_remembered_as_different() {
    let setup = Setup::new("rest");
    let config = config::load(&setup.arguments).unwrap().config;
    let part: Box<dyn Part> = Box::new(Fake { in_force: Arc::default(), prepared: Arc::default(), fails: false });
    let mut reloader = Reloader::new(&setup.arguments, &config, vec![part]);
    setup.write("auth: [{type: file, options: {users: {ann: {password: x}}}}]\nhttpServer: {options: {port: 7}}\n");
    assert!(reloader.reload());
    assert_eq!(reloader.config.http, config.http, "a port is not taken up");
    assert_ne!(reloader.config.auth, config.auth);
}
