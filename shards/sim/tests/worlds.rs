//! Worlds as they should be: none of them fails an oracle.

use deepstream_sim::Run;

#[test]
fn two_hundred_worlds_pass_every_oracle() {
    for seed in 0..200 {
        if let Err(failure) = Run::of(seed).go() {
            panic!("{failure}");
        }
    }
}

#[test]
fn worlds_that_failed_once_do_not_fail_again() {
    let seeds = [
        455, 5591, 62_741, 75_481, 5_020_295, 5_034_651, 5_096_551, 10_016_841, 10_019_313, 20_008_904, 20_115_495,
        30_012_718,
    ];
    for seed in seeds {
        if let Err(failure) = (Run {
            listening: false,
            ruled: false,
            named: false,
            intruders: false,
            burdened: false,
            apart: false,
            growing: false,
            ..Run::of(seed)
        })
        .go()
        {
            panic!("{failure}");
        }
    }
}

#[test]
fn worlds_with_listeners_that_failed_once_do_not_fail_again() {
    for seed in [399, 5855, 6732, 10_016, 10_233, 10_880, 15_914, 17_901, 17_924, 19_754] {
        if let Err(failure) = (Run {
            ruled: false,
            named: false,
            intruders: false,
            burdened: false,
            apart: false,
            growing: false,
            ..Run::of(seed)
        })
        .go()
        {
            panic!("{failure}");
        }
    }
}

#[test]
fn worlds_with_rules_that_failed_once_do_not_fail_again() {
    for seed in [
        124, 209, 381, 541, 723, 1802, 1938, 2076, 2519, 14_859, 16_774, 17_944, 2_005_225, 2_010_637, 2_073_998,
        2_199_792, 2_298_243, 2_331_807, 2_497_866, 2_576_887, 2_186_705, 2_409_538, 10_203_998, 4_064_034, 4_353_413,
        4_625_020, 4_837_554,
    ] {
        if let Err(failure) =
            (Run { named: false, intruders: false, burdened: false, apart: false, growing: false, ..Run::of(seed) })
                .go()
        {
            panic!("{failure}");
        }
    }
}

#[test]
fn whole_worlds_that_failed_once_do_not_fail_again() {
    for seed in [60_317_709, 60_415_959, 60_890_521, 60_934_701] {
        if let Err(failure) =
            (Run { intruders: false, burdened: false, apart: false, growing: false, ..Run::of(seed) }).go()
        {
            panic!("{failure}");
        }
    }
}

#[test]
fn a_seed_is_always_the_same_world() {
    let steps = || Run::of(7).go().map_err(|failure| failure.what);
    assert_eq!(steps(), steps());
}

#[test]
fn worlds_with_everything_that_failed_once_do_not_fail_again() {
    for seed in [
        3663, 80_013_317, 80_014_538, 80_026_390, 82_013_146, 83_164_003, 83_210_263, 83_214_006, 84_233_190,
        83_002_614,
    ] {
        if let Err(failure) = (Run { apart: false, growing: false, ..Run::of(seed) }).go() {
            panic!("{failure}");
        }
    }
}
