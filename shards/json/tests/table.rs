//! What each path does to each value: upstream's observed results, and ours where we chose to be better.

use deepstream_json::{Limits, PatchError, Path, PathError, Scratch, check, check_patches, remove, set, set_many};

fn set_in(value: &str, path: &str, new: &str) -> Result<String, PatchError> {
    let mut out = b"left over".to_vec();
    let path = Path::parse(path.as_bytes())?;
    set(value.as_bytes(), &path, new.as_bytes(), &Limits::default(), &mut out)?;
    assert!(check(&out, &mut Scratch::new()).is_ok(), "{}", String::from_utf8_lossy(&out));
    Ok(String::from_utf8(out).unwrap())
}

fn remove_in(value: &str, path: &str) -> Result<String, PatchError> {
    let mut out = b"left over".to_vec();
    let path = Path::parse(path.as_bytes())?;
    remove(value.as_bytes(), &path, &Limits::default(), &mut out)?;
    assert!(check(&out, &mut Scratch::new()).is_ok(), "{}", String::from_utf8_lossy(&out));
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_path_in_an_empty_object_builds_what_upstream_builds() {
    for (path, result) in [
        ("a.b", r#"{"a":{"b":1}}"#),
        ("a..b", r#"{"a":{"b":1}}"#),
        (" a . b ", r#"{"a":{"b":1}}"#),
        ("\u{feff}a\u{a0}.\tb", r#"{"a":{"b":1}}"#),
        ("items.0", r#"{"items":{"0":1}}"#),
        ("items.1.", r#"{"items":{"1":1}}"#),
        ("a[2]", r#"{"a":[null,null,1]}"#),
        ("a[ 1 ]", r#"{"a":[null,1]}"#),
        ("a[01]", r#"{"a":[null,1]}"#),
        ("a[0]", r#"{"a":[1]}"#),
        ("a[0", r#"{"a":[1]}"#),
        ("a]0", r#"{"a":[1]}"#),
        ("a[-0]", r#"{"a":[1]}"#),
        ("a[0][1]", r#"{"a":[[null,1]]}"#),
        ("a[0].b", r#"{"a":[{"b":1}]}"#),
        ("[0]", r#"{"":[1]}"#),
        ("a[]", r#"{"a":1}"#),
        ("a[1.5]", r#"{"a":[null,{"5":1}]}"#),
        ("a[0x2]", r#"{"a":[null,null,1]}"#),
        ("a[0b10]", r#"{"a":[null,null,1]}"#),
        ("a[0O2]", r#"{"a":[null,null,1]}"#),
        ("a[20e-1]", r#"{"a":[null,null,1]}"#),
        ("a[1e1]", r#"{"a":[null,null,null,null,null,null,null,null,null,null,1]}"#),
        ("a\\.b", r#"{"a\\":{"b":1}}"#),
        ("\"a\"", r#"{"\"a\"":1}"#),
        ("user_proto.toString.hasOwnProperty", r#"{"user_proto":{"toString":{"hasOwnProperty":1}}}"#),
        ("ключ", r#"{"ключ":1}"#),
    ] {
        assert_eq!(set_in("{}", path, "1").as_deref(), Ok(result), "{path}");
    }
}

#[test]
fn a_path_that_addresses_nothing_is_refused() {
    for path in ["", ".", " . ", "a[x]", "a[-1]", "a[0]b", "a[NaN]", "a[Infinity]", "a[inf]", "a[1e400]", "a[15e-1]"] {
        assert_eq!(Path::parse(path.as_bytes()), Err(PathError::Invalid), "{path}");
    }
    for path in ["a[+0x1]", "a[0x]", "a[0x+1]", "a[1_0]", "a[9007199254740992]", "a[1e]", "a[--1]"] {
        assert_eq!(Path::parse(path.as_bytes()), Err(PathError::Invalid), "{path}");
    }
    assert_eq!(Path::parse(b"a\xff"), Err(PathError::Invalid));
}

#[test]
fn a_path_into_the_prototype_is_refused() {
    for path in ["__proto__", "a.constructor", " prototype .b", "__proto__[0]", "a.__proto__.b", "constructor]0"] {
        assert_eq!(Path::parse(path.as_bytes()), Err(PathError::Unsafe), "{path}");
    }
    for path in ["a__proto__", "constructors", "a[0].prototyped", "Constructor"] {
        assert!(Path::parse(path.as_bytes()).is_ok(), "{path}");
    }
}

#[test]
fn a_parent_that_cannot_be_entered_is_replaced() {
    for (value, path, result) in [
        (r#"{"a":null}"#, "a.b", r#"{"a":{"b":1}}"#),
        (r#"{"a":5,"c":2}"#, "a.b", r#"{"a":{"b":1},"c":2}"#),
        (r#"{"a":"x"}"#, "a[1]", r#"{"a":[null,1]}"#),
        (r#"{"a":[null]}"#, "a[0].b", r#"{"a":[{"b":1}]}"#),
        ("null", "a", r#"{"a":1}"#),
        (" 7 ", "a", r#" {"a":1} "#),
    ] {
        assert_eq!(set_in(value, path, "1").as_deref(), Ok(result), "{value} {path}");
    }
}

#[test]
fn an_existing_container_is_entered_whatever_the_token() {
    for (value, path, result) in [
        (r#"{"a":{"b":0}}"#, "a[3]", r#"{"a":{"b":0,"3":1}}"#),
        (r#"{"a":{"3":0}}"#, "a[3]", r#"{"a":{"3":1}}"#),
        (r#"{"a":[1,2,3]}"#, "a.1", r#"{"a":[1,1,3]}"#),
        (r#"{"a":[1,2,3]}"#, "a.01", r#"{"a":[1,2,3]}"#),
        (r#"{"a":[1,2,3]}"#, "a.length", r#"{"a":[1,2,3]}"#),
        (r#"{"a":[1,2,3]}"#, "a.x.y", r#"{"a":[1,2,3]}"#),
        (r#"{"a":[1]}"#, "a[3]", r#"{"a":[1,null,null,1]}"#),
        ("[]", "0", "[1]"),
        ("[]", "2", "[null,null,1]"),
        ("[ 5 , 6 ]", "1", "[ 5 , 1 ]"),
        ("[5]", "[0]", "[5]"),
        ("[[5]]", "0[0]", "[[1]]"),
        (" { } ", "a", r#" {"a":1 } "#),
        (r#"{ "a" : 0 , "b" : 0 }"#, "c", r#"{ "a" : 0 , "b" : 0,"c":1 }"#),
    ] {
        assert_eq!(set_in(value, path, "1").as_deref(), Ok(result), "{value} {path}");
    }
}

#[test]
fn deleting_follows_upstream() {
    for (value, path, result) in [
        (r#"{"a":1}"#, "a", "{}"),
        (r#"{"a":1,"b":2}"#, "a", r#"{"b":2}"#),
        (r#"{ "a" : 1 , "b" : 2 }"#, "a", r#"{"b" : 2 }"#),
        (r#"{"a":1,"b":2}"#, "b", r#"{"a":1}"#),
        (r#"{"a":1,"b":2,"c":3}"#, "b", r#"{"a":1,"c":3}"#),
        (r#"{"a":1}"#, "b", r#"{"a":1}"#),
        (r#"{"a":{"b":1},"c":2}"#, "a.b", r#"{"a":{},"c":2}"#),
        (r#"{"a":[1,2,3]}"#, "a[1]", r#"{"a":[1,null,3]}"#),
        (r#"{"a":[1,2,3]}"#, "a[2]", r#"{"a":[1,2,null]}"#),
        (r#"{"a":[1]}"#, "a[99999999]", r#"{"a":[1]}"#),
        (r#"{"a":[1]}"#, "a.x", r#"{"a":[1]}"#),
        ("{}", "x.y", r#"{"x":{}}"#),
        ("{}", "x[4]", r#"{"x":[]}"#),
        ("{}", "x[1].y", r#"{"x":[null,{}]}"#),
        (r#"{"x":null}"#, "x.y", r#"{"x":{}}"#),
        (r#"{"x":5}"#, "x.y", r#"{"x":{}}"#),
        ("[1,2]", "0", "[null,2]"),
        ("3", "a", "{}"),
    ] {
        assert_eq!(remove_in(value, path).as_deref(), Ok(result), "{value} {path}");
    }
}

#[test]
fn of_members_with_one_name_the_last_counts_and_all_go() {
    assert_eq!(set_in(r#"{"a":1,"b":2,"a":3}"#, "a", "9").as_deref(), Ok(r#"{"a":1,"b":2,"a":9}"#));
    assert_eq!(set_in(r#"{"a":{"x":1},"\u0061":{}}"#, "a.x", "9").as_deref(), Ok(r#"{"a":{"x":1},"\u0061":{"x":9}}"#));
    assert_eq!(remove_in(r#"{"a":1,"b":2,"\u0061":3}"#, "a").as_deref(), Ok(r#"{"b":2}"#));
    assert_eq!(remove_in(r#"{"p":{"a":1,"a":3},"q":4}"#, "p.a").as_deref(), Ok(r#"{"p":{},"q":4}"#));
    assert_eq!(remove_in(r#"{"p":{"3":1,"3":3},"q":4}"#, "p[3]").as_deref(), Ok(r#"{"p":{},"q":4}"#));
}

#[test]
fn keys_compare_by_what_they_say() {
    assert_eq!(set_in(r#"{"\u00e9\n":1}"#, "é\n.", "9").as_deref(), Ok(r#"{"\u00e9\n":1,"é":9}"#));
    assert_eq!(set_in(r#"{"\u00e9\"\ud83d\ude00":1}"#, "é\"😀", "9").as_deref(), Ok(r#"{"\u00e9\"\ud83d\ude00":9}"#));
    // The path's backslash is a letter; the value's is an escape.
    assert_eq!(set_in(r#"{"\n":1}"#, "\\n", "9").as_deref(), Ok(r#"{"\n":1,"\\n":9}"#));
    assert_eq!(set_in(r#"{"\ud800":1}"#, "\u{fffd}", "9").as_deref(), Ok("{\"\\ud800\":1,\"\u{fffd}\":9}"));
}

#[test]
fn an_index_may_lie_ten_thousand_behind_the_end_and_no_further() {
    assert!(set_in(r#"{"a":[1]}"#, "a[10001]", "1").is_ok());
    assert_eq!(set_in(r#"{"a":[1]}"#, "a[10002]", "1"), Err(PatchError::IndexTooFar));
    assert_eq!(set_in(r#"{"a":[1]}"#, "a.99999999999999999999999", "1"), Err(PatchError::IndexTooFar));
    assert_eq!(set_in("{}", "a[4000000000]", "1"), Err(PatchError::IndexTooFar));
    assert_eq!(set_in("{}", "a[4000000000].b", "1"), Err(PatchError::IndexTooFar));
    assert_eq!(set_in(r#"{"a":{}}"#, "a[4000000000]", "1").as_deref(), Ok(r#"{"a":{"4000000000":1}}"#));
}

fn many(value: &str, patches: &str) -> Result<String, PatchError> {
    let mut scratch = Scratch::new();
    let mut out = b"left over".to_vec();
    set_many(value.as_bytes(), patches.as_bytes(), &Limits::default(), &mut scratch, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_list_of_patches_is_applied_in_order() {
    let list = r#"[{"path":"a.b","data":1},{"path":"c"},{"data":[2],"path":"a.b"},{"path":"d","data":null}]"#;
    assert_eq!(many(r#"{"c":1}"#, list).as_deref(), Ok(r#"{"a":{"b":[2]},"d":null}"#));
    assert_eq!(many("{}", r#" [ { "pat\u0068" : "\u0061" , "data" : 1 } ] "#).as_deref(), Ok(r#"{"a":1}"#));
}

#[test]
fn a_list_that_is_none_is_refused_as_a_whole() {
    let mut scratch = Scratch::new();
    for list in ["[]", "{}", "1", r#"[{"path":"a"},1]"#, r#"[{"data":1}]"#, r#"[{"path":1}]"#, r#"[{"path":null}]"#] {
        assert_eq!(many("{}", list), Err(PatchError::NotPatches), "{list}");
        assert_eq!(check_patches(list.as_bytes(), &mut scratch), Err(PatchError::NotPatches), "{list}");
    }
    for (list, error) in [
        (r#"[{"path":"a","data":1},{"path":"constructor","data":1}]"#, PathError::Unsafe),
        (r#"[{"path":"a","data":1},{"path":"\u005f_proto__","data":1}]"#, PathError::Unsafe),
        (r#"[{"path":"a","data":1},{"path":"","data":1}]"#, PathError::Invalid),
        (r#"[{"path":"a\ud800","data":1}]"#, PathError::Invalid),
    ] {
        assert_eq!(many("{}", list), Err(error.into()), "{list}");
        assert_eq!(check_patches(list.as_bytes(), &mut scratch), Err(error.into()), "{list}");
    }
}
