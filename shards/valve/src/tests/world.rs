//! What the tests' rules are told, and rules made up at random.

use crate::eval::{Context, Document, Reference, User};

pub(super) const DATA: &str = r#"{"n":5,"z":0,"neg":-3.5,"big":1e+21,"small":1e-7,"s":"abc","e":"","num":"10","sp":" 1 ","u":"héé😀z","lone":"a\ud83d","esc":"q\"\\\n\u0041","t":true,"f":false,"nil":null,"list":[1,2,"a",null,[3]],"names":["ann","bob"],"empty":[],"obj":{"deep":{"x":1},"length":7},"a b":1,"trim":2,"to":{"toString":1},"val":{"valueOf":2}}"#;
pub(super) const OLD: &str = r#"{"list":["x"],"n":4,"nil":null,"s":"abd"}"#;
const ROLE: &str = r#"{"groups":["x","y"],"level":3,"role":"admin"}"#;
const RECORD: &str = r#"{"next":"rec/2","owner":"userA","x":1}"#;

pub(super) fn user() -> User<'static> {
    User { id: "userA", server_data: Some(ROLE.as_bytes()) }
}

pub(super) const REFERENCES: &[Reference<'static>] = &[
    Reference { name: b"rec/1", value: Some(RECORD.as_bytes()) },
    Reference { name: b"rec/2", value: Some(b"[1,2]") },
    Reference { name: b"gone", value: None },
];

pub(super) fn context<'a>(user: &'a User<'a>) -> Context<'a> {
    Context {
        user,
        name: Some(b"a/userA/b"),
        captures: &[(2, 7)],
        action: 18,
        now_ms: 1_600_000_000_000.0,
        data: Document::Text(DATA.as_bytes()),
        old_data: Document::Text(OLD.as_bytes()),
        references: REFERENCES,
        at_hand: None,
    }
}

/// The same for Node, as the text of an object.
pub(super) fn context_script() -> String {
    format!(
        "{{user:{{isAuthenticated:true,id:'userA',data:{ROLE}}},name:'a/userA/b',$x:'userA',action:18,now:1600000000000,\
         data:{DATA},oldData:{OLD},records:{{'rec/1':{RECORD},'rec/2':[1,2],gone:null}}}}"
    )
}

pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

#[rustfmt::skip]
const NUMBERS: &[&str] = &[
    "0", "1", "2", "3", "10", "18", "3.5", "0.1", "0.2", "1e21", "1e-7", "255", "2147483648", "4294967296", "9007199254740993",
    "123456789012345680000", "0x1F", "5e-324", "1.7976931348623157e308", ".5", "5.", "0b101", "0o17", "1_000", "NaN", "Infinity",
];
#[rustfmt::skip]
const TEXTS: &[&str] = &[
    "''", "'a'", "'b'", "'abc'", "'ABC'", "'10'", "'9'", "'1'", "' 1 '", "'0x1f'", "'true'", "'null'", "'undefined'", "'é'",
    "'😀'", "'\\ud83d'", "'\\ude00'", "'\\uffff'", "'length'", "'0'", "'NaN'", "'Infinity'", "'-Infinity'", "'1e3'", "'1_0'", "'.5'", "'+5'", "'--1'",
    "'[object Object]'", "'a,b'", "'x y'", "'\\n\\t'", "'userA'", "'rec/1'", "'trim'", "'toString'", "'deep'", "'n'", "'\\u00a0 1'", "'ß'", "'Σς'", "'-0'", "'0b11'", "'0o7'", "'1,2,a,,3'", "'infinity'",
];
#[rustfmt::skip]
const PATHS: &[&str] = &[
    "data", "data.n", "data.z", "data.neg", "data.big", "data.small", "data.s", "data.e", "data.num", "data.sp", "data.u", "data.lone", "data.esc",
    "data.t", "data.f", "data.nil", "data.list", "data.names", "data.empty", "data.obj", "data.obj.deep", "data.obj.deep.x", "data.obj.length",
    "data['a b']", "data.missing", "data.list[0]", "data.list[3]", "data.list[4]", "data.list[9]", "data.list.length", "data.s.length", "data.u.length",
    "data.s[1]", "data.u[3]", "data.trim", "data.toString", "data.to", "data.val", "oldData", "oldData.n", "oldData.s", "oldData.list", "user", "user.id", "user.isAuthenticated",
    "user.data", "user.data.role", "user.data.groups", "user.data.level", "name", "$x", "action", "now", "undefined", "null", "true", "false",
    "data?.obj?.deep", "data.nil?.x", "data.missing?.x.y", "data.list['1']", "data.list['01']", "data.missing.x", "data.nil.x", "_('rec/1')", "_('rec/1').owner",
    "_('gone')", "_(_('rec/1').next)", "_('rec/9')", "_(data.missing)", "_(5)", "foo", "typeof foo", "data.s.trim", "data.list.includes", "data.n.toFixed", "data['toString']",
];
#[rustfmt::skip]
const PATTERNS: &[&str] = &[
    "/a/", "/^a/", "/[a-c]+/", "/(a)(b)?(x)?/", "/^[0-9]*$/", "/\\d+/", "/./g", "/A/i", "/(?<k>b)c/", "/^\\w+$/", "/é+/", "/é+/i", "/\\ud83d/", "/./u", "/^.{5}$/u", "/a|b/g",
    "/(?=b)/", "/(?!a)./", "/(?<=a)b/", "/\\s/", "/^$/", "/$/m", "/[^/]+$/", "/(a*)*/", "/(?:)/g", "/\\p{Ll}+/u", "/\\bb/", "/[\\]]/", "/x*?c/", "/(.)\\1/", "/\\u{1F600}/u", "/σ/i", "/ß/iu", "/[^a-z]/gi",
];
const BINARY: &[&str] = &[
    "+", "-", "*", "/", "%", "<<", ">>", ">>>", "&", "|", "^", "<", "<=", ">", ">=", "==", "!=", "===", "!==", "==",
    "===", "+", "<", ">", "in", "&&", "||", "??", "&&", "||", ",",
];
const UNARY: &[&str] = &["!", "- ", "+ ", "~", "typeof ", "void ", "!!"];
const METHODS: &[&str] =
    &["startsWith", "endsWith", "includes", "indexOf", "match", "toUpperCase", "toLowerCase", "trim"];

/// An expression of the accepted subset.
pub(super) fn expression(rng: &mut Rng, depth: usize) -> String {
    if depth == 0 {
        return match rng.below(10) {
            0 | 1 => rng.pick(NUMBERS).to_owned(),
            2..=4 => rng.pick(TEXTS).to_owned(),
            5 if rng.below(3) == 0 => rng.pick(PATTERNS).to_owned(),
            _ => rng.pick(PATHS).to_owned(),
        };
    }
    let inner = depth - 1;
    let closed = |rng: &mut Rng| {
        let inside = expression(rng, inner);
        if rng.below(8) == 0 { inside } else { format!("({inside})") }
    };
    match rng.below(20) {
        0..=6 => {
            let operator = rng.pick(BINARY);
            format!("{} {operator} {}", closed(rng), closed(rng))
        }
        7 | 8 => format!("{}{}", rng.pick(UNARY), closed(rng)),
        9..=13 => {
            let method = rng.pick(METHODS);
            let dot = if rng.below(6) == 0 { "?." } else { "." };
            let receiver = match rng.below(3) {
                0 => rng
                    .pick(&["data.s", "data.u", "data.names", "data.list", "name", "user.id", "data.esc", "data.lone"])
                    .to_owned(),
                1 => rng.pick(TEXTS).to_owned(),
                _ => format!("({})", expression(rng, inner)),
            };
            let arguments = match (method, rng.below(8)) {
                (_, 0) => String::new(),
                ("match", 1..=5) => rng.pick(PATTERNS).to_owned(),
                ("match", _) => rng.pick(&["'a'", "'['", "'(b)'", "'.'", "data.s", "'^a'"]).to_owned(),
                (_, 1..=3) => rng.pick(TEXTS).to_owned(),
                (_, 4) => format!("{}, {}", expression(rng, 0), expression(rng, 0)),
                (_, 5) => format!(
                    "{}, {}",
                    rng.pick(TEXTS),
                    rng.pick(&["0", "1", "2", "-1", "-2", "99", "NaN", "undefined", "1.7"])
                ),
                _ => expression(rng, inner).replace(" , ", " + "),
            };
            format!("{receiver}{dot}{method}({arguments})")
        }
        14 => format!("{} ? {} : {}", closed(rng), closed(rng), closed(rng)),
        15 => format!("`x${{{}}}y${{{}}}`", expression(rng, inner), expression(rng, 0)),
        16 => format!("[{}, {}]", closed(rng), closed(rng)),
        17 => format!("({{a: {}, [{}]: {}}})", closed(rng), expression(rng, 0), closed(rng)),
        18 => {
            let dot = if rng.below(4) == 0 { "?." } else { "" };
            format!("({}){dot}[{}]", expression(rng, inner), expression(rng, 0))
        }
        _ => format!(
            "({}).{}",
            expression(rng, inner),
            rng.pick(&["length", "x", "n", "a", "deep", "index", "input", "groups", "source"])
        ),
    }
}
