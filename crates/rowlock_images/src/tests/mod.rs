//! Whole renderings, of images that the tests draw themselves.

mod sizes;
mod support;
