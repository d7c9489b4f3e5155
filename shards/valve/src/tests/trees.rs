//! The compiled program against the plain evaluator.

use proptest::prelude::*;

use super::node::ask_valve;
use super::reference::evaluate;
use super::world::{Rng, expression};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Two evaluators that share nothing but the parser and the regular expressions.
    #[test]
    fn programs_mean_what_their_trees_mean(seed in any::<u64>(), depth in 1_usize..5) {
        let text = expression(&mut Rng(seed | 1), depth);
        let answer = ask_valve(&text);
        if answer != "not supported" && answer != "refused" {
            prop_assert_eq!(answer, evaluate(&text), "{}", text);
        }
    }
}
