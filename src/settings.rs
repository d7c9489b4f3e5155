//! Settings of a type that their keeper does not know: the configuration keeps those of connectors and of methods of
//! authentication so.
//!
//! *Owns* how such settings are copied, compared and printed. *Promises* that whoever knows their type gets them back as it.
//! *Does not* say what they are for: that is the trait `S`, which everybody else sees them as.

use std::any::Any;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// What settings of any type must be able to do. Implemented for everything that is `Clone`, `PartialEq` and `Debug`.
pub trait Value: Any + fmt::Debug + Send + Sync {
    /// A copy.
    fn copy(&self) -> Box<dyn Value>;

    /// Whether the other has the same type and value.
    fn equals(&self, other: &dyn Any) -> bool;
}

impl<T: Any + Clone + PartialEq + fmt::Debug + Send + Sync> Value for T {
    fn copy(&self) -> Box<dyn Value> {
        Box::new(self.clone())
    }

    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>() == Some(self)
    }
}

/// Settings of some type, seen as an `S`.
pub struct Configured<S: ?Sized + 'static> {
    value: Box<dyn Value>,
    view: fn(&dyn Any) -> &S,
    view_mut: fn(&mut dyn Any) -> &mut S,
}

impl<S: ?Sized> Configured<S> {
    /// Wraps these settings. `view` and `view_mut` give a `T` as an `S`; they are never given anything but a `T`.
    pub fn seen_as<T: Value>(value: T, view: fn(&dyn Any) -> &S, view_mut: fn(&mut dyn Any) -> &mut S) -> Self {
        Self { value: Box::new(value), view, view_mut }
    }

    /// The settings, if they are of this type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.any().downcast_ref()
    }

    /// The same, mutable.
    pub fn get_mut<T: Any>(&mut self) -> Option<&mut T> {
        self.any_mut().downcast_mut()
    }

    fn any(&self) -> &dyn Any {
        &*self.value
    }

    fn any_mut(&mut self) -> &mut dyn Any {
        &mut *self.value
    }
}

impl<S: ?Sized> Deref for Configured<S> {
    type Target = S;

    fn deref(&self) -> &S {
        (self.view)(self.any())
    }
}

impl<S: ?Sized> DerefMut for Configured<S> {
    fn deref_mut(&mut self) -> &mut S {
        (self.view_mut)(&mut *self.value)
    }
}

impl<S: ?Sized> Clone for Configured<S> {
    fn clone(&self) -> Self {
        Self { value: self.value.copy(), ..*self }
    }
}

impl<S: ?Sized> PartialEq for Configured<S> {
    fn eq(&self, other: &Self) -> bool {
        self.value.equals(other.any())
    }
}

impl<S: ?Sized> fmt::Debug for Configured<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
