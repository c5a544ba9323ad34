//! Codecs that panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `work` returns, or the text of its panic: libjpeg's errors arrive as such, and a decoder that trips over a hostile
/// file must not take the process's thread with it. Whatever `work` borrows mutably is to be thrown away after a panic.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| text(&*panic))
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("the codec gave up");
    text.strip_prefix("libjpeg fatal error: ").unwrap_or(text).to_owned()
}
