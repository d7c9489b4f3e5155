//! How values are written as bytes, for tapes and for other nodes: numbers by seven bits a byte, the least first; texts behind
//! their length; choices by a number.
//!
//! It is public for what else nodes say to each other. It is no crate of its own: types of `wire` and `valve` are written here
//! too, and only the crate that has the traits may say how.
//!
//! *Owns* the two directions. *Promises* that reading any bytes gives a value or none, within the bytes there are; that what was
//! put comes back; a field added to a type must be named where the type is, or nothing compiles. *Does not* know what the
//! values mean.

use bytes::Bytes;
use std::sync::Arc;

/// Writes itself down.
pub trait Put {
    /// Behind what was written before.
    fn put(&self, to: &mut Vec<u8>);
}

/// Reads itself, from the front; `None` if that is not what lies there.
pub trait Get<'a>: Sized {
    /// What lies in front, which is then gone from there.
    fn get(from: &mut &'a [u8]) -> Option<Self>;
}

/// Structs, field by field.
#[macro_export]
macro_rules! structs {
    ($($type:ty { $($field:tt : $name:ident),* $(,)? })*) => {$(
        impl $crate::codec::Put for $type {
            fn put(&self, to: &mut Vec<u8>) {
                let Self { $($field: $name),* } = self;
                $($crate::codec::Put::put($name, to);)*
            }
        }

        impl $crate::codec::Get<'_> for $type {
            fn get(from: &mut &[u8]) -> Option<Self> {
                $(let $name = $crate::codec::Get::get(from)?;)*
                Some(Self { $($field: $name),* })
            }
        }
    )*};
}

/// Enums, variant by variant; the number is what is written. What stands behind `as` is the number of the form, which is written
/// before it; another one is not read.
#[macro_export]
macro_rules! enums {
    ($($type:ty $(as $form:path)? { $($number:literal $variant:ident { $($field:tt : $name:ident),* $(,)? })* })*) => {$(
        impl $crate::codec::Put for $type {
            fn put(&self, to: &mut Vec<u8>) {
                $(to.push($form);)?
                match self {
                    $(Self::$variant { $($field: $name),* } => {
                        to.push($number);
                        $($crate::codec::Put::put($name, to);)*
                    })*
                }
            }
        }

        impl $crate::codec::Get<'_> for $type {
            fn get(from: &mut &[u8]) -> Option<Self> {
                $(if $crate::codec::byte(from)? != $form {
                    return None;
                })?
                match $crate::codec::byte(from)? {
                    $($number => {
                        $(let $name = $crate::codec::Get::get(from)?;)*
                        Some(Self::$variant { $($field: $name),* })
                    })*
                    _ => None,
                }
            }
        }
    )*};
}

pub use {enums, structs};

/// The first byte.
pub fn byte(from: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = from.split_first()?;
    *from = rest;
    Some(first)
}

impl Put for u64 {
    fn put(&self, to: &mut Vec<u8>) {
        let mut left = *self;
        while left >= 0x80 {
            to.push(left as u8 | 0x80);
            left >>= 7;
        }
        to.push(left as u8);
    }
}

impl Get<'_> for u64 {
    fn get(from: &mut &[u8]) -> Option<Self> {
        let mut number = 0;
        for shift in (0..Self::BITS).step_by(7) {
            let next = byte(from)?;
            let bits = Self::from(next & 0x7f);
            number |= bits << shift;
            if next < 0x80 {
                // Bits that no number of this size has were not put.
                return (number >> shift == bits).then_some(number);
            }
        }
        None
    }
}

macro_rules! numbers {
    ($($type:ty: $wide:path,)*) => {$(
        impl Put for $type {
            fn put(&self, to: &mut Vec<u8>) {
                $wide(*self).put(to);
            }
        }

        impl Get<'_> for $type {
            fn get(from: &mut &[u8]) -> Option<Self> {
                Self::try_from(u64::get(from)?).ok()
            }
        }
    )*};
}

numbers! { u16: u64::from, u32: u64::from, usize: wide, }

fn wide(number: usize) -> u64 {
    number as u64
}

impl Put for i32 {
    fn put(&self, to: &mut Vec<u8>) {
        self.cast_unsigned().put(to);
    }
}

impl Get<'_> for i32 {
    fn get(from: &mut &[u8]) -> Option<Self> {
        u32::get(from).map(u32::cast_signed)
    }
}

impl Put for bool {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(u8::from(*self));
    }
}

impl Get<'_> for bool {
    fn get(from: &mut &[u8]) -> Option<Self> {
        match byte(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Put for () {
    fn put(&self, _: &mut Vec<u8>) {}
}

impl Get<'_> for () {
    fn get(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

impl Put for [u8] {
    fn put(&self, to: &mut Vec<u8>) {
        self.len().put(to);
        to.extend_from_slice(self);
    }
}

impl<'a> Get<'a> for &'a [u8] {
    fn get(from: &mut &'a [u8]) -> Option<Self> {
        let len = usize::get(from)?;
        let (bytes, rest) = from.split_at_checked(len)?;
        *from = rest;
        Some(bytes)
    }
}

impl Put for str {
    fn put(&self, to: &mut Vec<u8>) {
        self.as_bytes().put(to);
    }
}

impl<'a> Get<'a> for &'a str {
    fn get(from: &mut &'a [u8]) -> Option<Self> {
        std::str::from_utf8(Get::get(from)?).ok()
    }
}

/// Types that are made of borrowed bytes or texts.
macro_rules! owned {
    ($($type:ty: $borrowed:ty)*) => {$(
        impl Get<'_> for $type {
            fn get(from: &mut &[u8]) -> Option<Self> {
                <&$borrowed>::get(from).map(|found| found.to_owned().into())
            }
        }
    )*};
}

owned! { Box<[u8]>: [u8] Vec<u8>: [u8] Bytes: [u8] Box<str>: str String: str }

impl Put for Vec<u8> {
    fn put(&self, to: &mut Vec<u8>) {
        self[..].put(to);
    }
}

impl Put for Bytes {
    fn put(&self, to: &mut Vec<u8>) {
        self[..].put(to);
    }
}

impl Put for String {
    fn put(&self, to: &mut Vec<u8>) {
        self[..].put(to);
    }
}

impl<T: Put + ?Sized> Put for &T {
    fn put(&self, to: &mut Vec<u8>) {
        (**self).put(to);
    }
}

impl<T: Put + ?Sized> Put for Box<T> {
    fn put(&self, to: &mut Vec<u8>) {
        (**self).put(to);
    }
}

impl<T: Put + ?Sized> Put for Arc<T> {
    fn put(&self, to: &mut Vec<u8>) {
        (**self).put(to);
    }
}

impl<'a, T: Get<'a>> Get<'a> for Arc<T> {
    fn get(from: &mut &'a [u8]) -> Option<Self> {
        T::get(from).map(Self::new)
    }
}

impl<T: Put> Put for Option<T> {
    fn put(&self, to: &mut Vec<u8>) {
        self.is_some().put(to);
        if let Some(inside) = self {
            inside.put(to);
        }
    }
}

impl<'a, T: Get<'a>> Get<'a> for Option<T> {
    fn get(from: &mut &'a [u8]) -> Option<Self> {
        if bool::get(from)? { T::get(from).map(Some) } else { Some(None) }
    }
}

impl<T: Put, E: Put> Put for Result<T, E> {
    fn put(&self, to: &mut Vec<u8>) {
        self.is_ok().put(to);
        match self {
            Ok(good) => good.put(to),
            Err(bad) => bad.put(to),
        }
    }
}

impl<'a, T: Get<'a>, E: Get<'a>> Get<'a> for Result<T, E> {
    fn get(from: &mut &'a [u8]) -> Option<Self> {
        Some(if bool::get(from)? { Ok(T::get(from)?) } else { Err(E::get(from)?) })
    }
}

/// Lists of what is no byte.
impl<T: Put> Put for [T] {
    fn put(&self, to: &mut Vec<u8>) {
        self.len().put(to);
        for item in self {
            item.put(to);
        }
    }
}

impl<T: Put> Put for Vec<T> {
    fn put(&self, to: &mut Vec<u8>) {
        self[..].put(to);
    }
}

/// A list of them.
fn list<'a, T: Get<'a>>(from: &mut &'a [u8]) -> Option<Vec<T>> {
    let len = usize::get(from)?;
    // Whoever wrote the length may have lied: it alone takes no more memory than the bytes that are there.
    let mut items = Vec::with_capacity(len.min(from.len() / size_of::<T>().max(1)));
    for _ in 0..len {
        items.push(T::get(from)?);
    }
    Some(items)
}

impl<'a, T: Get<'a>> Get<'a> for Vec<T> {
    fn get(from: &mut &'a [u8]) -> Option<Self> {
        list(from)
    }
}

impl<'a, T: Get<'a>> Get<'a> for Box<[T]> {
    fn get(from: &mut &'a [u8]) -> Option<Self> {
        list(from).map(Vec::into_boxed_slice)
    }
}

impl<'a, T: Get<'a> + std::fmt::Debug, const N: usize> Get<'a> for [T; N] {
    fn get(from: &mut &'a [u8]) -> Option<Self> {
        list(from)?.try_into().ok()
    }
}

impl<T: Put, const N: usize> Put for [T; N] {
    fn put(&self, to: &mut Vec<u8>) {
        self[..].put(to);
    }
}

macro_rules! tuples {
    ($(($($type:ident)*))*) => {$(
        #[allow(non_snake_case, reason = "named after their types")]
        impl<$($type: Put),*> Put for ($($type,)*) {
            fn put(&self, to: &mut Vec<u8>) {
                let ($($type,)*) = self;
                $($type.put(to);)*
            }
        }

        impl<'a, $($type: Get<'a>),*> Get<'a> for ($($type,)*) {
            fn get(from: &mut &'a [u8]) -> Option<Self> {
                Some(($($type::get(from)?,)*))
            }
        }
    )*};
}

tuples! { (A) (A B) (A B C) (A B C D) }
