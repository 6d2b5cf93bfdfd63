//! Progress bars on standard error. Off a terminal they draw nothing.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The bars of one command.
#[derive(Clone, Default)]
pub struct Bars(MultiProgress);

impl Bars {
    /// A bar that fills up to `total`.
    pub fn bar(&self, label: &str, total: u64) -> ProgressBar {
        let style = ProgressStyle::with_template("{prefix:14} {bar:30} {percent:>3}%  {msg}");
        let bar = self.0.add(ProgressBar::new(total));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(label.to_string());
        bar
    }
}
