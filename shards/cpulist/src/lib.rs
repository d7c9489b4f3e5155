//! CPU sets as the kernel, the configuration and the latency harness write them: `2-7,10,12-15:2`.
//!
//! *Owns* that form. *Promises* that CPUs come in the order written, and that what is wrong is named. *Does not* know which CPUs
//! there are.
#![forbid(unsafe_code)]

/// The CPUs of a list, in the order written. Ranges may have a stride: `0-8:2` is 0, 2, 4, 6, 8.
pub fn parse(text: &str) -> Result<Vec<usize>, String> {
    let mut cpus = Vec::new();
    for part in text.split(',').map(str::trim) {
        if part.is_empty() {
            return Err(if text.trim().is_empty() {
                "the list is empty".into()
            } else {
                format!("{text:?} has an empty part")
            });
        }
        let (range, stride) = match part.split_once(':') {
            Some((range, stride)) => (range, number(stride, part)?),
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (number(first, part)?, number(last, part)?),
            None if part.contains(':') => return Err(format!("{part:?} has a stride but no range")),
            None => (number(range, part)?, number(range, part)?),
        };
        if first > last {
            return Err(format!("the range {part:?} runs backwards"));
        }
        if stride == 0 {
            return Err(format!("{part:?} has a stride of 0"));
        }
        cpus.extend((first..=last).step_by(stride));
    }
    Ok(cpus)
}

/// CPU numbers beyond this are typing errors; the largest machines that Linux supports have 8192.
const CPU_MAX: usize = 8191;

fn number(text: &str, part: &str) -> Result<usize, String> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{part:?} is not a CPU number or a range of them"));
    }
    text.parse().ok().filter(|number| *number <= CPU_MAX).ok_or_else(|| format!("{part:?} is beyond CPU {CPU_MAX}"))
}

/// The shortest list that names these CPUs; for messages.
pub fn format(cpus: &[usize]) -> String {
    let mut sorted = cpus.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let runs = sorted.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_ranges_and_strides_are_read_in_their_order() {
        for (text, cpus) in [
            ("3", vec![3]),
            ("2-7,10,12-15:2", vec![2, 3, 4, 5, 6, 7, 10, 12, 14]),
            (" 4 , 0-2 ", vec![4, 0, 1, 2]),
            ("0-8:3", vec![0, 3, 6]),
            ("5-5", vec![5]),
        ] {
            assert_eq!(parse(text), Ok(cpus), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_part_that_is_wrong() {
        for (text, what) in [
            ("", "the list is empty"),
            ("1,,2", "\"1,,2\" has an empty part"),
            ("7-2", "the range \"7-2\" runs backwards"),
            ("1-4:0", "\"1-4:0\" has a stride of 0"),
            ("4:2", "\"4:2\" has a stride but no range"),
            ("a", "\"a\" is not a CPU number or a range of them"),
            ("-3", "\"-3\" is not a CPU number or a range of them"),
            ("+3", "\"+3\" is not a CPU number or a range of them"),
            ("0-99999999999", "\"0-99999999999\" is beyond CPU 8191"),
            ("99999999999999999999", "\"99999999999999999999\" is beyond CPU 8191"),
        ] {
            assert_eq!(parse(text), Err(what.to_owned()), "{text}");
        }
    }

    #[test]
    fn formatting_joins_neighbours() {
        assert_eq!(format(&[7, 2, 3, 4, 9, 10, 4]), "2-4,7,9-10");
        assert_eq!(format(&[]), "");
    }
}
