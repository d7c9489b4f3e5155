//! Percentile distributions as text, in the format every HdrHistogram plotter reads.

use hdrhistogram::Histogram;
use std::fmt::Write;

/// Nanoseconds in the unit of the files.
const MICROSECOND_NS: f64 = 1000.0;
/// Steps per halving of the distance to 100 %, as other HdrHistogram tools have it.
const TICKS_PER_HALF: u32 = 5;

/// The distribution of a histogram of nanoseconds, in microseconds.
pub(crate) fn write(histogram: &Histogram<u64>) -> String {
    let mut text = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / MICROSECOND_NS;
        let quantile = step.quantile_iterated_to();
        let _ = if quantile < 1.0 {
            writeln!(text, "{value:>12.3} {quantile:>2.12} {total:>10} {:>14.2}", 1.0 / (1.0 - quantile))
        } else {
            writeln!(text, "{value:>12.3} {quantile:>2.12} {total:>10}")
        };
    }
    let (mean, deviation) = (histogram.mean() / MICROSECOND_NS, histogram.stdev() / MICROSECOND_NS);
    let max = histogram.max() as f64 / MICROSECOND_NS;
    let _ = write!(
        text,
        "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]\n\
         #[Max     = {max:>12.3}, Total count    = {:>12}]\n\
         #[Buckets = {:>12}, SubBuckets     = {:>12}]\n",
        histogram.len(),
        histogram.buckets(),
        histogram.distinct_values() / usize::from(histogram.buckets().max(1)),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::histogram;

    #[test]
    fn a_distribution_rises_to_the_maximum_and_counts_everything() {
        let mut latencies = histogram();
        (1..=1000).for_each(|n| latencies.record(n * 1000).expect("within bounds"));
        let text = write(&latencies);
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|cell| cell.parse().expect("a number")).collect())
            .collect();
        assert!(rows.windows(2).all(|pair| pair[0][0] <= pair[1][0] && pair[0][1] <= pair[1][1]));
        let median = rows.iter().find(|row| row[1] >= 0.5).expect("a median");
        assert!((median[0] - 500.0).abs() < 1.0, "{median:?}");
        let last = rows.last().expect("a last row");
        assert!((last[0] - 1000.0).abs() < 1.0 && last[1] >= 1.0 && last[2] >= 1000.0, "{last:?}");
        assert!(text.contains("Total count    =         1000]"), "{text}");
    }

    #[test]
    fn nothing_recorded_is_still_a_file() {
        assert!(write(&histogram()).contains("Total count    =            0]"));
    }
}
