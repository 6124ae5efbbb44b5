//! What the process tells about itself: logs on stderr, and metrics on one page.
//!
//! Both are global to the process and are installed once, before anything is
//! logged or counted. The SDK's events and metrics go the same two ways as
//! Almanac's own. Serving the page is left to the `http` module.

mod bridge;
mod logs;
mod page;

pub use bridge::SdkMeter;
pub use logs::{LogFormat, install_logs};
pub use page::{MetricsPage, install_metrics};
