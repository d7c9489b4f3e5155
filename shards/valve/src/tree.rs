//! A rule as it was read.
//!
//! *Owns* the accepted subset, as a type. *Promises* that whatever can be written as a [`Tree`] can be compiled. *Does not*
//! come from anywhere but `parse`.

use deepstream_pattern::Pattern;

/// An expression and where it stands in the rule's text, in bytes.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) node: Node,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

#[derive(Debug)]
pub(crate) enum Node {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(Box<[u8]>),
    Pattern(Box<Pattern>),
    Variable(Variable),
    /// A name that nothing has: to read it is an error.
    Unknown(Box<str>),
    /// Texts and the expressions between them, one fewer.
    Template(Vec<Box<[u8]>>, Vec<Tree>),
    Array(Vec<Tree>),
    /// Names are expressions: a constant text for `a:`, anything for `[a]:`.
    Object(Vec<(Tree, Tree)>),
    Member {
        object: Box<Tree>,
        name: Box<[u8]>,
        optional: bool,
    },
    Index {
        object: Box<Tree>,
        key: Box<Tree>,
        optional: bool,
    },
    /// A method: of an object, by its name.
    Call {
        object: Box<Tree>,
        name: Box<[u8]>,
        arguments: Vec<Tree>,
        skip_object: bool,
        skip_method: bool,
    },
    /// `_(…)`
    Reference(Vec<Tree>),
    /// Where `?.` leads to.
    Chain(Box<Tree>),
    Unary(Unary, Box<Tree>),
    Binary(Binary, Box<Tree>, Box<Tree>),
    Logical(Logical, Box<Tree>, Box<Tree>),
    Conditional(Box<Tree>, Box<Tree>, Box<Tree>),
    Sequence(Vec<Tree>),
}

/// What a rule is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    User,
    Data,
    OldData,
    Now,
    Action,
    Name,
    /// What a variable of the path stands for, by the number of its group.
    Path(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unary {
    Not,
    Minus,
    Plus,
    Complement,
    TypeOf,
    Void,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
    ShiftLeft,
    ShiftRight,
    ShiftRightUnsigned,
    And,
    Or,
    Xor,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Same,
    NotSame,
    In,
    InstanceOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logical {
    And,
    Or,
    /// `??`
    Else,
}
