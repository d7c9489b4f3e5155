//! Patterns of listeners and permission rules: any pattern is compiled, and any name matched, within bounds.

use deepstream_pattern::{Budget, Input, Pattern, Scratch, Traits};

const STEPS: u64 = 200_000;
const FLAGS: [&str; 4] = ["", "u", "i", "ms"];

/// Which flags; then a pattern and a name, parted by a byte that no UTF-8 has.
pub(crate) fn run(input: &[u8]) {
    let [flags, rest @ ..] = input else { return };
    let mut parts = rest.splitn(2, |&byte| byte == 0xff);
    let [source, name] = [(); 2].map(|()| str::from_utf8(parts.next().unwrap_or_default()));
    let (Ok(source), Ok(name)) = (source, name) else { return };
    let flags = FLAGS[usize::from(*flags) % FLAGS.len()];
    let Ok(pattern) = Pattern::new(source, flags) else { return };
    assert!(pattern.len() <= 16 * (source.len() + 1), "a program of {} for {source:?}", pattern.len());
    let units: Vec<u16> = name.encode_utf16().collect();
    let mut scratch = Scratch::default();
    let mut budget = Budget::new(STEPS);
    let found = pattern.is_match(Input::Utf16(&units), &mut budget, &mut scratch);
    if let Ok(found) = found {
        let whole = pattern.find(Input::Utf16(&units), 0, &mut Budget::new(STEPS));
        assert_eq!(whole.map(|whole| whole.is_some()), Ok(found), "/{source}/{flags} on {name:?}");
        let again = pattern.is_match(Input::Utf16(&units), &mut Budget::new(STEPS), &mut scratch);
        assert_eq!(again, Ok(found), "used memory matters: /{source}/{flags} on {name:?}");
        if name.is_ascii() {
            let ascii = pattern.is_match(Input::Ascii(name.as_bytes()), &mut Budget::new(STEPS), &mut scratch);
            assert_eq!(ascii, Ok(found), "width matters: /{source}/{flags} on {name:?}");
        }
    }
    if found == Ok(true) {
        let traits = Traits::of(name.as_bytes(), units.len());
        assert!(pattern.shape().admits(&traits), "/{source}/{flags} on {name:?}, told by {:?}", pattern.shape());
        let has = |text: &[u8]| name.as_bytes().windows(text.len()).any(|window| window == text);
        for texts in pattern.required() {
            assert!(texts.iter().any(|text| has(text)), "/{source}/{flags} on {name:?}, which has none of {texts:?}");
        }
    }
}
