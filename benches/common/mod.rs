//! How the benches run: timed, counted, or once around as a test.
//!
//! `cargo bench` measures time with criterion. `BENCH --count CASE N` runs one case N times and nothing else, so that
//! callgrind can count instructions (`scripts/bench` takes the difference of two counts, which leaves set-up out; `--list`
//! says how many times a case is to be counted). Any
//! other call, as from `cargo test --benches`, runs every case a few times, so that none can rot.

use std::hint::black_box;

/// One thing to measure. `run` does it a number of times and returns something of the work, so that none of it can be
/// left out.
pub(crate) struct Case {
    /// As in the committed table of instruction counts.
    pub name: &'static str,
    /// Does it this many times.
    pub run: Box<dyn FnMut(u64) -> u64>,
    /// How many times it is done to be counted: fewer for what is long.
    pub counted: u64,
}

impl Case {
    /// A case from its name and a closure that does it once.
    pub(crate) fn once(name: &'static str, mut run: impl FnMut() -> u64 + 'static) -> Self {
        let run = move |times| (0..times).fold(0, |sum: u64, _| sum.wrapping_add(black_box(run())));
        Self { name, run: Box::new(run), counted: 1000 }
    }

    /// A case that is made ready only when it is run, because that takes long.
    #[allow(dead_code, reason = "not every bench has such cases")]
    pub(crate) fn prepared<Run: FnMut() -> u64 + 'static>(
        name: &'static str,
        counted: u64,
        prepare: impl FnOnce() -> Run + 'static,
    ) -> Self {
        let (mut prepare, mut ready) = (Some(prepare), None);
        let run = move || {
            let ready = ready.get_or_insert_with(|| prepare.take().expect("made ready once")());
            ready()
        };
        Self { counted, ..Self::once(name, run) }
    }
}

/// Runs the cases as the command line says.
pub(crate) fn main(cases: Vec<Case>) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => cases.iter().for_each(|case| println!("{} {}", case.name, case.counted)),
        ["--count", name, times] => count(cases, name, times),
        _ if arguments.iter().any(|argument| argument == "--bench") => time(cases),
        _ => {
            for mut case in cases {
                println!("{}: ok, {:016x}", case.name, (case.run)(3));
            }
        }
    }
}

fn count(cases: Vec<Case>, name: &str, times: &str) {
    let times = times.parse().expect("a number of times");
    let mut case = cases.into_iter().find(|case| case.name == name).expect("a case of --list");
    println!("{:016x}", (case.run)(times));
}

fn time(cases: Vec<Case>) {
    let mut criterion = criterion::Criterion::default().configure_from_args();
    for mut case in cases {
        criterion.bench_function(case.name, |bencher| {
            bencher.iter_custom(|times| {
                let start = std::time::Instant::now();
                black_box((case.run)(times));
                start.elapsed()
            });
        });
    }
    criterion.final_summary();
}
